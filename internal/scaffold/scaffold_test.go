package scaffold

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/sys/unix"

	"agentbox/mounts"
	"agentbox/profile"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// tree makes a project of paths and contents and looks at it.
func tree(t testing.TB, files map[string]string) Project {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		p := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		must(t, os.WriteFile(p, []byte(data), 0o644))
	}
	return look(t, dir)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func look(t testing.TB, dir string) Project {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	p, err := Look(root)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// passes insists that a profile has no finding, not even a warning, and holds the masks and protections of its preset.
func passes(t testing.TB, data []byte) {
	t.Helper()
	if found := findings(t, data); len(found) > 0 {
		t.Fatalf("%v\n%s", found, data)
	}
	for _, r := range string(data) {
		if r < ' ' && r != '\n' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u202e' {
			t.Fatalf("%q in the profile:\n%s", r, data)
		}
	}
}

func findings(t testing.TB, data []byte) profile.Findings {
	t.Helper()
	preset, _ := profile.Preset("default")
	file := profile.Layer{Name: "agentbox.toml", Kind: profile.Project, Trusted: true, Data: data}
	e, found := profile.Merge([]profile.Layer{preset, file}, nil)
	found = append(found, profile.Check(e)...)
	for _, l := range []struct{ have, want []string }{
		{e.Profile.Workspace.Mask, []string{".env*", "*.pem"}}, {e.Profile.Workspace.Protect, []string{".git/hooks", ".vscode"}},
	} {
		for _, w := range l.want {
			if !slices.Contains(l.have, w) {
				t.Errorf("%q of the preset is gone", w)
			}
		}
	}
	return found
}

var proposal = regexp.MustCompile(`(?m)^(\s*)#([^\s])`)

// proposed takes the "#" off every proposal.
func proposed(data []byte) []byte {
	return bytes.ReplaceAll(proposal.ReplaceAll(data, []byte("$1$2")), []byte("/home/YOU/"), []byte("/home/dev/"))
}

func passesAsProposed(t testing.TB, data []byte) {
	t.Helper()
	for _, f := range findings(t, proposed(data)) {
		if !strings.Contains(f.Message, "not available in this version") {
			t.Fatalf("as proposed: %v\n%s", f, proposed(data))
		}
	}
}

func TestProjects(t *testing.T) {
	for name, want := range map[string]Project{
		"go": {
			Languages: []string{"Go"}, Registries: []string{"@go"}, Tools: []string{"go 1.26", "make"}, LockFiles: []string{"go.sum"},
			CI: []string{".github/workflows"}, Secrets: []string{"deploy/credentials.json", "deploy/prod.tfvars"},
			Remotes:  []Remote{{"origin", "git.example.com"}, {"backup", "backup.example.org:22"}, {"backup", "backup.example.org:2222"}},
			Handoffs: []Handoff{{"Makefile", "build"}, {"go.mod", "go toolchain"}},
		},
		"node": {
			Languages: []string{"JavaScript"}, Registries: []string{"@npm"}, Tools: []string{"compose", "docker", "pnpm"}, LockFiles: []string{"pnpm-lock.yaml"},
			CI: []string{".gitlab-ci.yml"}, Secrets: []string{"config/secrets.production.yaml"},
			Handoffs: []Handoff{{".husky", "git hooks"}, {".npmrc", "package manager"}, {"CLAUDE.md", "agent"}, {"Dockerfile", "container"},
				{"docker-compose.yml", "container"}, {"package.json", "package manager"}, {"vite.config.ts", "tool configuration"}},
		},
		"python": {
			Languages: []string{"Python"}, Registries: []string{"@pip"}, Tools: []string{"pre-commit", "pytest", "tox", "uv"}, LockFiles: []string{"uv.lock"},
			Secrets: []string{"service-account-prod.json"},
			Handoffs: []Handoff{{".pre-commit-config.yaml", "git hooks"}, {".python-version", "tool versions"}, {"conftest.py", "tests"},
				{"pyproject.toml", "package manager"}, {"tox.ini", "tests"}},
		},
		"rust": {
			Languages: []string{"Rust"}, Registries: []string{"@cargo"}, Tools: []string{"cargo workspace"}, LockFiles: []string{"Cargo.lock"},
			CI: []string{".circleci"},
			Handoffs: []Handoff{{".cargo", "package manager"}, {"Cargo.toml", "package manager"}, {"crates/core/Cargo.toml", "package manager"},
				{"crates/core/build.rs", "package manager"}, {"rust-toolchain.toml", "tool versions"}},
		},
		"monorepo": {
			Languages: []string{"Go", "JavaScript", "Python", "Rust", "Java"}, Registries: []string{"@cargo", "@go", "@npm", "@pip"},
			Tools:     []string{"go 1.25.1", "just", "maven", "npm workspaces", "terraform", "yarn"},
			LockFiles: []string{"services/api/go.sum", "web/package-lock.json", "web/yarn.lock"}, CI: []string{"Jenkinsfile"},
			Secrets: []string{"infra/prod/db-password.txt", "infra/terraform.tfstate"},
			Handoffs: []Handoff{{".devcontainer", "container"}, {"go.work", "package manager"}, {"justfile", "build"}, {"native/Cargo.toml", "package manager"},
				{"services/api/go.mod", "go toolchain"}, {"services/billing/pom.xml", "build"}, {"web/package.json", "package manager"}},
		},
		"empty": {},
	} {
		t.Run(name, func(t *testing.T) {
			archive, err := txtar.ParseFile("testdata/" + name + ".txtar")
			if err != nil {
				t.Fatal(err)
			}
			files := map[string]string{}
			for _, f := range archive.Files {
				files[f.Name] = string(f.Data)
			}
			got := tree(t, files)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			data := Write(got)
			passes(t, data)
			golden(t, "testdata/"+name+".toml", data)
			passesAsProposed(t, data)
		})
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		must(t, os.WriteFile(path, got, 0o644))
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; -update writes it", err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("%s (-golden +got; -update rewrites it):\n%s", path, diff)
	}
}

