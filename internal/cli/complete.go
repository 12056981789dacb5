package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	cli "github.com/urfave/cli/v2"

	"agentbox/internal/session"
	"agentbox/launch"
	"agentbox/profile"
)

// A candidate is a word that may stand where the cursor is. A shell puts it on the command line unquoted, so it is
// one that no shell reads anything into: see safeWord.
type candidate struct{ text, about string }

// A reply is an answer to a shell: candidates, and what the shell is to add of its own: "files", "dirs", or
// "command N", the completion of the command that begins at word N.
type reply struct {
	shell      string
	candidates []candidate
}

// offers are the candidates that are not in the program.
type offers struct {
	profiles func() []candidate
	sessions func() []candidate    // that live
	kept     func() []session.Kept // live or not
}

// liveOffers look at this machine. What cannot be read offers nothing: a shell has no place for an error.
var liveOffers = offers{profiles: profileNames, sessions: sessionIDs, kept: keptSessions}

// completer knows the command line.
type completer struct {
	app *cli.App
	offers
}

// safeWord is what a candidate may consist of.
var safeWord = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`)

// complete answers for a command line of which the cursor is on the last word. Its first word is this program; "="
// between an option and its value is a word of its own.
func (k completer) complete(words []string) reply {
	if len(words) < 2 {
		return reply{}
	}
	last := len(words) - 1
	flags, cmd := k.app.Flags, (*cli.Command)(nil)
	var option cli.DocGenerationFlag // whose value comes next
	var args []string
	for at, word := range words[1:last] {
		at++
		switch {
		case word == "=" && option != nil:
		case option != nil:
			option = nil
		case word == "--" && takes(cmd, "COMMAND"):
			return reply{shell: "command " + strconv.Itoa(at+1)}
		case word == "--":
		case strings.HasPrefix(word, "-") && len(args) == 0:
			option = takesValue(flags, word)
		case cmd == nil && word == "help":
			return starting(words[last], reply{candidates: k.commands()})
		case cmd == nil:
			if cmd = k.app.Command(word); cmd == nil {
				return reply{}
			}
			flags = cmd.Flags
		case subcommand(cmd, word) != nil && len(args) == 0:
			cmd = subcommand(cmd, word)
			flags = cmd.Flags
		default:
			args = append(args, word)
			if first := commandAt(cmd, args); first >= 0 {
				return reply{shell: "command " + strconv.Itoa(at-len(args)+1+first)}
			}
		}
	}
	return starting(words[last], k.here(flags, cmd, option, args, words))
}

// here answers for the last word, after what stands before it.
func (k completer) here(flags []cli.Flag, cmd *cli.Command, option cli.DocGenerationFlag, args, words []string) reply {
	switch word := words[len(words)-1]; {
	case option != nil:
		return k.values(option)
	case strings.HasPrefix(word, "-") && len(args) == 0:
		return reply{candidates: options(flags)}
	case cmd == nil:
		return reply{candidates: k.commands()}
	}
	return k.arguments(cmd, args, len(words)-1)
}

// starting keeps the candidates that begin like the word under the cursor; a lone "=" has nothing after it yet.
func starting(word string, r reply) reply {
	if word == "=" {
		word = ""
	}
	r.candidates = slices.DeleteFunc(r.candidates, func(c candidate) bool {
		return !strings.HasPrefix(c.text, word) || !safeWord.MatchString(c.text)
	})
	return r
}

// takesValue is the option if the next word is its value.
func takesValue(flags []cli.Flag, word string) cli.DocGenerationFlag {
	name := strings.TrimLeft(word, "-")
	for _, f := range flags {
		if doc, ok := f.(cli.DocGenerationFlag); ok && doc.TakesValue() && slices.Contains(f.Names(), name) {
			return doc
		}
	}
	return nil
}

// commandAt is the place among the arguments where the agent's command begins without "--", or -1.
func commandAt(cmd *cli.Command, args []string) int {
	first := 0
	if takes(cmd, "ID") && session.ValidID(args[0]) {
		first = 1
	}
	if !takes(cmd, "COMMAND") || len(args) <= first {
		return -1
	}
	return first
}

// takes reports whether the usage of a command names an argument.
func takes(cmd *cli.Command, argument string) bool {
	return cmd != nil && slices.Contains(strings.FieldsFunc(cmd.UsageText, func(r rune) bool { return strings.ContainsRune(" []", r) }), argument)
}

// subcommand is a command of a command, as verify is of log.
func subcommand(cmd *cli.Command, name string) *cli.Command {
	for _, sub := range cmd.Subcommands {
		if sub.Name == name {
			return sub
		}
	}
	return nil
}

// arguments answers for the argument at word at.
func (k completer) arguments(cmd *cli.Command, args []string, at int) reply {
	r := reply{}
	if takes(cmd, "PATH...") || takes(cmd, "FILE") && len(args) == 0 {
		r.shell = "files"
	}
	switch {
	case takes(cmd, "ID") && (len(args) == 0 || takes(cmd, "...")):
		r.candidates = slices.DeleteFunc(k.ids(cmd.Name), func(c candidate) bool { return slices.Contains(args, c.text) })
		for _, sub := range cmd.Subcommands {
			r.candidates = append(r.candidates, candidate{sub.Name, sub.Usage})
		}
		return r
	case r.shell != "":
		return r
	case takes(cmd, "COMMAND"):
		return reply{shell: "command " + strconv.Itoa(at)}
	case len(args) > 0:
		return reply{}
	case takes(cmd, "SHELL"):
		return reply{candidates: plainWords(shells)}
	}
	return reply{}
}

// values answers for the value of an option: by what it is called, by the key of the profile that it is, or by the
// word that its usage has for it.
func (k completer) values(option cli.DocGenerationFlag) reply {
	name := option.Names()[0]
	switch name {
	case "color", "tty":
		return reply{candidates: plainWords([]string{"auto", "always", "never"})}
	case "profile":
		return reply{shell: "files", candidates: k.profiles()}
	case "resume":
		return reply{candidates: k.ids(dashes(name))}
	case "signal":
		return reply{candidates: plainWords([]string{"TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "KILL"})}
	case "env-pass":
		var names []string
		for _, kv := range os.Environ() {
			name, _, _ := strings.Cut(kv, "=")
			names = append(names, name)
		}
		slices.Sort(names)
		return reply{candidates: plainWords(names)}
	}
	for _, f := range profileFlags {
		if f.name == name {
			if words := keyWords(f.section + "." + f.key); words != nil {
				return reply{candidates: plainWords(words)}
			}
		}
	}
	for word, shell := range map[string]string{"`DIR`": "dirs", "`FILE`": "files", "`PATH`": "files", "`PATTERN`": "files"} {
		if strings.Contains(option.GetUsage(), word) {
			return reply{shell: shell}
		}
	}
	return reply{}
}

// keyWords are the words that a key of the profile takes in this version.
func keyWords(path string) []string {
	for _, key := range profile.Schema() {
		if key.Path == path {
			return slices.DeleteFunc(slices.Clone(key.Enum), func(w string) bool { return slices.Contains(key.NotBuilt, w) })
		}
	}
	return nil
}

func (k completer) commands() []candidate {
	var out []candidate
	for _, cmd := range k.app.Commands {
		if !cmd.Hidden && cmd.Name != "help" { // the library's, which it adds when it starts
			out = append(out, candidate{cmd.Name, cmd.Usage})
		}
	}
	return append(out, candidate{"help", "list the commands, or the options of one"})
}

// options are those of a command, with their dashes.
func options(flags []cli.Flag) []candidate {
	out := []candidate{{"--help", "show help"}}
	for _, f := range flags {
		doc, ok := f.(cli.DocGenerationFlag)
		for _, name := range f.Names() {
			if ok && name != "help" && name != "h" {
				out = append(out, candidate{dashes(name), strings.ReplaceAll(doc.GetUsage(), "`", "")})
			}
		}
	}
	slices.SortFunc(out, func(a, b candidate) int { return strings.Compare(a.text, b.text) })
	return out
}

