package shell

import (
	"slices"
	"strings"
)

// plainKeys are configuration of git that names no program (git-config(1)); a dot at the end is for all below.
var plainKeys = []string{
	"user.", "color.", "advice.", "author.", "committer.", "column.", "commit.gpgsign", "commit.verbose", "core.abbrev", "core.autocrlf", "core.eol",
	"core.filemode", "core.ignorecase", "core.longpaths", "core.quotepath", "core.precomposeunicode", "diff.renames", "diff.context", "diff.algorithm",
	"diff.noprefix", "fetch.prune", "gc.auto", "init.defaultbranch", "log.", "merge.conflictstyle", "merge.ff", "pull.rebase", "pull.ff", "push.default",
	"push.autosetupremote", "rebase.autostash", "rebase.autosquash", "safe.directory", "status.", "tag.gpgsign", "tag.sort", "branch.sort", "versionsort.", "http.version", "http.postbuffer",
}

// PlainGitKey reports configuration of git that cannot make it start a program.
func PlainGitKey(key string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc(plainKeys, func(p string) bool { return key == p || strings.HasSuffix(p, ".") && strings.HasPrefix(key, p) })
}

func git(a *analyzer, words []Word, f from) {
	for len(words) > 0 && strings.HasPrefix(words[0].Text, "-") {
		w := words[0]
		words = words[1:]
		switch {
		case w.Text == "-c" && len(words) > 0:
			a.gitConfig(words[0], f)
			words = words[1:]
		case w.Text == "-C" && len(words) > 0:
			words = words[1:]
		case slices.Contains([]string{"-p", "-P", "-v", "-h", "--paginate", "--no-pager", "--bare", "--version", "--help", "--no-optional-locks", "--literal-pathspecs", "--no-replace-objects", "--no-lazy-fetch"}, w.Text):
		default:
			a.unclear("git %s changes which programs git runs, or is not known: leave it out", optionName(w))
			return
		}
	}
	if len(words) == 0 {
		return
	}
	a.gitCommand(words[0], words[1:], f)
}

func optionName(w Word) string {
	name, _, _ := strings.Cut(w.Text, "=")
	return name
}

func (a *analyzer) gitConfig(w Word, f from) {
	key, value, _ := strings.Cut(w.Text, "=")
	command, bang := strings.CutPrefix(value, "!")
	switch {
	case !w.Literal:
		a.unclear("the configuration of git -c comes from a variable: write it out")
	case strings.HasPrefix(strings.ToLower(key), "alias.") && bang:
		a.program(command, f)
	case !PlainGitKey(key):
		a.unclear("git -c %s may start another program: leave it out", key)
	}
}

// gitCommand looks for what a subcommand starts. Long options of git may be cut short.
func (a *analyzer) gitCommand(sub Word, args []Word, f from) {
	switch sub.Text {
	case "rebase":
		for i, w := range args {
			if text, ok := strings.CutPrefix(w.Text, "--exec="); ok && w.Literal {
				a.program(text, f)
			} else if text, ok := strings.CutPrefix(w.Text, "-x"); ok && text != "" {
				a.program(text, f)
			} else if (w.Text == "-x" || w.Text == "--exec") && i+1 < len(args) {
				a.text(args[i+1:i+2], f)
			}
		}
		return
	case "bisect":
		if len(args) > 1 && args[0].Text == "run" {
			a.start(args[1:], f)
		}
		return
	case "submodule":
		for i, w := range args {
			if w.Text == "foreach" {
				rest := args[i+1:]
				for len(rest) > 0 && strings.HasPrefix(rest[0].Text, "-") {
					rest = rest[1:]
				}
				a.text(rest, f)
			}
		}
		return
	case "filter-branch", "difftool", "mergetool", "send-email", "instaweb", "credential", "remote-ext", "shell":
		a.unclear("git %s starts other programs: use something else", sub.Text)
		return
	}
	for _, w := range args {
		for _, o := range []string{"--up", "--rec", "--exec", "--ext", "--open", "--conf", "--templ"} {
			if strings.HasPrefix(w.Text, o) && !strings.HasPrefix(w.Text, "--recurs") {
				a.unclear("git %s %s may start another program: leave it out", sub.Text, optionName(w))
			}
		}
		short := len(w.Text) > 1 && w.Text[0] == '-' && w.Text[1] != '-'
		switch {
		case strings.Contains(w.Text, "ext::"):
			a.unclear("an address that begins with ext:: starts a program: use another")
		case short && (sub.Text == "grep" && strings.HasPrefix(w.Text, "-O") || sub.Text == "clone" && (strings.HasPrefix(w.Text, "-u") || strings.HasPrefix(w.Text, "-c"))):
			a.unclear("git %s %s may start another program: leave it out", sub.Text, w.Text[:2])
		}
	}
}
