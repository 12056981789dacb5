package mounts

import "strings"

// classes are what POSIX calls the sets of characters that gitignore(5) knows between brackets, in the C locale.
var classes = map[string]string{
	"alnum": "0-9A-Za-z", "alpha": "A-Za-z", "blank": "\t ", "cntrl": "\x00-\x1f\x7f", "digit": "0-9", "graph": "!-~",
	"lower": "a-z", "print": " -~", "punct": "!-/:-@\\[-`{-~", "space": "\t-\r ", "upper": "A-Z", "xdigit": "0-9A-Fa-f",
}

// component puts a component of a gitignore pattern into the words of path.Match, which negates a set with "^" alone
// and has no classes.
func component(part string) string {
	if len(part) > 1 && strings.Trim(part, "*") == "" {
		return "**"
	}
	var out strings.Builder
	for set := false; part != ""; {
		text, n := part[:1], 1
		switch {
		case part[0] == '\\' && len(part) > 1:
			text, n = part[:2], 2
		case set && strings.HasPrefix(part, "[:"):
			name, _, closed := strings.Cut(part[2:], ":]")
			if members, ok := classes[name]; ok && closed {
				text, n = members, len(name)+4
			}
		case set:
			set = part[0] != ']'
		case strings.HasPrefix(part, "[!"):
			set, text, n = true, "[^", 2
		case part[0] == '[':
			set = true
		}
		out.WriteString(text)
		part = part[n:]
	}
	return out.String()
}
