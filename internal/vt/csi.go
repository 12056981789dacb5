package vt

import (
	"bytes"
	"strconv"
)

// stepCSI takes one byte after ESC [ (or of an ESC sequence with too many intermediates).
func (f *Filter) stepCSI(c byte) {
	if c >= 0x40 {
		if f.state == csi {
			f.csiDone(c)
		}
		f.enter(ground)
		return
	}
	if f.state == csiIgnore {
		return
	}
	n := len(f.seq)
	afterMid := n > 0 && f.seq[n-1] < 0x30 && c >= 0x30
	lateMark := n > 0 && c >= 0x3c
	if afterMid || lateMark || n == maxCSI {
		f.state = csiIgnore
		return
	}
	f.seq = append(f.seq, c)
}

// splitCSI takes a sequence without its final byte apart: one of < = > ? or nothing, parameters, intermediates.
func splitCSI(b []byte) (mark string, params, mids []byte) {
	if len(b) > 0 && b[0] >= 0x3c {
		mark, b = string(b[:1]), b[1:]
	}
	i := 0
	for i < len(b) && b[i] >= 0x30 {
		i++
	}
	return mark, b[:i], b[i:]
}

// csiDone forwards or drops a complete control sequence. It is a list of what passes. What is known and does not:
// media copy (i), checksums of the screen (*y), most window operations (t), the Linux console's (]), reports of
// state ($w, $u), locators ('z), conformance levels ("p), status lines ($}), saved modes (?s, ?r).
func (f *Filter) csiDone(final byte) {
	mark, params, mids := splitCSI(f.seq)
	ok := false
	switch key := mark + string(mids) + string(final); key {
	case "@", "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M", "P", "S", "T", "X", "Z", "^", "`", "a",
		"b", "c", "d", "e", "f", "g", "n", "s", "u", // cursor, erase, insert, delete, scroll, tabs, reports
		"?J", "?K", "?W", "?c", "?m", "?n", "?u", "?S", ">c", "=c", ">q", "$p", "?$p", // and questions
		"!p", "\"q", " @", " A", " t", " u", "$r", "$t", "$v", "$x", "$z", "${", "*x", "'}", "'~",
		"#p", "#q", "#P", "#Q", "#R", "#{", "#}", "#|":
		ok = true
	case "m":
		ok, f.term.colour = true, len(bytes.Trim(params, "0")) > 0
	case "r":
		ok, f.term.region = true, len(params) > 0
	case " q":
		ok, f.term.cursor = true, len(bytes.Trim(params, "0")) > 0
	case ">m", ">n":
		ok = f.term.modifyKeys(numbers(params), final)
	case "t":
		ok = f.window(numbers(params))
	case "h", "l":
		f.modes("\x1b[", params, final, f.term.ansiMode)
	case "?h", "?l":
		f.modes("\x1b[?", params, final, f.term.privateMode)
	case ">u", "=u":
		ok = f.term.keyboard(mark, numbers(params))
	case "<u":
		f.popKeyboard(numbers(params))
	}
	if ok {
		f.seq = append(f.seq, final)
		f.emit("\x1b[", f.seq, "")
	}
}

// window takes CSI t: sizes in pixels and cells, and the stack of titles, of which only what the agent pushed is
// popped.
func (f *Filter) window(n []int) bool {
	switch n[0] {
	case 14, 16, 18:
		return true
	case 20, 21:
		return f.allow.Title
	case 22:
		f.term.titles = min(f.term.titles+1, 10) // as deep as xterm's
		return true
	case 23:
		if f.term.titles > 0 {
			f.term.titles--
			return true
		}
	}
	return false
}

// modes forwards those of a list of modes that known accepts.
func (f *Filter) modes(introducer string, params []byte, final byte, known func(n int, set bool) bool) {
	start := len(f.out)
	f.out = append(f.out, introducer...)
	empty := len(f.out)
	for _, n := range numbers(params) {
		if known(n, final == 'h') {
			f.out = append(strconv.AppendInt(f.out, int64(n), 10), ';')
		}
	}
	if len(f.out) == empty {
		f.out = f.out[:start]
		return
	}
	f.out[len(f.out)-1] = final
}

// popKeyboard forwards as many pops of the kitty keyboard protocol as there were pushes: what lies below is not
// the agent's.
func (f *Filter) popKeyboard(n []int) {
	keys := f.term.keys()
	if count := min(max(n[0], 1), keys.pushed); count > 0 {
		keys.pushed -= count
		f.emit("\x1b[<", strconv.AppendInt(nil, int64(count), 10), "u")
	}
}

// missing is a parameter that is not given.
const missing = -2

// numbers returns the parameters, at least one; -1 is one that is no plain number.
func numbers(params []byte) []int {
	var list []int
	for p := range bytes.SplitSeq(params, []byte{';'}) {
		n := missing
		if len(p) > 0 {
			n = decimal(string(p))
		}
		list = append(list, n)
	}
	return list
}
