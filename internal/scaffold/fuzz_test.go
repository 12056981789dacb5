package scaffold

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whatever lies in a project: the same answer twice, and a profile in which nothing is wrong. A line of the input is a
// path, one that ends in "@" a link, and text after "=" a file's content.
func FuzzLook(f *testing.F) {
	f.Add([]byte("go.mod=go 1.26\n.git/config=[remote \"x\"]\x00url = https://a.example/\nsecret.txt\nlink@\n"))
	f.Add([]byte("package.json={\"packageManager\": \"pnpm@9\"}\n.github/workflows/a.yml\n.husky/x\na/b/c/d/e\nsecret \".json\n"))
	f.Add([]byte("pyproject.toml=[tool.uv]\nCargo.toml=[workspace]\n\x1b[2J.tfstate\n\"]\x00secret\n"))
	f.Fuzz(func(t *testing.T, input []byte) {
		dir := t.TempDir()
		plant(dir, input)
		got := look(t, dir)
		if diff := cmp.Diff(got, look(t, dir)); diff != "" {
			t.Fatal(diff)
		}
		data := Write(got)
		passes(t, data)
		passesAsProposed(t, data)
	})
}

// plant makes what it can of a tree; what the file system refuses is left out.
func plant(dir string, input []byte) {
	if len(input) > 4096 {
		return
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return
	}
	defer root.Close()
	for line := range bytes.SplitSeq(input, []byte("\n")) {
		name, content, _ := strings.Cut(string(line), "=")
		name, link := strings.CutSuffix(name, "@")
		if !filepath.IsLocal(name) {
			continue
		}
		_ = root.MkdirAll(filepath.Dir(name), 0o755)
		if link {
			_ = root.Symlink(".", name)
			continue
		}
		_ = root.WriteFile(name, []byte(strings.ReplaceAll(content, "\x00", "\n")), 0o644)
	}
}

// Write is safe by itself, whatever a Project holds.
func FuzzWrite(f *testing.F) {
	f.Add("a\"]", "b\n", "c\\", "[d]")
	f.Add("\x1b]0;x\x07", "\u202e", "#", "!")
	f.Fuzz(func(t *testing.T, secret, handoff, lock, remote string) {
		passes(t, Write(Project{
			Secrets: []string{secret}, LockFiles: []string{lock}, Remotes: []Remote{{remote, "a.example"}},
			Handoffs: []Handoff{{handoff, "git hooks"}, {secret, "build"}}, CI: []string{lock}, Registries: []string{"@go"}, Languages: []string{"Go"},
		}))
	})
}

// Small files are the project's too.
func FuzzSmallFiles(f *testing.F) {
	f.Add([]byte("[remote \"o\"]\n\turl = git@h.example:x\n"))
	f.Add([]byte("{\"packageManager\": \"yarn@4\", \"workspaces\": []}"))
	f.Add([]byte("module x\n\ngo 1.26\n[tool.poetry.group.dev]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p := Project{Remotes: remotes(data)}
		for _, read := range readable {
			p.Tools = append(p.Tools, read(data)...)
		}
		passes(t, Write(p))
	})
}
