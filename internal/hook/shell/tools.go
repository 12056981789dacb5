package shell

import (
	"regexp"
	"slices"
	"strings"
)

// find(1): its actions start programs, write files, and delete.
func find(a *analyzer, words []Word, f from) {
	for i := 0; i < len(words); i++ {
		switch text := words[i].Text; {
		case !words[i].Literal && !strings.Contains(text, "/"):
			a.unclear("an argument of find comes from a variable: it could be an action, so write it out")
		case slices.Contains([]string{"-exec", "-execdir", "-ok", "-okdir"}, text):
			end := i + 1
			for end < len(words) && words[end].Text != ";" && words[end].Text != "+" {
				end++
			}
			inner := f
			inner.added = true
			a.start(words[i+1:end], inner)
			i = end
		case text == "-delete":
			f.added = true
			a.add([]Word{{Text: "rm", Literal: true}}, f)
		case slices.Contains([]string{"-fprint", "-fprintf", "-fprint0", "-fls"}, text) && i+1 < len(words):
			a.out.Files = append(a.out.Files, File{Word: words[i+1], Access: Write})
		}
	}
}

func fd(a *analyzer, words []Word, f from) {
	for i, w := range words {
		if !slices.Contains([]string{"-x", "-X", "--exec", "--exec-batch"}, w.Text) {
			if strings.HasPrefix(w.Text, "--exec") || len(w.Text) > 2 && w.Text[0] == '-' && w.Text[1] != '-' && strings.ContainsAny(w.Text, "xX") {
				a.unclear("fd starts a program here that is not read: write -x and the program as words of their own")
			}
			continue
		}
		end := i + 1
		for end < len(words) && words[end].Text != ";" {
			end++
		}
		f.added = true
		a.start(words[i+1:end], f)
		return
	}
}

// toolOf knows programs that start others, or write files, if an option or their own language says so.
func toolOf(name string) unwrapper {
	switch name {
	case "awk", "gawk", "mawk", "nawk":
		return awk
	case "sed", "gsed":
		return sed
	}
	return map[string]unwrapper{
		"tar":     options("--to-c", "--use-c", "--checkpoint-a", "--info-s", "--new-v", "--rsh", "--rmt", "-I", "-F"),
		"rsync":   options("-e", "--rsh", "--rsync-path"),
		"ssh":     options("-o", "-F"),
		"scp":     options("-o", "-F", "-S"),
		"sftp":    options("-o", "-F", "-S", "-b"),
		"vim":     options("-c", "-S", "-s", "--cmd", "+"),
		"vi":      options("-c", "-S", "-s", "--cmd", "+"),
		"nvim":    options("-c", "-S", "-s", "--cmd", "+"),
		"ex":      options("-c", "-S", "-s", "+"),
		"ed":      options("!"),
		"emacs":   options("--eval", "-l", "--load", "--script", "-f", "--execute"),
		"man":     options("-P", "--pager", "-H", "--html"),
		"zip":     options("-TT", "--unzip-command"),
		"sort":    options("--compress-program"),
		"split":   options("--filter"),
		"make":    options("SHELL", "--eval", ".SHELL", "MAKEFLAGS"),
		"gmake":   options("SHELL", "--eval", ".SHELL", "MAKEFLAGS"),
		"alias":   options(""),
		"enable":  options("-f"),
		"hash":    options("-p"),
		"bind":    options("-x"),
		"mapfile": options("-C"), "readarray": options("-C"), "compgen": options("-C", "-F"), "complete": options("-C", "-F"),
		"printf": options("-v"), "read": variables,
		"npm": packages("exec", "x"), "pnpm": packages("dlx", "exec"), "yarn": packages("dlx", "exec"), "pipx": packages("run"),
	}[name]
}

// options makes a line unclear that has one of these.
func options(prefixes ...string) unwrapper {
	return func(a *analyzer, words []Word, f from) {
		for _, w := range words {
			if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(w.Text, p) }) {
				a.unclear("%s %s may start another program, or make another word mean one: leave it out", f.via[len(f.via)-1], optionName(w))
			}
		}
	}
}

// variables are set by read.
func variables(a *analyzer, words []Word, _ from) {
	for _, w := range words {
		a.assigned(w.Text)
	}
}