func plainWords(words []string) []candidate {
	var out []candidate
	for _, w := range words {
		out = append(out, candidate{text: w})
	}
	return out
}

// profileNames are the presets and the profiles of this person and this machine.
func profileNames() []candidate {
	var out []candidate
	for _, name := range profile.Presets() {
		out = append(out, candidate{name, "preset"})
	}
	host, err := launch.Probe()
	if err != nil {
		return out
	}
	l, err := newLoader(host)
	if err != nil {
		return out
	}
	for _, dir := range []string{l.config, l.system} {
		files, _ := os.ReadDir(filepath.Join(dir, namedDir))
		for _, file := range files {
			name, is := strings.CutSuffix(file.Name(), ".toml")
			if is && !slices.ContainsFunc(out, func(c candidate) bool { return c.text == name }) {
				out = append(out, candidate{name, dir})
			}
		}
	}
	return out
}

// ofKept says which kept sessions a command, or run --resume, takes the ID of. The others take that of a live one.
var ofKept = map[string]func(session.Kept) bool{
	"log":      isKept,
	"verify":   isKept,
	"report":   isKept,
	"evidence": isKept,
	"logs":     func(k session.Kept) bool { return k.Info.Detached },
	"diff":     hasChanges,
	"apply":    canDecide,
	"discard":  canDecide,
	"--resume": canDecide,
	"prune":    hasEnded,
}

func isKept(session.Kept) bool       { return true }
func hasEnded(k session.Kept) bool   { return k.Info.State != session.Running }
func hasChanges(k session.Kept) bool { return k.Workspace != "" }
func canDecide(k session.Kept) bool  { return hasChanges(k) && hasEnded(k) }

// ids are the sessions that a command may be about. A live one without a record has a log all the same.
func (k completer) ids(command string) []candidate {
	fits, kept := ofKept[command]
	if !kept {
		return k.sessions()
	}
	var out []candidate
	for _, s := range k.kept() {
		if fits(s) {
			out = append(out, sessionCandidate(s.Info))
		}
	}
	if !slices.Contains([]string{"log", "verify", "report", "evidence"}, command) {
		return out
	}
	for _, s := range k.sessions() {
		if !slices.ContainsFunc(out, func(c candidate) bool { return c.text == s.text }) {
			out = append(out, s)
		}
	}
	return out
}

func sessionIDs() []candidate {
	root, err := session.Root()
	if err != nil {
		return nil
	}
	list, _ := session.List(root)
	var out []candidate
	for _, s := range list {
		out = append(out, sessionCandidate(s))
	}
	return out
}

func keptSessions() []session.Kept {
	root, err := recordsDir()
	if err != nil {
		return nil
	}
	list, _ := session.Records(root)
	return list
}

func sessionCandidate(s session.Info) candidate {
	return candidate{s.ID, s.Workspace + ": " + shorten(commandLine(s.Command), maxCommand)}
}
