package vt

// The control bytes this package looks at.
const (
	enq = 0x05
	bel = 0x07
	so  = 0x0e
	si  = 0x0f
	can = 0x18
	sub = 0x1a
	esc = 0x1b
	del = 0x7f
)

// st ends a string.
const st = "\x1b\\"

// A state is where the parser is. Those from osc on are strings.
type state uint8

const (
	ground state = iota
	escape
	csi
	csiIgnore // malformed or too long
	osc
	palette // a Linux console's OSC P, which has seven digits and no end
	screen  // ESC k, a title in screen and tmux
	dcs     // up to the byte that says what it is
	query   // a DCS that asks
	stream  // a string that passes as it comes
	swallow // a string that does not
)

// step takes one ASCII byte, or half a C1 control.
func (f *Filter) step(c byte) {
	if f.state >= osc {
		f.stepString(c)
		return
	}
	switch {
	case c == esc:
		f.enter(escape)
	case c == can || c == sub:
		if f.state == ground && c == can && f.allow.Files {
			f.out = append(f.out, c)
		}
		f.state = ground
	case c < 0x20: // a terminal obeys it in the midst of a sequence; it leaves before the sequence does
		f.control(c)
	case f.state == ground:
		f.out = append(f.out, c)
	case c == del:
	case f.state == escape:
		f.stepEscape(c)
	default:
		f.stepCSI(c)
	}
}

func (f *Filter) enter(s state) {
	f.state = s
	f.sawESC = false
	f.seq = f.seq[:0]
}

// emit forwards an introducer, the bytes after it, and an end.
func (f *Filter) emit(introducer string, body []byte, end string) {
	f.out = append(f.out, introducer...)
	f.out = append(f.out, body...)
	f.out = append(f.out, end...)
}

// text takes one character that is not ASCII. It cuts a sequence off and is part of a string.
func (f *Filter) text(s string) {
	switch {
	case f.state < osc || f.state == palette || f.sawESC:
		f.abandon()
		f.out = append(f.out, s...)
	case f.state == osc || f.state == screen:
		f.collect(s)
	case f.state == dcs || f.state == query:
		f.enter(swallow)
	}
}

// control takes a C0 control that is no part of a string.
func (f *Filter) control(c byte) {
	switch c {
	case enq: // the answerback message
		return
	case so, si:
		f.term.shifted = c == so
	}
	f.out = append(f.out, c)
}

func (f *Filter) stepEscape(c byte) {
	if c < 0x30 {
		if f.seq = append(f.seq, c); len(f.seq) > 3 {
			f.state = csiIgnore
		}
		return
	}
	if len(f.seq) > 0 {
		f.escapeDone(c)
		return
	}
	f.bell = false
	switch c {
	case '[':
		f.enter(csi)
	case ']':
		f.bell = true
		f.enter(osc)
	case 'P':
		f.enter(dcs)
	case 'k':
		f.enter(screen)
	case '_':
		if f.allow.Files {
			f.pass("\x1b_")
			return
		}
		f.enter(swallow)
	case 'X', '^':
		f.enter(swallow)
	default:
		f.escapeDone(c)
	}
}

// escapeDone takes the last byte of ESC, intermediates, byte. What is not known is dropped: among them ESC % @ and
// ESC SP G, which change how the terminal decodes bytes or how it answers.
func (f *Filter) escapeDone(c byte) {
	f.state = ground
	ok := false
	switch mid := string(f.seq); {
	case mid == "":
		switch c {
		case '6', '7', '8', '9', 'D', 'E', 'H', 'M', 'N', 'O', 'Z':
			ok = true
		case '=', '>':
			ok, f.term.keypad = true, c == '='
		case 'n', 'o':
			ok, f.term.shifted = true, true
		case 'c':
			ok = true
			f.term.hardReset()
		}
	case mid == "#":
		ok = '3' <= c && c <= '8'
	case contains("()*+-./", mid[0]) && (len(mid) == 1 || len(mid) == 2 && contains(`"%&`, mid[1])):
		ok = true
		if mid[0] == '(' {
			f.term.charset = mid != "(" || c != 'B'
		}
	}
	if ok {
		f.seq = append(f.seq, c)
		f.emit("\x1b", f.seq, "")
	}
}

func contains(set string, c byte) bool {
	for i := range len(set) {
		if set[i] == c {
			return true
		}
	}
	return false
}
