package cli

import (
	"strings"
	"unicode/utf8"
)

// leastColumn is the width below which a column is left to the terminal to break: shorter lines are harder to read.
const leastColumn = 24

// wrap breaks text between words into lines of at most width characters. A longer word stays whole, so that it can be
// copied; a width of 0 breaks nothing.
func wrap(text string, width int) []string {
	if width < leastColumn || utf8.RuneCountInString(text) <= width {
		return []string{text}
	}
	var lines []string
	line, length := "", 0
	for word := range strings.SplitSeq(text, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case line == "":
			line, length = word, n
		case length+1+n > width:
			lines = append(lines, line)
			line, length = word, n
		default:
			line, length = line+" "+word, length+1+n
		}
	}
	return append(lines, line)
}

// hang wraps text that begins at column indent of a screen, and puts the lines after the first one below it.
func hang(text string, indent, screen int) string {
	width := 0
	if screen > 0 {
		width = screen - indent
	}
	return strings.Join(wrap(text, width), "\n"+strings.Repeat(" ", indent))
}

// lastColumn is where the last column of a line begins: after the last gap of two spaces or more, if not at the first
// character.
func lastColumn(line string) int {
	text := strings.TrimRight(line, " ")
	if gap := strings.LastIndex(text, "  "); gap >= 0 {
		return gap + 2
	}
	return len(text) - len(strings.TrimLeft(text, " "))
}
