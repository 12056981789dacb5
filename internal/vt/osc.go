package vt

import (
	"bytes"
	"strings"
)

// oscNumber splits an operating system command into its number and what follows the first semicolon. The number is
// -1 where it is missing or written in a way that two terminals may read differently.
func oscNumber(b []byte) (n int, rest string, hasRest bool) {
	digits, after, hasRest := bytes.Cut(b, []byte{';'})
	return decimal(string(digits)), string(after), hasRest
}

// decimal returns the value of s, or -1 for what is not a plain number of up to five digits.
func decimal(s string) int {
	if s == "" || len(s) > 5 || len(s) > 1 && s[0] == '0' {
		return -1
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = 10*n + int(s[i]-'0')
	}
	return n
}

// oscDone forwards or drops a complete operating system command. Those that stream (clipboard, files) never come
// here when they are allowed.
func (f *Filter) oscDone(end string) {
	n, rest, hasRest := oscNumber(f.seq)
	if len(f.seq) > maxOSC && n != 8 {
		return
	}
	ok := false
	switch {
	case 0 <= n && n <= 2: // titles
		ok = hasRest
	case n == 4 || n == 5 || 10 <= n && n <= 19:
		if ok = hasRest && printable(rest); ok {
			f.term.setColours(n, rest)
		}
	case n == 104 || n == 105 || 110 <= n && n <= 119:
		if ok = printable(rest); ok && rest == "" {
			f.term.colours &^= colour(n - 100)
		}
	case n == 8:
		f.link(rest, end)
	case n == 9:
		ok = hasRest && f.notification(rest)
	case n == 22: // the pointer's shape
		ok = hasRest && strings.Trim(strings.ToLower(rest), "abcdefghijklmnopqrstuvwxyz0123456789_-,:<>=?") == ""
	case n == 133: // where a prompt begins and ends
		ok = hasRest
	}
	if ok {
		f.emit("\x1b]", f.seq, end)
	}
}

// link forwards a hyperlink to the web or the end of one. Another link ends the one before it, because its text
// would else seem to belong to that.
func (f *Filter) link(rest, end string) {
	params, uri, ok := strings.Cut(rest, ";")
	lower := strings.ToLower(uri[:min(len(uri), len("https://"))])
	web := strings.HasPrefix(lower, "http://") || lower == "https://"
	switch {
	case ok && web && printable(params) && printable(uri) && !strings.Contains(uri, " "):
		f.term.link = true
		f.emit("\x1b]", f.seq, end)
	case f.term.link:
		f.term.link = false
		f.emit("\x1b]8;;", nil, end)
	}
}

// notification takes what follows OSC 9: a message, or a command of ConEmu's, of which only progress (4) passes.
// Others run programs (7), wait (1), or change the environment (8).
func (f *Filter) notification(rest string) bool {
	command, args, _ := strings.Cut(rest, ";")
	if command == "" || strings.Trim(command, "0123456789") != "" {
		return rest != "" && rest[0] != ';'
	}
	if command != "4" || strings.Trim(args, "0123456789;") != "" {
		return false
	}
	state, _, _ := strings.Cut(args, ";")
	f.term.progress = strings.Trim(state, "0") != ""
	return true
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}
