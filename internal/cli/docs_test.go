package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pages are the documents, by their path from the root of the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	root := filepath.Join("..", "..")
	out := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			out[name] = string(data)
		}
	}
	return out
}

var testName = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*`)

func TestTestsThatTheDocsNameExist(t *testing.T) {
	var code strings.Builder
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		data, err := os.ReadFile(path)
		code.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for page, text := range pages(t) {
		for _, name := range testName.FindAllString(text, -1) {
			if !strings.Contains(code.String(), "\nfunc "+name+"(") {
				t.Errorf("%s names %s, and there is no such test", page, name)
			}
		}
	}
}

var (
	// begins is the first word of a piece of code, unless that is an option or a comment.
	begins    = regexp.MustCompile("^[`\\s$]*([a-z][a-z0-9_-]*)")
	codeText  = regexp.MustCompile("(?s)```.*?```|`[^`\n]+`|\n    [^\n]+")
	longName  = regexp.MustCompile(`(?:^|[^\w-])--([a-z][a-z-]*)`)
	firstWord = regexp.MustCompile("(?m)(?:^    |[`\"]|\\$ |sudo )agentbox ([a-z]+)")
	makeWord  = regexp.MustCompile("(?m)(?:^ *|`|&& )make ([a-z]+)")
)

func TestCommandsAndOptionsThatTheDocsNameExist(t *testing.T) {
	app := newApp(testApp(t))
	commands, options := []string{"help"}, []string{"help"}
	for _, cmd := range app.VisibleCommands() {
		commands = append(commands, cmd.Name)
		for _, one := range append(cmd.Subcommands, cmd) {
			for _, f := range one.Flags {
				options = append(options, f.Names()...)
			}
		}
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for page, text := range pages(t) {
		for _, code := range codeText.FindAllString(text, -1) {
			first := begins.FindStringSubmatch(code)
			ours := first == nil || first[1] == "agentbox" || slices.Contains(commands, first[1])
			for _, m := range longName.FindAllStringSubmatch(code, -1) {
				if ours && !slices.Contains(options, m[1]) {
					t.Errorf("%s: %s: there is no option --%s", page, strings.TrimSpace(code), m[1])
				}
			}
			for _, m := range firstWord.FindAllStringSubmatch(code, -1) {
				if !slices.Contains(commands, m[1]) {
					t.Errorf("%s: %s: there is no command %s", page, strings.TrimSpace(code), m[1])
				}
			}
			for _, m := range makeWord.FindAllStringSubmatch(code, -1) {
				if !strings.Contains(string(makefile), "\n"+m[1]+":") {
					t.Errorf("%s: %s: the Makefile has no target %s", page, strings.TrimSpace(code), m[1])
				}
			}
		}
	}
}

func TestTheReadmeNamesEveryCommandAndPackage(t *testing.T) {
	readme := pages(t)["README.md"]
	for _, cmd := range newApp(testApp(t)).VisibleCommands() {
		if !strings.Contains(readme, "`"+cmd.Name+"`") && !strings.Contains(readme, "`"+cmd.Name+" [") {
			t.Errorf("the command %s is not in it", cmd.Name)
		}
	}
	for dir := range mayImport {
		if dir != "." && !strings.Contains(readme, "\n| "+dir) && !strings.Contains(readme, ", "+dir+" |") && !strings.Contains(readme, ", "+dir+",") {
			t.Errorf("the package %s is not in it", dir)
		}
	}
}
