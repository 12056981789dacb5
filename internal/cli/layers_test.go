package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentbox/profile"
)

// A tree is a home, a system and a project for a loader; keys of files begin with one of the three.
type tree struct {
	*loader
	base string
}

func newTree(t *testing.T, files map[string]string) tree {
	t.Helper()
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"home/.config/agentbox", "etc", "project"} {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		path := filepath.Join(base, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return tree{base: base, loader: &loader{
		home: filepath.Join(base, "home"), dir: filepath.Join(base, "project"),
		config: filepath.Join(base, "home/.config/agentbox"), system: filepath.Join(base, "etc"),
		state: filepath.Join(base, "home/.local/state/agentbox"),
	}}
}

// short takes the test's directory out of names.
func (tr tree) short(names []string) string {
	return strings.ReplaceAll(strings.Join(names, " < "), tr.base+"/", "")
}

func TestLayersInTheirOrder(t *testing.T) {
	const extendsStrict = `extends = ["strict"]`
	for name, test := range map[string]struct {
		files   map[string]string
		options profileOptions
		want    string
		mode    string
	}{
		"nothing but the preset": {want: "preset base < preset default", mode: "overlay"},
		"another preset":         {options: profileOptions{profile: "strict"}, want: "preset base < preset strict", mode: "ro"},
		"system, person, project": {
			files: map[string]string{"etc/profile.toml": "", "home/.config/agentbox/profile.toml": "", "project/agentbox.toml": ""},
			want:  "preset base < preset default < etc/profile.toml < home/.config/agentbox/profile.toml < agentbox.toml", mode: "overlay"},
		"a person's profile that extends a preset stands on that alone": {
			files: map[string]string{"home/.config/agentbox/profile.toml": extendsStrict},
			want:  "preset base < preset strict < home/.config/agentbox/profile.toml", mode: "ro"},
		"a named profile, the person's before the system's": {
			files:   map[string]string{"home/.config/agentbox/profiles/mine.toml": extendsStrict, "etc/profiles/mine.toml": ""},
			options: profileOptions{profile: "mine"},
			want:    "preset base < preset strict < home/.config/agentbox/profiles/mine.toml", mode: "ro"},
		"extends that end at no preset still get the masks": {
			files:   map[string]string{"etc/profiles/a.toml": `extends = ["b"]`, "etc/profiles/b.toml": ""},
			options: profileOptions{profile: "a"},
			want:    "preset base < preset default < etc/profiles/b.toml < etc/profiles/a.toml", mode: "overlay"},
		"a file relative to the one that names it": {
			files:   map[string]string{"home/x/a.toml": `extends = ["./b.toml"]`, "home/x/b.toml": `extends = ["strict"]`},
			options: profileOptions{profile: "~/x/a.toml"},
			want:    "preset base < preset strict < home/x/b.toml < ~/x/a.toml", mode: "ro"},
		"the project's file is not laid twice": {
			files: map[string]string{"project/agentbox.toml": ""}, options: profileOptions{profile: "./agentbox.toml"},
			want: "preset base < preset default < agentbox.toml", mode: "overlay"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t, test.files)
			got, err := tr.load(test.options)
			if err != nil || len(got.findings.Fatal()) > 0 {
				t.Fatal(err, got.findings)
			}
			if diff := cmp.Diff(test.want, tr.short(got.effective.Layers)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if mode := got.effective.Profile.Workspace.Mode; mode != test.mode {
				t.Errorf("workspace.mode is %q, want %q", mode, test.mode)
			}
		})
	}
}

