package profile

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func diffProfiles(x, y Profile) string { return cmp.Diff(x, y) }

func user(name, data string) Layer {
	return Layer{Name: name, Kind: User, Trusted: true, Data: []byte(data)}
}

func TestMergeRules(t *testing.T) {
	for name, tc := range map[string]struct {
		low, high string
		get       func(*Profile) any
		want      any
	}{
		"lists append": {`workspace.mask = ["a"]`, `workspace.mask = ["b"]`,
			func(p *Profile) any { return p.Workspace.Mask }, []string{"a", "b"}},
		"a repeated item is kept once": {`workspace.mask = ["a", "b"]`, `workspace.mask = ["b", "a", "c"]`,
			func(p *Profile) any { return p.Workspace.Mask }, []string{"a", "b", "c"}},
		"a mask after its exception is no repetition": {`workspace.mask = [".env*", "!.env"]`, `workspace.mask = [".env*"]`,
			func(p *Profile) any { return p.Workspace.Mask }, []string{".env*", "!.env", ".env*"}},
		"scalars replace": {`workspace.mode = "rw"`, `workspace.mode = "ro"`,
			func(p *Profile) any { return p.Workspace.Mode }, "ro"},
		"a command replaces as a whole": {`agent.command = ["a", "b"]`, `agent.command = ["c"]`,
			func(p *Profile) any { return p.Agent.Command }, []string{"c"}},
		"variables merge by name": {`agent.env = { A = "1", B = "2" }`, `agent.env = { B = "3" }`,
			func(p *Profile) any { return p.Agent.Env }, map[string]string{"A": "1", "B": "3"}},
		"a mount at the same target replaces": {"[[mount]]\ntarget = '/a'\nsize = 1\noptions = ['ro']", "[[mount]]\ntarget = '/a'\nsize = 2",
			func(p *Profile) any { return p.Mounts }, []Mount{{Target: "/a", Size: 2, Options: []string{}}}},
		"mounts at other targets append": {"[[mount]]\ntarget = '/a'", "[[mount]]\ntarget = '/b'",
			func(p *Profile) any { return len(p.Mounts) }, 2},
		"an alert of the same name replaces": {"[[alert]]\nname = 'a'\nrate = '1/s'", "[[alert]]\nname = 'a'",
			func(p *Profile) any { return p.Alerts }, []Alert{{Name: "a", Action: []string{}}}},
		"rules append": {"[[network.rule]]\nhost = 'a'", "[[network.rule]]\nhost = 'a'\n[[network.rule]]\nhost = 'b'",
			func(p *Profile) any { return len(p.Network.Rules) }, 2},
		"what nobody sets has its default": {``, ``,
			func(p *Profile) any {
				return []any{p.Schema, p.Agent.User, p.Workspace.Mode, p.Network.Mode, p.Rootfs.Source}
			},
			[]any{1, "1000:1000", "ro", "none", "host"}},
		"every list is there, if empty": {``, ``,
			func(p *Profile) any { return p.Agent.Command != nil && p.Mounts != nil && p.Agent.Env != nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			e, fs := Merge([]Layer{user("low", tc.low), user("high", tc.high)}, nil)
			if diff := cmp.Diff(tc.want, tc.get(&e.Profile)); diff != "" || len(fs) > 0 {
				t.Errorf("findings %v (-want +got):\n%s", fs, diff)
			}
		})
	}
}

func TestEveryValueHasItsOrigin(t *testing.T) {
	e, fs := Merge([]Layer{
		user("low.toml", "[workspace]\nmask = [\"a\"]\n[[mount]]\ntarget = \"/a\"\n[[mount]]\ntarget = \"/b\""),
		user("high.toml", "agent.env = { CI = \"1\" }\n[workspace]\nmask = [\"a\",\n  \"b\"]\n[[mount]]\ntarget = \"/b\"\nsize = 1"),
		{Name: "--mode", Kind: Flags, Trusted: true, Data: []byte("workspace.mode = \"ro\"\nagent.command = [\"x\", \"y\"]")},
	}, nil)
	if len(fs) > 0 {
		t.Fatal(fs)
	}
	want := map[string]Origin{
		"agent.env.CI":      {"high.toml", "agent.env.CI", 1, 15},
		"workspace.mask[0]": {"low.toml", "workspace.mask[0]", 2, 9},
		"workspace.mask[1]": {"high.toml", "workspace.mask[1]", 4, 3},
		"mount[0]":          {"low.toml", "mount[0]", 3, 1},
		"mount[1].target":   {"high.toml", "mount[0].target", 6, 1},
		"mount[1].size":     {"high.toml", "mount[0].size", 7, 1},
		"workspace.mode":    {"--mode", "workspace.mode", 0, 0},
		"agent.command[1]":  {"--mode", "agent.command[1]", 0, 0},
		"network.mode":      {BuiltIn, "network.mode", 0, 0},
	}
	got := map[string]Origin{}
	for path := range want {
		got[path] = e.Origins[path]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestExtends(t *testing.T) {
	files := map[string]string{
		"team":  `extends = ["org", "strict"]`,
		"org":   `workspace.mask = ["org"]`,
		"loop":  `extends = ["pool"]`,
		"pool":  `extends = ["loop"]`,
		"typo":  `workspace.moed = "ro"`,
		"weird": `extends = ["nobody"]`,
	}
	endless := 0
	lookup := func(name string) (Layer, error) {
		if name == "endless" {
			endless++
			return user(fmt.Sprint("endless-", endless), `extends = ["endless"]`), nil
		}
		data, ok := files[name]
		if !ok {
			return Layer{}, errors.New("there is no profile " + name)
		}
		l := user(name+".toml", data)
		l.Kind = Named
		return l, nil
	}
	for name, tc := range map[string]struct{ extends, layers, finding string }{
		"a preset":                      {`"strict"`, "preset base,preset strict,me.toml", ""},
		"a file that extends others":    {`"team"`, "org.toml,preset base,preset strict,team.toml,me.toml", ""},
		"the same one twice":            {`"org", "team"`, "org.toml,preset base,preset strict,team.toml,me.toml", ""},
		"a circle":                      {`"loop"`, "", "extends itself: me.toml → loop.toml → pool.toml → loop.toml"},
		"a name that is not there":      {`"nobody"`, "", "there is no profile nobody"},
		"findings of the extended file": {`"typo"`, "", "workspace.moed: there is no such key"},
		"a chain without end":           {`"endless"`, "", "is more than 32 profiles deep"},
	} {
		t.Run(name, func(t *testing.T) {
			e, fs := Merge([]Layer{user("me.toml", "extends = ["+tc.extends+"]")}, lookup)
			if tc.finding == "" && (len(fs) > 0 || strings.Join(e.Layers, ",") != tc.layers) {
				t.Errorf("layers %q, want %q; findings %v", e.Layers, tc.layers, fs)
			}
			if tc.finding != "" && (len(fs) != 1 || !strings.Contains(fs[0].String(), tc.finding)) {
				t.Errorf("findings %v, want %q", fs, tc.finding)
			}
		})
	}
}

func TestAPresetCannotBeShadowed(t *testing.T) {
	lookup := func(name string) (Layer, error) {
		t.Errorf("looked up %q", name)
		return Layer{}, nil
	}
	if _, fs := Merge([]Layer{user("me.toml", `extends = ["default", "base", "ci"]`)}, lookup); len(fs) > 0 {
		t.Error(fs)
	}
}
