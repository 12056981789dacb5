package shell

import (
	"slices"
	"strings"
)

// A prefix is a program that starts its arguments, after options of its own.
type prefix struct {
	short, valued    string // options of one letter, without and with a value
	long, longValued []string
	skip             int  // arguments of its own before the program
	assigns          bool // NAME=value before the program
	added            bool // the program gets further arguments
	prints           string
}

// prefixes are the programs whose manual gives the options. An option that is not here makes the line unclear: it may
// take a value, and then another word would be the program.
var prefixes = map[string]prefix{
	"command": {short: "pvV", prints: "vV"},
	"builtin": {},
	"exec":    {short: "cl", valued: "a"},
	"nohup":   {long: []string{"help", "version"}},
	"nice":    {short: "0123456789-", valued: "n", longValued: []string{"adjustment"}},
	"ionice":  {short: "t", valued: "cn", long: []string{"ignore"}, longValued: []string{"class", "classdata"}},
	"timeout": {short: "v", valued: "ks", long: []string{"foreground", "preserve-status", "verbose"}, longValued: []string{"kill-after", "signal"}, skip: 1},
	"stdbuf":  {valued: "ioe", longValued: []string{"input", "output", "error"}},
	"setsid":  {short: "cfw", long: []string{"ctty", "fork", "wait"}},
	"time":    {short: "pv", valued: "f", long: []string{"portability", "verbose"}, longValued: []string{"format"}},
	"sudo":    {short: "AbEHnPSkis", valued: "ughpCrtTDR", long: []string{"preserve-env", "login", "shell", "non-interactive", "stdin"}, longValued: []string{"user", "group", "host"}, assigns: true},
	"doas":    {short: "ns", valued: "u", assigns: true},
	"chroot":  {longValued: []string{"userspec", "groups"}, long: []string{"skip-chdir"}, skip: 1},
	"busybox": {}, "toybox": {},
	"xargs": {short: "0rtpxoil", valued: "EdILnPs", added: true,
		long:       []string{"null", "no-run-if-empty", "verbose", "interactive", "exit", "open-tty"},
		longValued: []string{"delimiter", "max-args", "max-procs", "replace", "max-lines", "max-chars"}},
	"npx":  {short: "yq", valued: "p", long: []string{"yes", "no-install", "quiet"}, longValued: []string{"package"}},
	"bunx": {long: []string{"bun"}}, "uvx": {short: "q", longValued: []string{"from", "with"}, long: []string{"quiet"}},
}

// opaque programs start others in ways that are not read.
var opaque = []string{
	"at", "batch", "crontab", "csh", "expect", "fish", "gdb", "ltrace", "nsenter", "parallel", "pwsh", "script", "strace", "su", "systemd-run", "tcsh", "unshare", "bwrap", "runuser", "setpriv", "start-stop-daemon", "screen", "tmux", "entr", "inotifywait",
}

// An unwrapper finds what a program starts. Its words are the arguments.
type unwrapper func(a *analyzer, words []Word, f from)

func unwrapperOf(name string) unwrapper {
	if p, ok := prefixes[name]; ok {
		return func(a *analyzer, words []Word, f from) { p.unwrap(a, name, words, f) }
	}
	if slices.Contains(opaque, name) {
		return func(a *analyzer, _ []Word, _ from) {
			a.unclear("%s starts other programs in ways that are not read: run the program itself", name)
		}
	}
	switch name {
	case "env":
		return env
	case "sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "rbash":
		return shells
	case "python", "perl", "ruby", "node", "nodejs", "php", "lua", "deno", "bun", "Rscript", "tclsh", "osascript", "guile", "pypy":
		return interpreter
	case "eval":
		return eval
	case "source":
		return sourced
	case "trap":
		return trap
	case "git":
		return git
	case "find":
		return find
	case "fd", "fdfind":
		return fd
	case "watch", "flock":
		return joined
	}
	return toolOf(name)
}

func (p prefix) unwrap(a *analyzer, name string, words []Word, f from) {
	rest, letters, ok := p.options(words)
	switch {
	case !ok:
		a.unclear("%s has an option here that is not known: leave it out", name)
		return
	case strings.ContainsAny(letters, p.prints) && p.prints != "", len(rest) < p.skip:
		return
	}
	if slices.ContainsFunc(rest[:p.skip], func(w Word) bool { return !w.Literal || w.Pattern }) {
		a.unclear("an argument of %s comes from a variable: it could be the program, so write it out", name)
	}
	rest = rest[p.skip:]
	if p.assigns {
		rest, f = a.assignments(rest, f)
	}
	f.added = f.added || p.added
	a.start(rest, f)
}

