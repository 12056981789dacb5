package profile

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// seeds returns every profile there is: the tests' and the presets.
func seeds(tb testing.TB) map[string][]byte {
	tb.Helper()
	out := map[string][]byte{}
	for _, pattern := range []string{"../testdata/profiles/*.toml", "../testdata/profiles/bad/*.toml", "presets/*.toml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			tb.Fatalf("no files %s: %v", pattern, err)
		}
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				tb.Fatal(err)
			}
			out[name] = data
		}
	}
	return out
}

// fixpoint asserts that a document survives being printed and read again.
func fixpoint(t *testing.T, data []byte) {
	t.Helper()
	first, fs := Parse(Layer{Name: "in.toml", Kind: Named, Data: data})
	if len(fs.Fatal()) > 0 {
		return
	}
	printed := first.Print()
	second, fs := Parse(Layer{Name: "printed.toml", Kind: Named, Data: printed})
	if len(fs) > 0 {
		t.Fatalf("what was printed has findings: %v\n%s", fs, printed)
	}
	if diff := cmp.Diff(first.top, second.top); diff != "" {
		t.Fatalf("values changed (-first +second):\n%s", diff)
	}
	if diff := cmp.Diff(first.rows, second.rows); diff != "" {
		t.Fatalf("rows changed (-first +second):\n%s", diff)
	}
	if diff := cmp.Diff(string(printed), string(second.Print())); diff != "" {
		t.Fatalf("printing is not stable (-first +second):\n%s", diff)
	}
	for path := range first.top {
		if _, ok := first.pos[path]; !ok {
			t.Fatalf("%s has no position in:\n%s", path, data)
		}
	}
}

func TestPrintIsAFixpoint(t *testing.T) {
	for name, data := range seeds(t) {
		t.Run(name, func(t *testing.T) { fixpoint(t, data) })
	}
}

func FuzzParse(f *testing.F) {
	for _, data := range seeds(f) {
		f.Add(data)
	}
	f.Add([]byte("agent.env = { \"a b\" = '''x'''''', c = \"\"\"\n\\e\"\"\" }\nmount = [{target='/a'},{target='/b', options=['ro',]}]"))
	base, _ := Preset("default")
	was, _ := Merge([]Layer{base}, nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		fixpoint(t, data)
		is, _ := Merge([]Layer{base, {Name: "in.toml", Kind: Project, Data: data}}, nil)
		Check(is)
		neverWider(t, &was.Profile, &is.Profile)
	})
}

// neverWider asserts what an untrusted file must not be able to do.
func neverWider(t *testing.T, was, is *Profile) {
	t.Helper()
	same := func(what string, x, y any) {
		if diff := cmp.Diff(x, y); diff != "" {
			t.Errorf("%s changed:\n%s", what, diff)
		}
	}
	same("agent.command", was.Agent.Command, is.Agent.Command)
	same("agent.user", was.Agent.User, is.Agent.User)
	same("agent.env", was.Agent.Env, is.Agent.Env)
	same("agent.terminal_allow", was.Agent.Terminal, is.Agent.Terminal)
	same("rootfs.source", was.Rootfs.Source, is.Rootfs.Source)
	same("rootfs.expose", was.Rootfs.Expose, is.Rootfs.Expose)
	same("workspace.path", was.Workspace.Path, is.Workspace.Path)
	same("network.mode", was.Network.Mode, is.Network.Mode)
	same("credential", was.Credentials, is.Credentials)
	same("mcp", was.MCP, is.MCP)
	for what, lists := range map[string][2][]string{
		"rootfs.mask":       {was.Rootfs.Mask, is.Rootfs.Mask},
		"workspace.mask":    {was.Workspace.Mask, is.Workspace.Mask},
		"workspace.protect": {was.Workspace.Protect, is.Workspace.Protect},
	} {
		same(what, lists[0], lists[1][:min(len(lists[0]), len(lists[1]))])
		for _, p := range lists[1][len(lists[0]):] {
			if p[0] == '!' {
				t.Errorf("%s has the exception %q", what, p)
			}
		}
	}
	for _, d := range is.Agent.Degrade {
		if !slices.Contains(was.Agent.Degrade, d) {
			t.Errorf("%s may be missing", d)
		}
	}
	if len(is.Mounts) != 1 || is.Mounts[0].Size > was.Mounts[0].Size || is.Mounts[0].Size == 0 || slices.Contains(is.Mounts[0].Options, "rw") {
		t.Errorf("mounts are %v", is.Mounts)
	}
}
