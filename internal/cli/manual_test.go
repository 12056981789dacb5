package cli

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	gocmp "github.com/google/go-cmp/cmp"
	cli "github.com/urfave/cli/v2"

	"agentbox/profile"
)

// docs are the pages that people read.
const docs = "../../docs"

// TestManualsSayWhatTheProgramSays holds the reference parts of the manual pages to the program: each command, option,
// default and exit code, and each key of the profile. -update rewrites them.
func TestManualsSayWhatTheProgramSays(t *testing.T) {
	for page, parts := range map[string]map[string]string{
		"agentbox.1.md":      {"COMMANDS": manualCommands(newApp(testApp(t))), "OPTIONS": manualOptions(newApp(testApp(t))), "EXIT STATUS": manualCodes()},
		"agentbox.toml.5.md": {"KEYS": string(profile.Markdown())},
	} {
		path := filepath.Join(docs, page)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		for heading, body := range parts {
			if text, err = withPart(text, heading, body); err != nil {
				t.Fatalf("%s: %v", page, err)
			}
		}
		if flag.Lookup("update").Value.String() == "true" {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if diff := gocmp.Diff(strings.Split(string(data), "\n"), strings.Split(text, "\n")); diff != "" {
			t.Errorf("%s (-page +program; -update rewrites it):\n%s", page, diff)
		}
	}
}

// withPart puts a body under a heading, in the place of what is there.
func withPart(text, heading, body string) (string, error) {
	before, rest, found := strings.Cut(text, "\n## "+heading+"\n")
	if !found {
		return "", fmt.Errorf("there is no part %s", heading)
	}
	_, after, found := strings.Cut(rest, "\n## ")
	if !found {
		return "", fmt.Errorf("part %s is the last one", heading)
	}
	return before + "\n## " + heading + "\n\n" + strings.TrimSpace(body) + "\n\n## " + after, nil
}

// An option is one of a page: as it is written there, and the commands that take it.
type option struct {
	entry string
	of    []string
}

// optionsOf lists the options of all commands; those that are the same everywhere are one.
func optionsOf(app *cli.App) []option {
	var out []option
	for _, cmd := range app.VisibleCommands() {
		for _, f := range cmd.Flags {
			entry := manualOption(f)
			at := slices.IndexFunc(out, func(o option) bool { return o.entry == entry })
			if at < 0 {
				at = len(out)
				out = append(out, option{entry: entry})
			}
			out[at].of = append(out[at].of, cmd.Name)
		}
	}
	return out
}

func manualOption(f cli.Flag) string {
	doc := f.(cli.DocGenerationFlag)
	names := slices.Clone(f.Names())
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
	for i, name := range names {
		names[i] = "`" + dashes(name) + "`"
	}
	head, usage := strings.Join(names, ", "), doc.GetUsage()
	if doc.TakesValue() {
		value := "VALUE"
		if parts := strings.Split(usage, "`"); len(parts) == 3 {
			value = parts[1]
		}
		head += " " + value
	}
	usage = sentence(strings.ReplaceAll(usage, "`", ""))
	if _, list := f.(*cli.StringSliceFlag); list {
		usage += " Repeatable."
	}
	if text := strings.Trim(doc.GetDefaultText(), `"`); text != "" && doc.TakesValue() {
		usage += " Default: " + text + "."
	}
	return head + "\n: " + usage + "\n\n"
}

func sentence(text string) string {
	text = strings.TrimSpace(strings.ReplaceAll(text, "\n", " "))
	if text == "" {
		return ""
	}
	r := []rune(text)
	r[0] = unicode.ToUpper(r[0])
	if !strings.ContainsRune(".:", r[len(r)-1]) {
		r = append(r, '.')
	}
	return string(r)
}

func manualCommands(app *cli.App) string {
	var b strings.Builder
	b.WriteString("Options that several commands take are under OPTIONS. An ID may be a unique beginning of one that `ps` lists.\n\n")
	all := optionsOf(app)
	for _, cmd := range app.VisibleCommands() {
		about := strings.ReplaceAll(cmd.Description, exitText(), "")
		if cmd.Name == "completion" {
			about = "\n\n    " + strings.ReplaceAll(about, "\n", "\n    ")
		} else {
			about = " " + sentence(about)
		}
		fmt.Fprintf(&b, "### %s\n\n    %s\n\n%s\n\n", cmd.Name, cmd.UsageText, strings.TrimRight(sentence(cmd.Usage)+about, " "))
		for _, o := range all {
			if slices.Equal(o.of, []string{cmd.Name}) {
				b.WriteString(o.entry)
			}
		}
	}
	return b.String()
}

func manualOptions(app *cli.App) string {
	var b strings.Builder
	shared := slices.DeleteFunc(optionsOf(app), func(o option) bool { return len(o.of) < 2 })
	for len(shared) > 0 {
		of := shared[0].of
		if len(of) == len(app.VisibleCommands()) {
			b.WriteString("### Of all commands\n\n")
		} else {
			fmt.Fprintf(&b, "### Of %s and %s\n\n", strings.Join(of[:len(of)-1], ", "), of[len(of)-1])
		}
		shared = slices.DeleteFunc(shared, func(o option) bool {
			if !slices.Equal(o.of, of) {
				return false
			}
			b.WriteString(o.entry)
			return true
		})
	}
	return b.String()
}

func manualCodes() string {
	var b strings.Builder
	b.WriteString("`run` and `exec` pass the command's own code through. These are agentbox's:\n\n| code | meaning | since |\n|---|---|---|\n")
	for _, e := range exitTable {
		code, meaning := fmt.Sprint(e.code), e.meaning
		if e.code == exitSignal {
			code, meaning = code+"+N", strings.TrimPrefix(meaning, "plus N: ")
		}
		fmt.Fprintf(&b, "| %s | %s | 0.1 |\n", code, meaning)
	}
	b.WriteString("\nTreat any other code as a failure. `--result` tells a command's own 64 or 125 from agentbox's.\n")
	return b.String()
}
