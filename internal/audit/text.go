package audit

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Text is any bytes: an argument, a file's name. In the log it is a JSON string of printable ASCII, so that neither a
// terminal nor an editor acts on it. What is no UTF-8 is written as Python does (PEP 383, "surrogateescape"): a byte
// 0x80…0xff as \udc80…\udcff, which no text contains. Reading gives back the very bytes.
type Text string

// MarshalJSON never fails.
func (t Text) MarshalJSON() ([]byte, error) { return appendText(nil, string(t)), nil }

// UnmarshalJSON reads what MarshalJSON writes, and any other JSON string.
func (t *Text) UnmarshalJSON(b []byte) error {
	s, err := parseText(b)
	*t = Text(s)
	return err
}

// Texts turns a list of strings into the log's.
func Texts(list []string) []Text {
	out := make([]Text, len(list))
	for i, s := range list {
		out[i] = Text(s)
	}
	return out
}

const hexDigits = "0123456789abcdef"

func appendUnit(b []byte, u uint16) []byte {
	return append(b, '\\', 'u', hexDigits[u>>12], hexDigits[u>>8&15], hexDigits[u>>4&15], hexDigits[u&15])
}

func appendRune(b []byte, r rune, size int, first byte) []byte {
	switch {
	case r == utf8.RuneError && size == 1:
		return appendUnit(b, 0xdc00|uint16(first))
	case r > 0xffff:
		hi, lo := utf16.EncodeRune(r)
		return appendUnit(appendUnit(b, uint16(hi)), uint16(lo))
	}
	return appendUnit(b, uint16(r))
}

func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7f {
			if c == '"' || c == '\\' {
				b = append(b, '\\')
			}
			b = append(b, c)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		b = appendRune(b, r, size, c)
		i += size
	}
	return append(b, '"')
}

// ascii escapes what JSON leaves as it is, for strings that are not Text.
func ascii(data []byte) []byte {
	clean := true
	for _, c := range data {
		clean = clean && c < 0x7f
	}
	if clean {
		return data
	}
	out := make([]byte, 0, len(data)+len(data)/4)
	for i := 0; i < len(data); {
		if data[i] < 0x7f {
			out = append(out, data[i])
			i++
			continue
		}
		r, size := utf8.DecodeRune(data[i:])
		out = appendRune(out, r, size, data[i])
		i += size
	}
	return out
}

var errText = errors.New("not a JSON string")

func parseText(b []byte) (string, error) {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return "", errText
	}
	b = b[1 : len(b)-1]
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			out = append(out, b[i])
			continue
		}
		if i++; i == len(b) {
			return "", errText
		}
		if b[i] != 'u' {
			c, ok := shortEscapes[b[i]]
			if !ok {
				return "", fmt.Errorf(`%w: unknown escape \%c`, errText, b[i])
			}
			out = append(out, c)
			continue
		}
		r, used, err := parseUnit(b[i+1:])
		if err != nil {
			return "", err
		}
		i += used
		if r >= 0xdc80 && r <= 0xdcff {
			out = append(out, byte(r))
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return string(out), nil
}

var shortEscapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// parseUnit reads four digits, and four more where the first are half of a pair.
func parseUnit(b []byte) (r rune, used int, err error) {
	unit := func(b []byte) (rune, error) {
		if len(b) < 4 {
			return 0, errText
		}
		n, err := strconv.ParseUint(string(b[:4]), 16, 16)
		return rune(n), err
	}
	if r, err = unit(b); err != nil {
		return 0, 0, err
	}
	if utf16.IsSurrogate(r) && len(b) >= 10 && b[4] == '\\' && b[5] == 'u' {
		if low, err := unit(b[6:]); err == nil {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, 10, nil
			}
		}
	}
	return r, 4, nil
}
