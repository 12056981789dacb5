package hook

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"agentbox/internal/hook/shell"
)

// bash decides about a command line: each program that it would start, and each file that its text names.
func (c call) bash(line string) Answer {
	a := shell.Analyze(line)
	if a.Broken {
		return unclear(a)
	}
	if r, ok := c.p.commandRule(c.p.deny, a); ok {
		return c.refused(r)
	}
	if answer, denied := c.touched(a); denied {
		return answer
	}
	if len(a.Unclear) > 0 && c.p.judges() {
		return unclear(a)
	}
	if answer, found := c.dangerousLine(a); found {
		return answer
	}
	if r, ok := c.p.commandRule(c.p.ask, a); ok {
		return Answer{Verdict: Ask, Rule: r.key, Reason: fmt.Sprintf("%s asks a person about %s.", r.key, r)}
	}
	if r, ok := c.toolRule(c.p.ask, true); ok {
		return Answer{Verdict: Ask, Rule: r.key, Reason: r.key + " asks a person about commands."}
	}
	key, why := c.allAllowed(a)
	if key != "" && why == "" {
		return Answer{Verdict: Allow, Rule: key}
	}
	answer := c.unnamed()
	if answer.Verdict == Deny {
		answer.Reason = why + ". " + answer.Reason
	}
	return answer
}

// unclear refuses what its text does not show.
func unclear(a shell.Analysis) Answer {
	return Answer{Rule: "default: not-understood", Reason: "what this would run cannot be read from its text: " + strings.Join(a.Unclear, "; ") + "."}
}

// spelling is a command as rules see it: its words, separated by one space.
func spelling(words []shell.Word) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = w.Text
	}
	return strings.Join(texts, " ")
}

// spellings are the texts that a denial is compared with: as it is written, by the name alone, and of git without what
// stands before its command.
func spellings(c shell.Command) []string {
	list := []string{spelling(c.Words)}
	if c.Name == "" {
		return list
	}
	rest := spelling(c.Words[1:])
	list = append(list, strings.TrimSuffix(c.Name+" "+rest, " "), strings.TrimSuffix(path.Base(c.Words[0].Text)+" "+rest, " "))
	if c.Name == "git" {
		list = append(list, strings.TrimSuffix("git "+spelling(gitCommand(c.Words[1:])), " "))
	}
	return list
}

