package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Text is any bytes: an argument, a file's name. In the log it is a JSON string of printable ASCII, so that neither a
// terminal nor an editor acts on it. What is no UTF-8 is written as Python does (PEP 383, "surrogateescape"): a byte
// 0x80…0xff as \udc80…\udcff, which no text contains. Reading gives back the very bytes, unless secrets or a part of
// a text that is too long are left out.
type Text string

// MarshalJSON never fails.
func (t Text) MarshalJSON() ([]byte, error) { return appendText(nil, string(t)), nil }

// UnmarshalJSON reads a text, any other JSON string, and what stands for a text that was cut: its beginning, and a
// remark about the rest.
func (t *Text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		return t.unmarshalCut(b)
	}
	s, err := parseText(b)
	*t = Text(s)
	return err
}

func (t *Text) unmarshalCut(b []byte) error {
	var c cut
	if err := json.Unmarshal(b, &c); err != nil {
		return err
	}
	if c.Items > 0 {
		*t = Text(fmt.Sprintf("%s[cut: %d more of %d bytes, SHA-256 %s]", c.Begin, c.Items, c.Bytes, c.SHA256))
	} else {
		*t = Text(fmt.Sprintf("%s[cut: %d bytes, SHA-256 %s]", c.Begin, c.Bytes, c.SHA256))
	}
	return nil
}

// A cut is what appendCut writes.
type cut struct {
	Begin  Text  `json:"cut"`
	Bytes  int64 `json:"bytes"`
	Items  int64 `json:"items,omitempty"`
	SHA256 Text  `json:"sha256"`
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
	from := 0 // of a run that is written as it is
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[from:i]...)
		if c == '"' || c == '\\' {
			b = append(b, '\\', c)
			i++
		} else {
			r, size := utf8.DecodeRuneInString(s[i:])
			b = appendRune(b, r, size, c)
			i += size
		}
		from = i
	}
	return append(append(b, s[from:]...), '"')
}

var errText = errors.New("not a JSON string")

// stringEnd is where the JSON string that begins at from ends, or where the data does.
func stringEnd(b []byte, from int) int {
	for i := from + 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

func parseText(b []byte) (string, error) {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return "", errText
	}
	b = b[1 : len(b)-1]
	if bytes.IndexByte(b, '\\') < 0 {
		return string(b), nil
	}
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
			c := strings.IndexByte(shortEscapes, b[i])
			if c < 0 {
				return "", fmt.Errorf(`%w: unknown escape \%c`, errText, b[i])
			}
			out = append(out, shortMeanings[c])
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

// What follows a backslash, and what it stands for.
const (
	shortEscapes  = `"\/bfnrt`
	shortMeanings = "\"\\/\b\f\n\r\t"
)

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