// Each case is a file that would widen the profile, at a place; trusted says whether it may.
func TestTrustByPlace(t *testing.T) {
	const widens = `agent.env_pass = ["SECRET"]`
	for name, test := range map[string]struct {
		file    string
		profile string
		prepare func(t *testing.T, tr tree)
		trusted bool
	}{
		"the person's own profile":          {file: "home/.config/agentbox/profile.toml", trusted: true},
		"the machine's profile":             {file: "etc/profile.toml", trusted: true},
		"a file outside the workspace":      {file: "home/x.toml", profile: "~/x.toml", trusted: true},
		"the project's own file":            {file: "project/agentbox.toml"},
		"a file of the workspace, by name":  {file: "project/x.toml", profile: "./x.toml"},
		"a file of a directory below":       {file: "project/a/b/x.toml", profile: "a/b/x.toml"},
		"one reached by a detour":           {file: "project/x.toml", profile: "../home/../project/x.toml"},
		"a link outside that leads into it": {file: "project/x.toml", profile: "~/link.toml", prepare: link("project/x.toml", "home/link.toml")},
		"a link in it that leads outside":   {file: "home/x.toml", profile: "./link.toml", prepare: link("home/x.toml", "project/link.toml")},
		"a configuration in the workspace": {file: "project/conf/profile.toml", prepare: func(_ *testing.T, tr tree) {
			tr.config = filepath.Join(tr.base, "project/conf")
		}},
		"the project's file when pinned": {file: "project/agentbox.toml", prepare: pinned(widens), trusted: true},
		"a pin of other bytes":           {file: "project/agentbox.toml", prepare: pinned(widens + "\n")},
		"a pin in the workspace": {file: "project/agentbox.toml", prepare: func(t *testing.T, tr tree) {
			pinned(widens)(t, tr)
			tr.state = filepath.Join(tr.base, "project/state")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t, map[string]string{test.file: widens})
			if test.prepare != nil {
				test.prepare(t, tr)
			}
			t.Chdir(tr.dir)
			got, err := tr.load(profileOptions{profile: test.profile})
			if err != nil {
				t.Fatal(err)
			}
			if trusted := len(got.findings.Fatal()) == 0; trusted != test.trusted {
				t.Errorf("trusted: %v, findings: %v", trusted, got.findings)
			}
		})
	}
}

func link(to, from string) func(*testing.T, tree) {
	return func(t *testing.T, tr tree) {
		if err := os.Symlink(filepath.Join(tr.base, to), filepath.Join(tr.base, from)); err != nil {
			t.Fatal(err)
		}
	}
}

func pinned(text string) func(*testing.T, tree) {
	return func(_ *testing.T, tr tree) {
		path := filepath.Join(tr.base, "project/agentbox.toml")
		tr.pins = pins{Files: map[string]pin{path: {SHA256: digest([]byte(text))}}}
	}
}

func TestAWorkspaceDecidesBeforeItsFilesDo(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		o     profileOptions
		want  string // the workspace
		fatal bool
	}{
		"a person's profile moves it": {
			files: map[string]string{"home/.config/agentbox/profile.toml": `workspace.path = "~/work"`, "home/work/agentbox.toml": `workspace.mask = ["x"]`},
			want:  "home/work"},
		"a file of the project does not move it": {
			files: map[string]string{"project/x.toml": `workspace.path = "~/elsewhere"`, "home/elsewhere/y": ""},
			o:     profileOptions{profile: "./x.toml"}, want: "project", fatal: true},
		"a file does not get trusted by moving it away": {
			files: map[string]string{"project/agentbox.toml": `workspace.path = "~/elsewhere"`, "home/elsewhere/y": ""},
			want:  "project", fatal: true},
		"a profile that lies in the workspace it names is not trusted": {
			files: map[string]string{"home/work/x.toml": `workspace.path = "~/work"`},
			o:     profileOptions{profile: "~/work/x.toml"}, want: "home/work", fatal: true},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t, test.files)
			t.Chdir(tr.dir)
			got, err := tr.load(test.o)
			if err != nil {
				t.Fatal(err)
			}
			if have := strings.TrimPrefix(got.workspace, tr.base+"/"); have != test.want {
				t.Errorf("the workspace is %s, want %s", have, test.want)
			}
			if fatal := len(got.findings.Fatal()) > 0; fatal != test.fatal {
				t.Errorf("findings: %v", got.findings)
			}
		})
	}
}