// gitCommand skips the options of git itself.
func gitCommand(words []shell.Word) []shell.Word {
	for len(words) > 0 && strings.HasPrefix(words[0].Text, "-") {
		n := 1
		if slices.Contains([]string{"-c", "-C", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env"}, words[0].Text) {
			n = 2
		}
		words = words[min(n, len(words)):]
	}
	return words
}

// matches compares a specifier with a text: "git push:*" is a prefix that ends with a word, a star stands for anything,
// and the rest is as it is written.
func matches(spec, text string) bool {
	if prefix, ok := strings.CutSuffix(spec, ":*"); ok {
		if strings.Contains(prefix, "*") {
			return glob(prefix, text) || glob(prefix+" *", text)
		}
		return text == prefix || strings.HasPrefix(text, prefix+" ")
	}
	return glob(spec, text)
}

// mayMatch reports that a command is what a denial names, or could be when it runs.
func mayMatch(spec string, c shell.Command) bool {
	for _, text := range spellings(c) {
		if matches(spec, text) || c.Added && strings.HasPrefix(spec, text+" ") {
			return true
		}
	}
	wanted := strings.Fields(strings.TrimSuffix(spec, ":*"))
	if c.Name == "" || len(wanted) == 0 || wanted[0] != c.Name {
		return false
	}
	words := c.Words[1:]
	if c.Name == "git" {
		words = gitCommand(words)
	}
	for i, want := range wanted[1:] {
		switch {
		case i >= len(words):
			return false
		case !words[i].Literal:
			return true
		case want != words[i].Text:
			return false
		}
	}
	return false
}

// harmless builtins change nothing outside the shell; their arguments are looked at as those of any other command.
var harmless = []string{":", "[", "break", "cd", "continue", "exit", "false", "local", "popd", "pushd", "pwd", "return", "set", "shift", "test", "true", "wait"}

// passing wrappers start the program that follows, and do nothing else of note.
var passing = []string{"builtin", "command", "env", "ionice", "nice", "nohup", "stdbuf", "time", "timeout"}

// systemDirs hold the programs that a bare name means.
var systemDirs = []string{"/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"}

// isNamed reports that an allow names a command, and all of it.
func isNamed(spec string, c shell.Command) bool {
	prefix, open := strings.CutSuffix(spec, ":*")
	if c.Added && !open && !strings.HasSuffix(spec, "*") {
		return false
	}
	for i := range min(len(strings.Fields(prefix)), len(c.Words)) {
		if !c.Words[i].Literal || c.Words[i].Pattern {
			return false
		}
	}
	if len(c.Words) == 0 {
		return false
	}
	if matches(spec, spelling(c.Words)) {
		return true
	}
	program := c.Words[0].Text
	if !slices.Contains(systemDirs, path.Dir(program)) {
		return false
	}
	return matches(spec, strings.TrimSuffix(path.Base(program)+" "+spelling(c.Words[1:]), " "))
}

// writers are programs whose arguments they write, remove or change.
var writers = []string{"chgrp", "chmod", "chown", "cp", "dd", "install", "ln", "mkdir", "mkfifo", "mv", "patch", "rm", "rmdir", "sed", "shred", "tee", "touch", "truncate", "unlink"}

// maxReached bounds the words of a line that are followed as paths.
const maxReached = 500

// touches are the paths that a line names: the targets of its redirections, and the words that may be one.
func touches(a shell.Analysis) []reach {
	var list []reach
	for _, f := range a.Files {
		list = append(list, reach{name: pathText(f.Word), reading: f.Access == shell.Read, writing: f.Access == shell.Write, pattern: f.Pattern})
	}
	for _, cmd := range a.Commands {
		for i, w := range cmd.Words {
			for _, name := range names(w, i == 0) {
				list = append(list, reach{name: name, reading: true, writing: slices.Contains(writers, cmd.Name) && i > 0 || isOutput(cmd, i), pattern: w.Pattern})
			}
		}
	}
	return list
}

// isOutput reports a word that names the file which a program writes, as most options do that are called so.
func isOutput(cmd shell.Command, i int) bool {
	option := func(w shell.Word) bool { return strings.HasPrefix(w.Text, "--output") }
	if i > 0 && (option(cmd.Words[i]) && strings.Contains(cmd.Words[i].Text, "=")) {
		return true
	}
	return i > 1 && (option(cmd.Words[i-1]) || cmd.Words[i-1].Text == "-o")
}

// isHidden reports words whose text does not show which file they name.
func isHidden(a shell.Analysis) bool {
	hidden := func(w shell.Word) bool {
		known := strings.HasPrefix(pathText(w), "$HOME/") || strings.HasPrefix(pathText(w), "${HOME}/") || strings.HasPrefix(pathText(w), "$PWD/")
		elsewhere := w.Tilde && w.Text != "~" && !strings.HasPrefix(w.Text, "~/") // ~+, ~-, ~user
		return w.Several || elsewhere || !w.Literal && (!known || strings.Count(w.Text, "$") > 1)
	}
	for _, cmd := range a.Commands {
		if !slices.Contains([]string{"echo", "printf", "test", "["}, cmd.Name) && !begins(cmd, "git commit") && slices.ContainsFunc(cmd.Words[1:], hidden) {
			return true
		}
	}
	return slices.ContainsFunc(a.Files, func(f shell.File) bool { return hidden(f.Word) })
}

func pathText(w shell.Word) string {
	if w.Literal && strings.HasPrefix(w.Text, "~") && !w.Tilde {
		return "./" + w.Text
	}
	if !w.Literal {
		return strings.ReplaceAll(w.Text, `"`, "")
	}
	return w.Text
}

// names are the paths that a word may be: itself, and what follows an option or an equals sign in it.
func names(w shell.Word, program bool) []string {
	text := pathText(w)
	if program && !strings.Contains(text, "/") || text == "" || !w.Literal && !strings.HasPrefix(text, "$") {
		return nil
	}
	list := []string{text}
	if _, value, ok := strings.Cut(text, "="); ok && value != "" {
		list = append(list, value)
	}
	if strings.HasPrefix(text, "-") {
		list = list[1:]
		if at := strings.IndexAny(text, "/~."); at > 0 && !strings.HasPrefix(text, "--") {
			list = append(list, text[at:])
		}
	}
	if rest, ok := strings.CutPrefix(text, "@"); ok {
		list = append(list, rest)
	}
	if _, rest, ok := strings.Cut(text, ":"); ok && strings.HasPrefix(rest, "/") {
		list = append(list, rest)
	}
	return list
}

// wanders lists the directories that a line may be in: that of the call, and where cd leads.
func (c call) wanders(a shell.Analysis) (dirs []string, sure bool) {
	dirs, sure = []string{c.Dir}, true
	for _, cmd := range a.Commands {
		if cmd.Name != "cd" && cmd.Name != "pushd" {
			continue
		}
		target := shell.Word{Text: "~", Literal: true, Tilde: true}
		for _, w := range cmd.Words[1:] {
			if !strings.HasPrefix(w.Text, "-") {
				target = w
			}
		}
		if !target.Literal || target.Pattern || len(dirs) > 16 {
			sure = false
			continue
		}
		for _, dir := range slices.Clone(dirs) {
			at := c
			at.Dir = dir
			if to := at.full(pathText(target))[0]; !slices.Contains(dirs, to) {
				dirs = append(dirs, to)
			}
		}
	}
	return dirs, sure
}

// touched refuses a line for a path in it.
func (c call) touched(a shell.Analysis) (Answer, bool) {
	dirs, sure := c.wanders(a)
	list := touches(a)
	if c.p.guardsPaths() && (!sure || len(list) > maxReached || c.p.star && isHidden(a)) {
		return Answer{Rule: "default: not-understood", Reason: "the text does not show which files this is about: write the paths out, a few at a time, without variables and braces."}, true
	}
	for _, dir := range dirs {
		at := c
		at.Dir = dir
		for _, r := range list {
			if a, denied := at.isDenied(r); denied {
				return a, true
			}
		}
	}
	return Answer{}, false
}

// guardsPaths reports rules of the person about paths.
func (p *Policy) guardsPaths() bool {
	return slices.ContainsFunc(p.deny, func(r rule) bool { return r.where != nil })
}

// judges reports rules about single commands: what cannot be read cannot be compared with them.
func (p *Policy) judges() bool {
	for _, list := range [][]rule{p.deny, p.ask} {
		if slices.ContainsFunc(list, func(r rule) bool { return r.Tool == "Bash" && r.Spec != "" || r.Tool == "*" }) {
			return true
		}
	}
	return false
}

// commandRule finds the rule that a denial or a question is about.
func (p *Policy) commandRule(list []rule, a shell.Analysis) (rule, bool) {
	for _, r := range list {
		if r.Tool == "Bash" && r.Spec != "" && !r.All() && slices.ContainsFunc(a.Commands, func(cmd shell.Command) bool { return mayMatch(r.Spec, cmd) }) {
			return r, true
		}
	}
	return rule{}, false
}

// allAllowed reports that an allow names every command of a line, and everything that it writes; key is that of the first.
func (c call) allAllowed(a shell.Analysis) (key, why string) {
	var rules []rule
	for _, r := range c.p.allow {
		if r.Tool != "Bash" {
			continue
		}
		if r.Spec == "" {
			return r.key, ""
		}
		rules = append(rules, r)
	}
	for i, cmd := range a.Commands {
		at := slices.IndexFunc(rules, func(r rule) bool { return isNamed(r.Spec, cmd) })
		switch {
		case at >= 0:
			key = rules[at].key
		case slices.Contains(harmless, cmd.Name) && cmd.Words[0].Text == cmd.Name:
		case slices.Contains(passing, cmd.Name) && startsAnother(a.Commands[i+1:], cmd):
		default:
			return "", fmt.Sprintf("%q is not among what the profile allows", first(cmd))
		}
	}
	if key == "" && len(a.Commands) > 0 && len(rules) > 0 {
		key = rules[0].key
	}
	if key == "" {
		return "", "no rule of the profile allows it"
	}
	return key, c.writesAllowed(a)
}

func first(c shell.Command) string {
	if c.Name != "" {
		return c.Name
	}
	return c.Words[0].Text
}

func startsAnother(later []shell.Command, c shell.Command) bool {
	return slices.ContainsFunc(later, func(inner shell.Command) bool {
		return len(inner.Via) > len(c.Via) && inner.Via[len(c.Via)] == c.Name
	})
}

// writesAllowed says which redirection no allow of editing names. What the person left to the agent's own mode is not
// asked about here.
func (c call) writesAllowed(a shell.Analysis) string {
	for _, f := range a.Files {
		name := pathText(f.Word)
		if f.Access != shell.Write || name == "/dev/null" || name == "/dev/stdout" || name == "/dev/stderr" {
			continue
		}
		edits := slices.ContainsFunc(c.p.allow, func(r rule) bool {
			return r.Tool == "Edit" && (r.Spec == "" || f.Literal && !f.Pattern && c.lies(name, *r.where))
		})
		if !edits || f.Forced {
			return fmt.Sprintf("no rule of the profile allows to write %q", name)
		}
	}
	if !c.p.star {
		return ""
	}
	for _, r := range touches(a) {
		if r.writing && r.name != "/dev/null" && !slices.ContainsFunc(c.p.allow, func(a rule) bool { return a.Tool == "Edit" && (a.Spec == "" || c.lies(r.name, *a.where)) }) {
			return fmt.Sprintf("no rule of the profile allows to write %q", r.name)
		}
		if !path.IsAbs(r.name) && !strings.HasPrefix(r.name, "~") && !strings.HasPrefix(r.name, "..") && !strings.HasPrefix(r.name, "$") || r.name == "/dev/null" {
			continue
		}
		reading := slices.ContainsFunc(c.p.allow, func(a rule) bool { return a.Tool == "Read" && (a.Spec == "" || c.lies(r.name, *a.where)) })
		specific := slices.ContainsFunc(c.p.allow, func(a rule) bool { return a.Tool == "Read" && a.Spec != "" })
		if specific && !reading && !slices.Contains(systemDirs, path.Dir(r.name)) {
			return fmt.Sprintf("no rule of the profile allows to read %q", r.name)
		}
	}
	return ""
}
