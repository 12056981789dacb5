package workspace

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Visible returns a writer that shows what is written to it so that a terminal
// obeys nothing in it: control characters, characters that hide or reorder text,
// and bytes that are not UTF-8 become escapes. Tabs and line feeds stay. Close
// writes what is left of an unfinished character.
func Visible(out io.Writer) io.WriteCloser { return &visible{out: out} }

type visible struct {
	out  io.Writer
	rest []byte // the beginning of a character
}

func (v *visible) Write(p []byte) (int, error) {
	data := append(v.rest, p...)
	cut := len(data)
	for i := 1; i <= min(utf8.UTFMax-1, len(data)); i++ {
		if c := data[len(data)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(data[len(data)-i:]) {
				cut = len(data) - i
			}
			break
		}
	}
	_, err := io.WriteString(v.out, escape(string(data[:cut])))
	v.rest = append([]byte(nil), data[cut:]...)
	return len(p), err
}

// Close shows what is left.
func (v *visible) Close() error {
	_, err := io.WriteString(v.out, escape(string(v.rest)))
	v.rest = nil
	return err
}

func escape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1, r < 0x20 && r != '\n' && r != '\t', r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n' || r == '\t' || unicode.IsPrint(r): // not controls, formats, private use, or spaces but U+0020
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		i += size
	}
	return b.String()
}
