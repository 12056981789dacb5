// Package vt filters terminal control sequences out of what the agent writes to the person's terminal.
//
// What reads or writes the clipboard, the window's title back into the input, the screen's content, files, a
// printer, or another parser in the terminal does not pass; nor does any sequence this package does not know. Text,
// colours, cursor movement, titles, hyperlinks to the web, mouse and keyboard modes, sixel pictures and the usual
// questions about the terminal do. The parser is that of a VT500 (vt100.net/emu/dec_ansi_parser).
//
// The person's terminal is taken to speak UTF-8. What comes out is valid UTF-8 (other bytes become U+FFFD) without
// C1 controls: their sequences leave in the 7-bit form, complete, or not at all. So a terminal cannot read them in
// another way than this package did.
//
// The filter does not judge text: an agent can still draw whatever it likes inside its terminal.
package vt

import "unicode/utf8"

// Allow names the classes of sequences that a profile may let through. The zero value lets none through.
type Allow struct {
	Clipboard bool // OSC 52 and 5522
	Title     bool // reports of the window's title, which put the agent's bytes into the input
	Files     bool // file transfer and pictures that name files: OSC 1337 and 5113, APC, ZMODEM's start
}

// The limits of what is held back. Longer sequences are dropped to their end.
const (
	maxCSI  = 256
	maxOSC  = 4 << 10
	maxLink = 8 << 10
)

// A Filter is the state of one output stream. It is not safe for concurrent use.
type Filter struct {
	allow    Allow
	state    state
	sawESC   bool   // inside a string: the next byte says whether it ends
	bell     bool   // BEL ends this string
	seq      []byte // the sequence so far, without its introducer
	partial  [utf8.UTFMax]byte
	nPartial int
	out      []byte
	term     terminal
}

// New returns a filter at the start of a stream.
func New(allow Allow) *Filter {
	return &Filter{allow: allow}
}

// Filter appends to dst what of src may be forwarded now, and returns it. What a sequence or character cut off at
// the end of src becomes shows in a later call. dst and src must not overlap.
func (f *Filter) Filter(dst, src []byte) []byte {
	f.out = dst
	src = f.complete(src)
	for i := 0; i < len(src); {
		if f.state == ground {
			n := plain(src[i:])
			f.out = append(f.out, src[i:i+n]...)
			if i += n; i == len(src) {
				break
			}
		}
		if src[i] < utf8.RuneSelf {
			f.step(src[i])
			i++
			continue
		}
		if !utf8.FullRune(src[i:]) {
			f.nPartial = copy(f.partial[:], src[i:])
			break
		}
		i += f.char(src[i:])
	}
	out := f.out
	f.out = nil
	return out
}

// complete takes from src what the character cut off by the last call lacks, and returns the rest.
func (f *Filter) complete(src []byte) []byte {
	if f.nPartial == 0 {
		return src
	}
	var buf [2 * utf8.UTFMax]byte
	held := copy(buf[:], f.partial[:f.nPartial])
	b := buf[:held+copy(buf[held:2*utf8.UTFMax-1], src)]
	f.nPartial = 0
	i := 0
	for i < held {
		if !utf8.FullRune(b[i:]) {
			f.nPartial = copy(f.partial[:], b[i:])
			return nil
		}
		i += f.char(b[i:])
	}
	return src[i-held:]
}

// char takes one character that is not ASCII and returns its length.
func (f *Filter) char(b []byte) int {
	r, n := utf8.DecodeRune(b)
	switch {
	case r == utf8.RuneError && n == 1:
		f.text("\uFFFD")
	case r <= 0x9f: // a C1 control is ESC and a letter
		f.step(esc)
		f.step(byte(r) - 0x40)
	default:
		f.text(string(b[:n]))
	}
	return n
}

// Flush ends the stream: it returns what can be said of bytes held back, and closes a string that is half out.
func (f *Filter) Flush() []byte {
	f.out = nil
	for ; f.nPartial > 0; f.nPartial-- {
		f.text("\uFFFD")
	}
	f.abandon()
	out := f.out
	f.out = nil
	return out
}

// Reset ends the stream as Flush does and adds what undoes the modes that it left set. It is empty when nothing is
// to be undone.
func (f *Filter) Reset() []byte {
	out := f.term.undo(f.Flush())
	f.term = terminal{}
	return out
}
