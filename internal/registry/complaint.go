package registry

import (
	"strings"
	"unicode"
)

const (
	maxLine  = 120
	longWord = 20 // a word of letters, digits and signs that is longer may be a token
	leftOut  = "[...]"
)

// marks stand before secrets.
var marks = []string{"auth", "token", "passw", "secret", "key", "bearer", "basic", "credential"}

// firstLine is the first line of what a program complained about, short, printable, and without what may be a secret:
// URLs, assignments, long words with digits, and everything from a word on that announces one.
func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	var words []string
	length := 0
	for _, word := range strings.Fields(line) {
		lower := strings.ToLower(word)
		announces := false
		for _, mark := range marks {
			announces = announces || strings.Contains(lower, mark)
		}
		if announces {
			words = append(words, leftOut)
			break
		}
		if suspect(word) {
			word = leftOut
		}
		if length += len(word) + 1; length > maxLine {
			words = append(words, leftOut)
			break
		}
		words = append(words, printable(word))
	}
	return strings.Join(words, " ")
}

func suspect(word string) bool {
	if strings.ContainsAny(word, "@=") || strings.Contains(word, "://") {
		return true
	}
	return len(word) > longWord && strings.ContainsAny(word, "0123456789") || len(word) > 2*longWord
}

// printable leaves no control character for the terminal, nor what is not UTF-8.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