// options skips those of a prefix, and gives the letters that it saw.
func (p prefix) options(words []Word) (rest []Word, letters string, ok bool) {
	for len(words) > 0 {
		w := words[0]
		switch long, isLong := strings.CutPrefix(w.Text, "--"); {
		case !w.Literal && strings.HasPrefix(strings.Trim(w.Text, `"`), "$"):
			return words, letters, true // as the program it is unclear
		case w.Text == "--":
			return words[1:], letters, true
		case isLong:
			name, _, has := strings.Cut(long, "=")
			words = words[1:]
			switch {
			case slices.Contains(p.long, name):
			case !slices.Contains(p.longValued, name):
				return nil, "", false
			case !has && len(words) > 0:
				words = words[1:]
			}
		case len(w.Text) > 1 && w.Text[0] == '-':
			words = words[1:]
			takes, known := p.letters(w.Text[1:], &letters)
			if !known {
				return nil, "", false
			}
			if takes && len(words) > 0 {
				words = words[1:]
			}
		default:
			return words, letters, true
		}
	}
	return nil, letters, true
}

// letters reads a bundle of options; takes reports that the next word is a value.
func (p prefix) letters(bundle string, seen *string) (takes, known bool) {
	for i, c := range bundle {
		*seen += string(c)
		switch {
		case strings.ContainsRune(p.valued, c):
			return i == len(bundle)-1, true
		case !strings.ContainsRune(p.short, c):
			return false, false
		}
	}
	return false, true
}

// assignments takes the leading NAME=value words away.
func (a *analyzer) assignments(words []Word, f from) ([]Word, from) {
	for len(words) > 0 {
		name, _, ok := strings.Cut(words[0].Text, "=")
		if !ok || strings.HasPrefix(name, "/") {
			break
		}
		a.assigned(name)
		f.env = append(slices.Clone(f.env), name)
		words = words[1:]
	}
	return words, f
}

// env(1). With -S it splits a string, much as a shell does.
func env(a *analyzer, words []Word, f from) {
	p := prefix{short: "i0v", valued: "uC", long: []string{"ignore-environment", "null", "debug"}, longValued: []string{"unset", "chdir"}}
	for i, w := range words {
		text, split := strings.CutPrefix(w.Text, "--split-string")
		if !split {
			text, split = strings.CutPrefix(w.Text, "-S")
		}
		if at := strings.IndexByte(w.Text, 'S'); !split && at > 0 && w.Text[0] == '-' && w.Text[1] != '-' && strings.Trim(w.Text[1:at], p.short) == "" {
			text, split = w.Text[at+1:], true
		}
		if !split {
			if !strings.HasPrefix(w.Text, "-") {
				break
			}
			continue
		}
		rest := words[i+1:]
		if text = strings.TrimPrefix(text, "="); text == "" && len(rest) > 0 {
			w, text, rest = rest[0], rest[0].Text, rest[1:]
		}
		if !w.Literal || strings.ContainsAny(text, "\\'\"$#") {
			a.unclear("env -S splits a text that is not read: write the command without it")
			return
		}
		var parts []Word
		for _, s := range strings.Fields(text) {
			parts = append(parts, Word{Text: s, Literal: true})
		}
		words = slices.Concat(words[:i], parts, rest)
		break
	}
	rest, _, ok := p.options(words)
	if !ok {
		a.unclear("env has an option here that is not known: leave it out")
		return
	}
	if len(rest) > 0 && rest[0].Text == "-" {
		rest = rest[1:]
	}
	rest, f = a.assignments(rest, f)
	a.start(rest, f)
}

// joined are programs that have a shell run their arguments as one text, or run them as they are.
func joined(a *analyzer, words []Word, f from) {
	p := prefix{short: "bcdegptxsnuoFe", valued: "w"}
	if f.via[len(f.via)-1] == "watch" {
		p = prefix{short: "bcdegptx", valued: "n"}
	}
	rest, _, ok := p.options(words)
	if !ok {
		a.unclear("%s has an option here that is not known: leave it out", f.via[len(f.via)-1])
		return
	}
	if f.via[len(f.via)-1] == "flock" {
		if len(rest) == 0 {
			return
		}
		if rest = rest[1:]; len(rest) > 1 && rest[0].Text == "-c" {
			rest = rest[1:]
		} else {
			a.start(rest, f)
			return
		}
	}
	a.text(rest, f)
}

// text is a program that is given in some words.
func (a *analyzer) text(words []Word, f from) {
	var parts []string
	for _, w := range words {
		if !w.Literal || w.Pattern {
			a.unclear("%s is given a text that comes from a variable or a substitution: write it out", f.via[len(f.via)-1])
			return
		}
		parts = append(parts, w.Text)
	}
	a.program(strings.Join(parts, " "), f)
}
