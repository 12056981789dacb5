package shell

import (
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// word removes the quotes of a word as bash does (bash(1), QUOTING).
func word(w *syntax.Word) Word {
	if w == nil {
		return Word{}
	}
	out := Word{Literal: true}
	var text strings.Builder
	for i, part := range w.Parts {
		switch p := part.(type) {
		case *syntax.Lit:
			out.Tilde = out.Tilde || i == 0 && strings.HasPrefix(p.Value, "~")
			out.Pattern = out.Pattern || pattern(p.Value)
			out.Several = out.Several || out.Pattern && strings.ContainsAny(p.Value, "{}")
			text.WriteString(unescape(p.Value))
		case *syntax.SglQuoted:
			if p.Dollar {
				text.WriteString(ansiC(p.Value))
			} else {
				text.WriteString(p.Value)
			}
		case *syntax.DblQuoted:
			out.Literal = doubleQuoted(&text, p) && out.Literal
		case *syntax.ExtGlob:
			out.Pattern, out.Several = true, true
			text.WriteString(p.Op.String() + p.Pattern.Value + ")")
		default:
			out.Literal = false
		}
	}
	if out.Text = text.String(); !out.Literal {
		out.Text = source(w)
	}
	return out
}

// source is a word as it is written.
func source(w *syntax.Word) string {
	var b strings.Builder
	if syntax.NewPrinter().Print(&b, w) != nil {
		return ""
	}
	return b.String()
}

func doubleQuoted(text *strings.Builder, q *syntax.DblQuoted) bool {
	for _, part := range q.Parts {
		lit, ok := part.(*syntax.Lit)
		if !ok {
			return false
		}
		for s := lit.Value; s != ""; {
			if s[0] == '\\' && len(s) > 1 && strings.IndexByte("$`\"\\\n", s[1]) >= 0 {
				if s[1] != '\n' {
					text.WriteByte(s[1])
				}
				s = s[2:]
				continue
			}
			text.WriteByte(s[0])
			s = s[1:]
		}
	}
	return true
}

// unescape removes the backslashes of unquoted text.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			if i++; s[i] == '\n' {
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// pattern reports unquoted text that bash expands to names of files, or to several words.
func pattern(s string) bool {
	brace := -1
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '*', '?', '[':
			return true
		case '{':
			brace = i
		case '}':
			if brace >= 0 && (strings.Contains(s[brace:i], ",") || strings.Contains(s[brace:i], "..")) {
				return true
			}
		}
	}
	return false
}

// ansiC decodes the text of $'…'.
func ansiC(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if at := strings.IndexByte(`abeEfnrtv\'"?`, s[i]); at >= 0 {
			b.WriteByte("\a\b\x1b\x1b\f\n\r\t\v\\'\"?"[at])
			continue
		}
		digits, base, most := 0, 16, 2
		start := i + 1
		switch s[i] {
		case 'x':
		case 'u':
			most = 4
		case 'U':
			most = 8
		case '0', '1', '2', '3', '4', '5', '6', '7':
			start, base, most = i, 8, 3
		case 'c':
			if start < len(s) {
				b.WriteByte(s[start] & 0x1f)
				i = start
			}
			continue
		default:
			b.WriteByte('\\')
			b.WriteByte(s[i])
			continue
		}
		for start+digits < len(s) && digits < most && isDigit(s[start+digits], base) {
			digits++
		}
		n, err := strconv.ParseUint(s[start:start+digits], base, 32)
		switch {
		case err != nil:
			b.WriteString(s[i-1 : start])
		case most > 3:
			b.WriteRune(rune(n))
		default:
			b.WriteByte(byte(n))
		}
		i = start + digits - 1
	}
	return b.String()
}

func isDigit(c byte, base int) bool {
	if base == 8 {
		return c >= '0' && c <= '7'
	}
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