func TestAPinnedFileCannotMoveItsProject(t *testing.T) {
	const text = `workspace.path = "~/elsewhere"`
	tr := newTree(t, map[string]string{"project/agentbox.toml": text, "home/elsewhere/y": ""})
	pinned(text)(t, tr)
	got, err := tr.load(profileOptions{})
	if err != nil || len(got.findings.Fatal()) != 1 {
		t.Fatalf("got %v, %v", got.findings, err)
	}
}

func TestProfilesThatCannotBeRead(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, tr tree){
		"a link in the place of the project's file": func(t *testing.T, tr tree) {
			link("home/x", "project/agentbox.toml")(t, tr)
		},
		"a directory in its place": func(t *testing.T, tr tree) {
			if err := os.Mkdir(filepath.Join(tr.base, "project/agentbox.toml"), 0o755); err != nil {
				t.Fatal(err)
			}
		},
	} {
		tr := newTree(t, map[string]string{"home/x": ""})
		prepare(t, tr)
		if _, err := tr.load(profileOptions{}); judge(err).code != exitProfile {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestExtendsByTwoFilesWithOneName(t *testing.T) {
	tr := newTree(t, map[string]string{
		"home/.config/agentbox/profile.toml": `extends = ["./b.toml"]`, "home/.config/agentbox/b.toml": "",
		"home/a.toml": `extends = ["./b.toml"]`, "home/b.toml": "",
	})
	got, err := tr.load(profileOptions{profile: "~/a.toml"})
	if err != nil || len(got.findings.Fatal()) == 0 || !strings.Contains(got.findings[0].Message, "means different files") {
		t.Errorf("got %v, %v", got.findings, err)
	}
}

func TestPinsAreWrittenWholeAndPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	for _, name := range []string{"/a", "/b"} {
		if err := changePins(dir, func(p *pins) { p.Files[name] = pin{SHA256: digest([]byte(name))} }); err != nil {
			t.Fatal(err)
		}
	}
	p, err := readPins(dir)
	if err != nil || !p.trusts(&sourceFile{path: "/a", data: []byte("/a")}) || p.trusts(&sourceFile{path: "/a", data: []byte("/b")}) {
		t.Errorf("got %v, %v", p, err)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, pinsFile): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, pinsFile), 0o666); err != nil {
		t.Fatal(err)
	}
	if p, err := readPins(dir); err == nil || len(p.Files) > 0 {
		t.Errorf("a list that everybody may write was believed: %v", p)
	}
}

func TestAListThatCannotBeReadTrustsNothing(t *testing.T) {
	for name, text := range map[string]string{
		"not JSON": "{", "another version": `{"version": 2}`, "no version": "{}", "empty": "",
	} {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, pinsFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if p, err := readPins(dir); err == nil || len(p.Files) > 0 {
			t.Errorf("%s: got %v, %v", name, p, err)
		}
	}
}

func TestVerdicts(t *testing.T) {
	flag := profile.Finding{File: "--mode", Message: "x"}
	file := profile.Finding{File: "a.toml", Message: "x"}
	for name, test := range map[string]struct {
		err  error
		code int
	}{
		"a wrong option":                             {profile.Findings{flag}, exitUsage},
		"a wrong file":                               {profile.Findings{file}, exitProfile},
		"both":                                       {profile.Findings{flag, file}, exitProfile},
		"anything before the start":                  {&startError{err: os.ErrPermission}, exitNotStarted},
		"anything of another command":                {os.ErrPermission, exitFailure},
		"a wrong option within a start":              {&startError{err: &usageError{}}, exitUsage},
		"a finding of a command that starts nothing": {quiet(profile.Findings{file}), exitProfile},
	} {
		if got := judge(test.err).code; got != test.code {
			t.Errorf("%s: got %d, want %d", name, got, test.code)
		}
	}
}
