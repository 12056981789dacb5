package vt

import (
	"strconv"
	"strings"
)

// Whether a mode that the agent may switch is on before it starts.
const (
	off    = iota // and so it must be afterwards
	on            // likewise
	either        // terminals differ, and nobody is harmed
)

// A mode is one of DEC's private modes, or a terminal's own in the same space.
type mode struct {
	number int
	before int
}

// privateModes is a list of what passes. What is known and does not: 2 (VT52) and 38 (Tektronix) change the parser,
// 3 and 40 resize the window, 18 and 19 print, 1001 makes xterm wait for an answer, 5522 reports pasted data.
var privateModes = []mode{
	// The other screen, three names of one thing, must come first.
	{47, off}, {1047, off}, {1049, off},
	// Output held back; mouse; focus, paste and colour scheme reports.
	{2026, off}, {9, off}, {1000, off}, {1002, off}, {1003, off}, {1005, off}, {1006, off}, {1015, off},
	{1016, off}, {1004, off}, {2004, off}, {2031, off}, {2048, off},
	// Keyboards.
	{1, off}, {66, off}, {67, off}, {7727, off}, {9001, off},
	// The page: reverse, origin, wrap back, margins, sixel.
	{5, off}, {6, off}, {45, off}, {69, off}, {80, off}, {8452, off},
	// Cursor, wrap, key repeat.
	{25, on}, {7, on}, {8, on},
	// Smooth scroll, blinking, national sets, clearing, scrolling, meta keys, bells, graphemes.
	{4, either}, {12, either}, {42, either}, {95, either}, {1007, either}, {1010, either}, {1011, either},
	{1034, either}, {1035, either}, {1036, either}, {1039, either}, {1042, either}, {1045, either}, {1048, either},
	{1070, either}, {2027, either},
}

// screenModes are the bits of the modes that show the other screen.
const screenModes = 1<<3 - 1

// A keyboard is one screen's stack of the kitty keyboard protocol.
type keyboard struct {
	pushed int
	set    bool // flags changed below the first push
}

// A terminal is what the agent has changed in the person's terminal.
type terminal struct {
	changed  uint64 // a bit for each of privateModes
	insert   bool
	newline  bool
	keypad   bool // application keypad
	shifted  bool // a character set other than G0 is shown
	charset  bool // G0 is not ASCII
	colour   bool // of text
	region   bool // scrolling region
	cursor   bool // shape
	link     bool
	progress bool
	titles   int // pushed
	keysOf   [2]keyboard
	modKeys  uint8  // a bit for each of xterm's modifier resources
	colours  uint32 // of the palette, as colour has them
}

// hardReset is what ESC c does. Terminals keep the palette and the stack of titles.
func (t *terminal) hardReset() {
	*t = terminal{titles: t.titles, colours: t.colours, progress: t.progress}
}

func (t *terminal) ansiMode(n int, set bool) bool {
	switch n {
	case 4:
		t.insert = set
	case 20:
		t.newline = set
	default:
		return false
	}
	return true
}

func (t *terminal) privateMode(n int, set bool) bool {
	for i, m := range privateModes {
		if m.number != n {
			continue
		}
		bit := uint64(1) << i
		if bit&screenModes != 0 {
			t.changed &^= screenModes
		}
		t.changed &^= bit
		if m.before != either && set != (m.before == on) {
			t.changed |= bit
		}
		return true
	}
	return false
}

func (t *terminal) onOtherScreen() bool {
	return t.changed&screenModes != 0
}

// keys returns the keyboard of the screen that shows.
func (t *terminal) keys() *keyboard {
	if t.onOtherScreen() {
		return &t.keysOf[1]
	}
	return &t.keysOf[0]
}

// keyboard takes CSI > u, which pushes, and CSI = u, which changes the flags on top.
func (t *terminal) keyboard(mark string, n []int) bool {
	switch k := t.keys(); {
	case mark == ">":
		k.pushed = min(k.pushed+1, 99)
	case k.pushed == 0:
		replaces := len(n) == 1 || n[1] == 1 || n[1] == missing
		k.set = n[0] != 0 && n[0] != missing || !replaces
	}
	return true
}

// modifyKeys takes CSI > n ; n m and CSI > n n: whether and how modified keys are told apart.
func (t *terminal) modifyKeys(n []int, final byte) bool {
	resource := n[0]
	switch {
	case resource == missing && final == 'm': // all to their defaults
		t.modKeys = 0
		return true
	case resource == missing && final == 'n':
		resource = 2
	case resource < 0 || resource > 7:
		return false
	}
	t.modKeys &^= 1 << resource
	if final == 'n' || len(n) > 1 && n[1] != missing {
		t.modKeys |= 1 << resource
	}
	return true
}

// colour is the bit of OSC 4, 5 or 10 to 19.
func colour(n int) uint32 { return 1 << n }

// setColours notes what an OSC sets; a question mark asks.
func (t *terminal) setColours(n int, rest string) {
	for i, field := range strings.Split(rest, ";") {
		switch {
		case field == "?" || field == "":
		case n >= 10 && n+i <= 19:
			t.colours |= colour(n + i)
		case n < 10 && i%2 == 1:
			t.colours |= colour(n)
		}
	}
}

// undo appends what brings the terminal back: first what belongs to the other screen, if that shows. The cursor
// stays where it is, except after origin mode, whose end moves it.
func (t *terminal) undo(b []byte) []byte {
	add := func(when bool, s string) {
		if when {
			b = append(b, s...)
		}
	}
	if t.onOtherScreen() {
		b = t.keysOf[1].undo(b)
	}
	add(t.link, "\x1b]8;;"+st)
	b = undoModes(b, t.changed&^screenModes)
	b = undoModes(b, t.changed&screenModes)
	b = t.keysOf[0].undo(b)
	for i := range 8 {
		add(t.modKeys>>i&1 != 0, "\x1b[>"+strconv.Itoa(i)+"m")
	}
	add(t.progress, "\x1b]9;4;0"+st)
	for n := range 20 {
		add(t.colours&colour(n) != 0, "\x1b]"+strconv.Itoa(100+n)+st)
	}
	for range t.titles {
		add(true, "\x1b[23t")
	}
	add(t.shifted, string(rune(si)))
	add(t.charset, "\x1b(B")
	add(t.region, "\x1b7\x1b[r\x1b8") // setting a region moves the cursor
	add(t.insert, "\x1b[4l")
	add(t.newline, "\x1b[20l")
	add(t.keypad, "\x1b>")
	add(t.cursor, "\x1b[0 q")
	add(t.colour, "\x1b[0m")
	return b
}

func (k keyboard) undo(b []byte) []byte {
	if k.pushed > 0 {
		b = append(b, "\x1b[<"+strconv.Itoa(k.pushed)+"u"...)
	}
	if k.set {
		b = append(b, "\x1b[=0u"...)
	}
	return b
}

func undoModes(b []byte, changed uint64) []byte {
	for i, m := range privateModes {
		if changed>>i&1 == 0 {
			continue
		}
		final := "l"
		if m.before == on {
			final = "h"
		}
		b = append(b, "\x1b[?"+strconv.Itoa(m.number)+final...)
	}
	return b
}
