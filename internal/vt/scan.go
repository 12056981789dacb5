package vt

import (
	"encoding/binary"
	"unicode/utf8"
)

// stops are the ASCII bytes that plain text cannot hold: introducers, and controls that are dropped or tracked.
var stops = [utf8.RuneSelf]bool{enq: true, so: true, si: true, can: true, sub: true, esc: true}

// plain returns how many bytes at the start of b are text and harmless controls. It is the fast path: most words
// of eight bytes are all printable ASCII.
func plain(b []byte) int {
	const each, top = 0x0101010101010101, 0x8080808080808080
	i := 0
	for i < len(b) {
		if len(b)-i >= 8 {
			w := binary.LittleEndian.Uint64(b[i:])
			if (w|(w-each*0x20))&top == 0 { // no byte above 0x7f, none below 0x20
				i += 8
				continue
			}
		}
		n, more := plainWord(b[i:])
		i += n
		if !more {
			break
		}
	}
	return i
}

// plainWord looks at eight bytes or a little more one by one, and says whether more text can follow.
func plainWord(b []byte) (int, bool) {
	i := 0
	for i < len(b) && i < 8 {
		if c := b[i]; c < utf8.RuneSelf {
			if stops[c] {
				return i, false
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r <= 0x9f || r == utf8.RuneError && n == 1 {
			return i, false
		}
		i += n
	}
	return i, true
}