// Names that somebody chose so that a profile, a terminal or a reader would take them for something else.
func TestHostileProject(t *testing.T) {
	files := map[string]string{
		"credentials\nmode = \"rw\".json":               "",
		"secret\x1b]52;c;aGk=\x07.txt":                  "",
		"a\"]]\n[network]\nmode=\"allowlist\".password": "",
		"secret \"quoted\" ]] #.txt":                    "",
		`secret\back.txt`:                               "",
		"secret[a-z]*?.txt":                             "",
		"!secret.txt":                                   "",
		"#secret.txt":                                   "",
		"secret.txt ":                                   "",
		"token \u202etxt.exe.json":                      "",
		"password\xff\xfe.txt":                          "",
		"~/password.txt":                                "",
		strings.Repeat("secret-", 35) + ".json":         "",
		"päßwort-secret.json":                           "",
		"Makefile\r":                                    "",
		".husky/\x1b[31m":                               "",
		"go.mod":                                        "go 1.26\x1b[2J\ngo " + strings.Repeat("9", 1000) + "\n",
		"package.json":                                  strings.Repeat("[", 20000),
		"pyproject.toml":                                "[tool.uv\x1b]\n[tool.uv]]]]\n[[[\n",
		"\x1b[2J.lock/yarn.lock":                        "",
		strings.Repeat("d/", 40) + "go.sum":             "",
		".git/config": "[remote \"\x1b[31m\\\"evil\"]\nurl = https://user:hunter2@git.example.com/x\n" +
			"[remote \"b\"]\nurl = https://\"]\\nallow=[\"*\n[remote \"c\"]\nurl = evil\x1b.example:x\n[remote \"d\"]\nurl=*.com:x\n" +
			"[remote \"e\"]\nurl=https://x.example:99999/\n[remote \"f\"]\nurl=https://[::1]:8443/x\n[remote\n[]\n=\n",
	}
	got := tree(t, files)
	data := Write(got)
	passes(t, data)
	golden(t, "testdata/hostile.toml", data)
	if bytes.Contains(data, []byte("hunter2")) {
		t.Error("it repeats a password")
	}
	passesAsProposed(t, data)
	if diff := cmp.Diff([]Remote{{"\x1b[31m\\\"evil", "git.example.com"}, {"f", "[::1]:8443"}}, got.Remotes); diff != "" {
		t.Error(diff)
	}
}

// Every path that is a pattern names that path, and no other.
func TestPatternsNameOnePath(t *testing.T) {
	for _, name := range []string{"secret[a-z]*?.txt", `a\b`, "!x", "#x", "a b", "päß", "x]", "~", `end\`} {
		text, ok := pattern(name)
		if !ok {
			t.Errorf("%q has no pattern", name)
			continue
		}
		list := mounts.ParsePatterns("", []string{text})
		if _, ok := list.Match(name, false); !ok {
			t.Errorf("%q does not match %q", text, name)
		}
		if _, ok := list.Match("secreta1.txt", false); ok {
			t.Errorf("%q matches more", text)
		}
		e := &profile.Effective{}
		e.Profile.Workspace.Mask = []string{text}
		for _, f := range profile.Check(e) {
			if strings.HasPrefix(f.Key, "workspace.mask") {
				t.Errorf("%q: %v", name, f)
			}
		}
	}
	for _, name := range []string{"a\nb", "a\x1bb", "a ", "\xff", "\u202e", strings.Repeat("x", 201)} {
		if text, ok := pattern(name); ok {
			t.Errorf("%q became %q", name, text)
		}
	}
}

// What is no regular file is not opened, and no link is followed.
func TestLinksAndPipes(t *testing.T) {
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "go.mod"), nil, 0o644))
	dir := t.TempDir()
	must(t, os.Symlink(outside, filepath.Join(dir, "sub")))
	must(t, os.Symlink(filepath.Join(outside, "go.mod"), filepath.Join(dir, "go.mod")))
	must(t, os.Symlink(".", filepath.Join(dir, "loop")))
	must(t, unix.Mkfifo(filepath.Join(dir, "package.json"), 0o644))
	must(t, os.Mkdir(filepath.Join(dir, ".git"), 0o755))
	must(t, unix.Mkfifo(filepath.Join(dir, ".git/config"), 0o644))
	if got := look(t, dir); len(got.Languages)+len(got.Tools) > 0 {
		t.Errorf("a link was followed: %+v", got)
	}
}

func TestBounds(t *testing.T) {
	dir := t.TempDir()
	for i := range 700 {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("secret-%03d.json", i)), nil, 0o644))
	}
	data := Write(look(t, dir))
	passes(t, data)
	if !bytes.Contains(data, []byte("# and 670 more")) || len(data) > 8<<10 {
		t.Errorf("%d bytes:\n%s", len(data), data)
	}
}

// What is written only tightens, so it holds before anybody has trusted it.
func TestAProfileThatOnlyTightensNeedsNoTrust(t *testing.T) {
	preset, _ := profile.Preset("default")
	project := tree(t, map[string]string{"pom.xml": "", "secrets.json": "", "Jenkinsfile": "", "go.mod": "go 1.26\n"})
	e, found := profile.Merge([]profile.Layer{preset, {Name: "agentbox.toml", Kind: profile.Project, Data: Write(project)}}, nil)
	if len(found) > 0 || !slices.Contains(e.Profile.Workspace.Mask, "/secrets.json") {
		t.Errorf("%v, %q", found, e.Profile.Workspace.Mask)
	}
}
