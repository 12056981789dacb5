package vt

import "strings"

// stepString takes one byte of an OSC, DCS, APC, PM, SOS or screen title.
func (f *Filter) stepString(c byte) {
	if f.sawESC {
		if c == '\\' {
			f.endString(st)
			return
		}
		f.abandon() // ESC begins anew; a string without its end is none
		f.enter(escape)
		f.step(c)
		return
	}
	switch {
	case c == esc:
		f.sawESC = true
	case c == can || c == sub:
		f.abandon()
	case c == bel && f.bell:
		f.endString("\a")
	case c < 0x20 || c == del: // a terminal ignores it; in a title it would be a control of something else
	case f.state == stream:
		f.out = append(f.out, c)
	case f.state == palette:
		f.stepPalette(c)
	case f.state == dcs:
		f.stepDCS(c)
	case f.state != swallow:
		f.stepCollected(c)
	}
}

// pass forwards an introducer, and from now on the printable bytes of its string as they come.
func (f *Filter) pass(introducer string) {
	f.emit(introducer, nil, "")
	f.enter(stream)
}

// abandon ends whatever is under way without its effect.
func (f *Filter) abandon() {
	if f.state == stream {
		f.out = append(f.out, st...)
	}
	f.enter(ground)
}

func (f *Filter) endString(end string) {
	switch f.state {
	case osc:
		f.oscDone(end)
	case screen:
		f.emit("\x1bk", f.seq, st)
	case query:
		if validQuery(string(f.seq)) {
			f.emit("\x1bP", f.seq, st)
		}
	case stream:
		f.out = append(f.out, end...)
	}
	f.enter(ground)
}

func (f *Filter) collect(s string) {
	if f.seq = append(f.seq, s...); len(f.seq) > maxLink {
		f.enter(swallow)
	}
}

func (f *Filter) stepCollected(c byte) {
	if f.state == osc && len(f.seq) == 0 {
		switch c {
		case 'R': // a Linux console resets its palette, and the string is over
			f.enter(ground)
			return
		case 'P':
			f.enter(palette)
			return
		}
	}
	f.collect(string(rune(c)))
	if f.state == osc && c == ';' {
		switch n, _, _ := oscNumber(f.seq); {
		case (n == 52 || n == 5522) && f.allow.Clipboard, (n == 1337 || n == 5113) && f.allow.Files:
			f.emit("\x1b]", f.seq, "")
			f.enter(stream)
		}
	}
}

// stepPalette drops the seven digits of a Linux console's colour.
func (f *Filter) stepPalette(c byte) {
	if !contains("0123456789abcdefABCDEF", c) {
		f.enter(ground)
		f.step(c)
		return
	}
	if f.seq = append(f.seq, c); len(f.seq) == 7 {
		f.enter(ground)
	}
}

// stepDCS takes a device control string up to its final byte. Only pictures and two questions pass: programmable
// keys, macros, passthrough of a multiplexer and the rest do not.
func (f *Filter) stepDCS(c byte) {
	f.seq = append(f.seq, c)
	switch head := string(f.seq); {
	case c < 0x40 && len(head) < 32:
	case head == "$q" || head == "+q":
		f.state = query
	case c == 'q' && strings.Trim(head[:len(head)-1], "0123456789;") == "":
		f.pass("\x1bP" + head)
	default:
		f.enter(swallow)
	}
}

// validQuery says whether a question has the form it should: some terminals repeat a wrong one in their answer
// (CVE-2008-2383, CVE-2022-45872).
func validQuery(s string) bool {
	if len(s) > maxOSC {
		return false
	}
	if hex, ok := strings.CutPrefix(s, "+q"); ok {
		return strings.Trim(hex, "0123456789abcdefABCDEF;") == ""
	}
	s = strings.TrimPrefix(s, "$q")
	for i := range len(s) {
		if last := i == len(s)-1; last != (s[i] >= 0x40) || !last && s[i] >= 0x30 {
			return false
		}
	}
	return 1 <= len(s) && len(s) <= 3
}
