package registry

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// unquotePython reads a text as Python's repr writes it (Language Reference, section 2.4.1).
func unquotePython(s string) (string, bool) {
	if len(s) < 2 || s[0] != '\'' && s[0] != '"' || s[len(s)-1] != s[0] {
		return "", false
	}
	quote, s := s[0], s[1:len(s)-1]
	var b strings.Builder
	for s != "" {
		if s[0] == quote {
			return "", false
		}
		if s[0] != '\\' {
			b.WriteByte(s[0])
			s = s[1:]
			continue
		}
		text, rest, ok := unescapePython(s[1:])
		if !ok {
			return "", false
		}
		b.WriteString(text)
		s = rest
	}
	return b.String(), true
}

// unescapePython reads what follows a backslash.
func unescapePython(s string) (text, rest string, ok bool) {
	if s == "" {
		return "", "", false
	}
	digits := 0
	switch s[0] {
	case '\\', '\'', '"':
		return s[:1], s[1:], true
	case 'n':
		return "\n", s[1:], true
	case 't':
		return "\t", s[1:], true
	case 'r':
		return "\r", s[1:], true
	case 'x':
		digits = 2
	case 'u':
		digits = 4
	case 'U':
		digits = 8
	}
	if digits == 0 || len(s) < 1+digits {
		return "", "", false
	}
	n, err := strconv.ParseUint(s[1:1+digits], 16, 32)
	if err != nil || n > utf8.MaxRune {
		return "", "", false
	}
	return string(rune(n)), s[1+digits:], true
}