// packages are programs that a package manager looks up and starts.
func packages(subcommands ...string) unwrapper {
	return func(a *analyzer, words []Word, f from) {
		if len(words) == 0 || !slices.Contains(subcommands, words[0].Text) {
			return
		}
		rest := words[1:]
		for len(rest) > 0 && strings.HasPrefix(rest[0].Text, "-") {
			if rest[0].Text != "--" && rest[0].Text != "-y" && rest[0].Text != "--yes" {
				a.unclear("%s has an option here that is not known: leave it out", f.via[len(f.via)-1])
				return
			}
			rest = rest[1:]
		}
		a.start(rest, f)
	}
}

// awkActs are what a program of awk does beyond printing: it starts programs, and writes and reads files.
var awkActs = regexp.MustCompile(`system|getline|@|(^|[^|])\|([^|]|$)|print[^;}\n]*>`)

func awk(a *analyzer, words []Word, f from) {
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w.Text == "-F" || w.Text == "-v" || w.Text == "--assign" || w.Text == "--field-separator":
			i++
		case strings.HasPrefix(w.Text, "-F") || strings.HasPrefix(w.Text, "-v"):
		case w.Text == "-f" && i+1 < len(words):
			a.scriptOf(words[i+1], f)
			return
		case w.Text == "--":
		case strings.HasPrefix(w.Text, "-"):
			a.unclear("awk has an option here that is not known: leave it out")
			return
		default:
			if !w.Literal || awkActs.MatchString(w.Text) {
				a.unclear("this program of awk may start other programs, or write files: use awk to print alone")
			}
			return
		}
	}
}

func sed(a *analyzer, words []Word, f from) {
	script := false
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch text := w.Text; {
		case (text == "-e" || text == "--expression") && i+1 < len(words):
			i++
			script = true
			a.sedScript(words[i])
		case strings.HasPrefix(text, "--expression="):
			script = true
			a.sedScript(Word{Text: text[len("--expression="):], Literal: w.Literal})
		case (text == "-f" || text == "--file") && i+1 < len(words):
			i++
			script = true
			a.scriptOf(words[i], f)
		case len(text) > 1 && text[0] == '-':
			if text[1] != '-' && !strings.HasPrefix(text, "-i") && strings.ContainsAny(text, "ef") {
				a.unclear("sed has several options in one word here: write -e and the script as words of their own")
			}
		case !script:
			script = true
			a.sedScript(w)
		}
	}
}

// sedScript looks for the commands of GNU sed that start programs or write files: e, w, W, and the flags e and w of s.
func (a *analyzer) sedScript(w Word) {
	const why = "this script of sed may start other programs, or write files: use s, p and d alone"
	if !w.Literal {
		a.unclear("the script of sed comes from a variable: write it out")
		return
	}
	s := w.Text
	for s != "" {
		c := s[0]
		switch {
		case strings.IndexByte(" \t\n;{}!,+~$0123456789", c) >= 0:
			s = s[1:]
		case c == '/':
			s = afterDelimiter(s[1:], '/')
			s = strings.TrimLeft(s, "IM")
		case c == '\\' && len(s) > 1:
			s = strings.TrimLeft(afterDelimiter(s[2:], s[1]), "IM")
		case (c == 's' || c == 'y') && len(s) > 1:
			s = afterDelimiter(afterDelimiter(s[2:], s[1]), s[1])
			flags := s[:len(s)-len(strings.TrimLeft(s, "gpiImMew0123456789"))]
			if s = s[len(flags):]; strings.ContainsAny(flags, "ew") {
				a.unclear(why)
			}
		case strings.IndexByte("pdDgGhHnNPqQxz=lF", c) >= 0:
			s = s[1:]
		case strings.IndexByte("aic", c) >= 0:
			_, s, _ = strings.Cut(s, "\n")
		case strings.IndexByte("btT:", c) >= 0:
			at := strings.IndexAny(s, ";\n")
			if at < 0 {
				return
			}
			s = s[at:]
		default:
			a.unclear(why)
			return
		}
	}
}

// afterDelimiter is what follows the next delimiter that no backslash takes.
func afterDelimiter(s string, d byte) string {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case d:
			return s[i+1:]
		}
	}
	return ""
}
