package shell

import (
	"slices"
	"strings"
)

// shells read a text, a script, or what comes to them.
func shells(a *analyzer, words []Word, f from) {
	name, text, stdin := f.via[len(f.via)-1], false, false
	for len(words) > 0 && len(words[0].Text) > 1 && strings.ContainsAny(words[0].Text[:1], "-+") {
		w := words[0]
		words = words[1:]
		if w.Text == "--" {
			break
		}
		if long, ok := strings.CutPrefix(w.Text, "--"); ok {
			switch {
			case long == "version" || long == "help":
				return
			case !slices.Contains([]string{"norc", "noprofile", "posix", "login", "verbose", "restricted"}, long):
				a.unclear("%s has an option here that is not known: leave it out", name)
				return
			}
			continue
		}
		for _, c := range w.Text[1:] {
			switch {
			case c == 'c':
				text = true
			case c == 's':
				stdin = true
			case (c == 'o' || c == 'O') && len(words) > 0:
				words = words[1:]
			case !strings.ContainsRune("abefhiklmnprtuvxBCDEHP", c):
				a.unclear("%s has an option here that is not known: leave it out", name)
				return
			}
		}
	}
	switch {
	case text && len(words) > 0:
		a.text(words[:1], f)
	case text:
		a.unclear("%s -c has no text", name)
	case stdin || len(words) == 0 || words[0].Text == "-" || words[0].Text == "/dev/stdin":
		a.given(f)
	default:
		a.scriptOf(words[0], f)
	}
}

// given is the program that a shell reads from its standard input.
func (a *analyzer) given(f from) {
	name := f.via[len(f.via)-1]
	if f.text == nil {
		a.unclear("%s would run what it is given when it runs: write the commands out", name)
		return
	}
	text := *f.text
	f.text = nil
	a.program(text, f)
}

// scriptOf is a file of commands.
func (a *analyzer) scriptOf(w Word, f from) {
	switch {
	case !w.Literal:
		a.unclear("the name of a script for %s comes from a variable or a substitution: write it out", f.via[len(f.via)-1])
	case strings.HasPrefix(w.Text, "/dev/") || strings.HasPrefix(w.Text, "/proc/"):
		a.unclear("%s would run what it is given when it runs: write the commands out", f.via[len(f.via)-1])
	default:
		a.out.Files = append(a.out.Files, File{Word: w, Access: Read})
	}
}

func eval(a *analyzer, words []Word, f from) {
	if len(words) > 0 && words[0].Text == "--" {
		words = words[1:]
	}
	a.text(words, f)
}

func sourced(a *analyzer, words []Word, f from) {
	if len(words) > 0 && words[0].Text == "--" {
		words = words[1:]
	}
	if len(words) > 0 {
		a.scriptOf(words[0], f)
	}
}

func trap(a *analyzer, words []Word, f from) {
	if len(words) > 0 && words[0].Text == "--" {
		words = words[1:]
	}
	if len(words) < 2 || words[0].Text == "-" || words[0].Text == "-p" || words[0].Text == "-l" {
		return
	}
	a.text(words[:1], f)
}

// interpreter is a program that reads programs of a language which is not read here.
func interpreter(a *analyzer, words []Word, f from) {
	name := f.via[len(f.via)-1]
	for i, w := range words {
		switch {
		case w.Literal && (w.Text == "-" || w.Text == "/dev/stdin"):
			words = nil
		case len(w.Text) > 1 && strings.HasPrefix(w.Text, "-"):
			if strings.HasSuffix(w.Text, "c") || strings.HasSuffix(w.Text, "e") || strings.HasPrefix(w.Text, "--eval") || w.Text == "-r" || w.Text == "-p" {
				if slices.ContainsFunc(words[i:min(i+2, len(words))], func(w Word) bool { return !w.Literal }) {
					a.unclear("the program for %s comes from a variable or a substitution: write it out", name)
				}
				return
			}
			if w.Text == "-m" || w.Text == "--version" || w.Text == "-V" || w.Text == "-v" || w.Text == "--help" {
				return
			}
			continue
		default:
			a.scriptOf(w, f)
			return
		}
		break
	}
	if f.piped && f.text == nil {
		a.unclear("%s would run what it is given when it runs: write the program into a file", name)
	}
}
