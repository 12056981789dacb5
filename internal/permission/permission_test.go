package permission

import (
	"encoding/json"
	"flag"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentbox/internal/boxtest"
	"agentbox/profile"
)

var _ = flag.Bool("update", false, "rewrite the golden files")

// inBox are the facts of a session with nobody at a terminal.
func inBox() Options {
	return Options{HookCommand: []string{"/run/agentbox/agentbox", "hook"}, Workspace: "/home/u/proj", Home: "/home/u"}
}

// overlay is a profile with an allowlist and these rules.
func overlay(deny, ask, allow []string) profile.Profile {
	var p profile.Profile
	p.Workspace.Mode, p.Network.Mode = "overlay", "allowlist"
	p.Permissions = profile.Permissions{Deny: deny, Ask: ask, Allow: allow}
	return p
}

// of are the effects of a row in one layer.
func (r Row) of(l Layer) []string {
	var out []string
	for _, e := range r.Layers {
		if e.Layer == l {
			out = append(out, e.What)
		}
	}
	return out
}

// One profile, and what each layer makes of every rule. It stands for no rule in itself: what a case leaves out must
// not happen.
func TestEachLayer(t *testing.T) {
	type want struct {
		mask, protect, egress, setting []string
		hook                           string
		advisory                       bool
	}
	one := func(s string) []string { return []string{s} }
	for name, tc := range map[string]struct {
		deny, ask, allow string
		terminal         bool
		want             want
	}{
		"reading a name at any depth": {deny: "Read(.env*)",
			want: want{mask: one("workspace.mask .env*"), hook: "deny", setting: []string{"deny Read(.env*)", "deny Edit(.env*)"}}},
		"reading a glob in any directory": {deny: "Read(**/*.pem)",
			want: want{mask: one("workspace.mask **/*.pem"), hook: "deny", setting: []string{"deny Read(**/*.pem)", "deny Edit(**/*.pem)"}}},
		"reading all of a directory masks the directory": {deny: "Read(./secrets/**)",
			want: want{mask: one("workspace.mask /secrets"), hook: "deny", setting: []string{"deny Read(./secrets/**)", "deny Edit(./secrets/**)"}}},
		"reading from the workspace's root, which is no root to the client": {deny: "Read(/conf/prod.json)",
			want: want{mask: one("workspace.mask /conf/prod.json"), hook: "deny",
				setting: []string{"deny Read(//home/u/proj/conf/prod.json)", "deny Edit(//home/u/proj/conf/prod.json)"}}},
		"reading in the home": {deny: "Read(~/.aws/**)",
			want: want{mask: one("rootfs.mask ~/.aws"), hook: "deny", setting: []string{"deny Read(~/.aws/**)", "deny Edit(~/.aws/**)"}}},
		"reading a full path": {deny: "Read(//etc/shadow)",
			want: want{mask: one("rootfs.mask /etc/shadow"), hook: "deny", setting: []string{"deny Read(//etc/shadow)", "deny Edit(//etc/shadow)"}}},
		"a full path that lies in the workspace": {deny: "Read(//home/u/proj/key.txt)",
			want: want{mask: one("workspace.mask /key.txt"), hook: "deny", setting: []string{"deny Read(//home/u/proj/key.txt)", "deny Edit(//home/u/proj/key.txt)"}}},
		"a pattern of the home that reaches into the workspace": {deny: "Read(~/**/*.kdbx)",
			want: want{mask: []string{"workspace.mask /**/*.kdbx", "rootfs.mask ~/**/*.kdbx"}, hook: "deny", setting: []string{"deny Read(~/**/*.kdbx)", "deny Edit(~/**/*.kdbx)"}}},
		"editing a path": {deny: "Edit(/.github/**)",
			want: want{protect: one("workspace.protect /.github"), hook: "deny", setting: one("deny Edit(//home/u/proj/.github/**)")}},
		"writing is editing to the client": {deny: "Write(Makefile)",
			want: want{protect: one("workspace.protect Makefile"), hook: "deny", setting: one("deny Edit(Makefile)")}},
		"editing what the read-only root holds": {deny: "Edit(//usr/lib/x)",
			want: want{protect: one("the root of the box is read-only"), hook: "deny", setting: one("deny Edit(//usr/lib/x)")}},
		"editing in the box's own home": {deny: "Edit(~/.bashrc)",
			want: want{hook: "deny", setting: one("deny Edit(~/.bashrc)"), advisory: true}},
		"fetching from a domain": {deny: "WebFetch(domain:evil.example)",
			want: want{egress: one("network.deny evil.example"), hook: "deny", setting: one("deny WebFetch(domain:evil.example)")}},
		"fetching from anywhere": {deny: "WebFetch(domain:*)",
			want: want{egress: one("network.deny *: nothing but what network.allow and permissions.allow name"), hook: "deny", setting: one("deny WebFetch")}},
		"fetching from a domain is allowed": {allow: "WebFetch(domain:docs.example.com)",
			want: want{egress: one("network.allow docs.example.com"), hook: "allow", setting: one("allow WebFetch(domain:docs.example.com)")}},
		"a command": {deny: "Bash(sudo:*)", want: want{hook: "deny", setting: one("deny Bash(sudo:*)"), advisory: true}},
		"a command to ask about, and nobody to ask": {ask: "Bash(git push:*)",
			want: want{hook: "deny: nobody is there to ask", setting: one("deny Bash(git push:*)"), advisory: true}},
		"a command to ask about": {ask: "Bash(git push:*)", terminal: true,
			want: want{hook: "ask", setting: one("ask Bash(git push:*)"), advisory: true}},
		"a file to ask about, and nobody to ask": {ask: "Read(notes.txt)",
			want: want{mask: one("workspace.mask notes.txt"), hook: "deny: nobody is there to ask", setting: []string{"deny Read(notes.txt)", "deny Edit(notes.txt)"}}},
		"a file to ask about": {ask: "Read(notes.txt)", terminal: true,
			want: want{hook: "ask", setting: one("ask Read(notes.txt)"), advisory: true}},
		"a file that may be read":      {allow: "Read(src/**)", want: want{hook: "allow", setting: one("allow Read(src/**)"), advisory: true}},
		"a file that may be written":   {allow: "Write(docs/**)", want: want{hook: "allow", advisory: true}},
		"a tool of an MCP server":      {deny: "mcp__tracker__delete", want: want{hook: "deny", setting: one("deny mcp__tracker__delete"), advisory: true}},
		"a tool as such":               {deny: "NotebookEdit", want: want{hook: "deny", setting: one("deny NotebookEdit"), advisory: true}},
		"every tool":                   {deny: "*", want: want{hook: "deny", setting: one("deny *"), advisory: true}},
		"a path of a tool that search": {deny: "Grep(src/**)", want: want{hook: "deny", advisory: true}},
	} {
		t.Run(name, func(t *testing.T) {
			o := inBox()
			o.Terminal = tc.terminal
			p := overlay(some(tc.deny), some(tc.ask), some(tc.allow))
			got, found := Compile(p, o)
			if len(found) > 0 || len(got.Rows) != 1 {
				t.Fatalf("%d rows, %v", len(got.Rows), found)
			}
			r := got.Rows[0]
			have := want{r.of(Mask), r.of(Protect), r.of(Egress), r.of(Settings), strings.Join(r.of(Hook), ", "), r.Advisory}
			if diff := cmp.Diff(tc.want, have, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if r.Advisory && r.Why == "" {
				t.Error("it is advisory, and nobody is told why")
			}
		})
	}
}

func some(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// The profile of the beginning: three domains, and nothing else.
func TestThreeDomainsAndNothingElse(t *testing.T) {
	p := overlay(
		[]string{"WebFetch(domain:*)", "Read(.env*)", "Read(**/*.pem)", "Read(~/.ssh/**)", "Edit(.github/**)", "Bash(sudo:*)"},
		[]string{"Bash(git push:*)"},
		[]string{"WebFetch(domain:docs.example.com)", "WebFetch(domain:api.example.com)", "WebFetch(domain:go.example.org)", "Read(src/**)", "Bash(go test:*)"})
	o := inBox()
	o.Terminal, o.SkipPreflight, o.HookTimeout, o.Env = true, true, 20, map[string]string{"DISABLE_INSTALLATION_CHECKS": "1", "A": "<b>"}
	got, found := Compile(p, o)
	if len(found) > 0 {
		t.Fatal(found)
	}
	if diff := cmp.Diff([]string{"docs.example.com", "api.example.com", "go.example.org"}, got.NetworkAllow); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"*"}, got.NetworkDeny); diff != "" {
		t.Error(diff)
	}
	boxtest.Golden(t, "testdata/three-domains.json", got)
	boxtest.Golden(t, "testdata/three-domains.settings.json", got.Settings)
}

func TestDenyOfEverythingLetsAllowsSurvive(t *testing.T) {
	for name, tc := range map[string]struct {
		deny, allow string
		mask        []string
		settings    string
	}{
		"an allow of the same tool":          {"Read(**)", "Read(src/**)", nil, "[]"},
		"an allow of all is none of them":    {"Read(**)", "Read(*)", []string{"**"}, `["Read(**)","Edit(**)"]`},
		"an allow of another tool":           {"Read(**)", "Bash(ls)", []string{"**"}, `["Read(**)","Edit(**)"]`},
		"a denial of something beats it":     {"Read(src/**)", "Read(src/a)", []string{"/src"}, `["Read(src/**)","Edit(src/**)"]`},
		"every tool, save one":               {"*", "Bash(ls)", nil, "[]"},
		"an allow of one editor is of all":   {"Edit(**)", "Write(docs/**)", nil, "[]"},
		"every domain, save one":             {"WebFetch(domain:*)", "WebFetch(domain:a.example)", nil, "[]"},
		"every domain, and the tool as such": {"WebFetch(domain:*)", "WebFetch", nil, `["WebFetch"]`},
	} {
		t.Run(name, func(t *testing.T) {
			got, found := Compile(overlay([]string{tc.deny}, nil, []string{tc.allow}), inBox())
			if len(found.Fatal()) > 0 {
				t.Fatal(found)
			}
			if diff := cmp.Diff(tc.mask, got.WorkspaceMask); diff != "" {
				t.Error(diff)
			}
			var m managed
			if err := json.Unmarshal(got.Settings, &m); err != nil {
				t.Fatal(err)
			}
			if deny, _ := json.Marshal(m.Permissions.Deny); string(deny) != tc.settings {
				t.Errorf("settings deny %s", deny)
			}
		})
	}
}

// What a layer would read otherwise than it is meant, or leave out in silence, is said instead.
func TestRefusedRules(t *testing.T) {
	for name, tc := range map[string]struct{ list, rule, says string }{
		"an exception":                     {"deny", "Read(!.env.example)", "makes an exception"},
		"a path that leads upwards":        {"deny", "Read(../x)", "leads upwards"},
		"another user's home":              {"deny", "Edit(~bob/x)", "names another user's home"},
		"the whole host":                   {"deny", "Read(//**/*.pem)", "would be looked for on the whole host"},
		"the workspace itself":             {"deny", "Read(.)", "names the workspace itself"},
		"a pattern that matches nothing":   {"deny", "Read(a//b)", "two slashes in a row"},
		"a comment":                        {"deny", "Edit(#x)", "is a comment"},
		"a bracket":                        {"deny", "Read([a)", "has a bracket that is not closed"},
		"a URL":                            {"deny", "WebFetch(https://x.example/)", "names no domain"},
		"a registry":                       {"allow", "WebFetch(domain:@npm)", "names no domain"},
		"a port":                           {"allow", "WebFetch(domain:x.example:8080)", "names more than a domain"},
		"a range":                          {"deny", "WebFetch(domain:10.0.0.0/8)", "names more than a domain"},
		"a name not as the network has it": {"deny", "WebFetch(domain:X.example)", "is not written as the network writes it"},
		"every domain of a country":        {"allow", "WebFetch(domain:*.com)", "would allow every .com host"},
		"every domain":                     {"allow", "WebFetch(domain:*)", "would let everything out"},
		"every tool":                       {"allow", "*", "would allow every tool"},
		"a tool in other letters":          {"deny", "read(.env)", "it is spelt Read"},
		"arguments of an MCP tool":         {"deny", "mcp__a__b(x)", "names arguments of an MCP tool"},
		"no tool":                          {"deny", "(x)", "does not begin with the name of a tool"},
		"half a parenthesis":               {"deny", "Bash(bash:<(*)", "without its other half"},
		"text behind it":                   {"deny", "Bash(x) y", "without its other half"},
		"nothing in it":                    {"deny", "Bash( )", "names nothing"},
		"an escape sequence":               {"ask", "Bash(\x1b[2J)", "not printed"},
	} {
		t.Run(name, func(t *testing.T) {
			var p profile.Profile
			switch tc.list {
			case "deny":
				p = overlay([]string{tc.rule}, nil, nil)
			case "ask":
				p = overlay(nil, []string{tc.rule}, nil)
			case "allow":
				p = overlay(nil, nil, []string{tc.rule})
			}
			got, found := Compile(p, inBox())
			if len(found.Fatal()) != 1 || !strings.Contains(found[0].Message, tc.says) || found[0].Key != "permissions."+tc.list+"[0]" {
				t.Fatalf("%v", found)
			}
			if len(got.Rows) > 0 || len(got.WorkspaceMask)+len(got.RootfsMask)+len(got.NetworkAllow) > 0 {
				t.Errorf("something came of it: %+v", got)
			}
		})
	}
}

func TestWhatAWritableWorkspaceCannotHold(t *testing.T) {
	for name, tc := range map[string]struct {
		mode    string
		degrade []string
		rule    string
		fatal   bool
	}{
		"a pattern":                      {"rw", nil, "Read(*.pem)", true},
		"a pattern, accepted":            {"rw", []string{"late-masks"}, "Read(*.pem)", false},
		"one path":                       {"rw", nil, "Read(/conf/key)", false},
		"all of a directory is a path":   {"rw", nil, "Edit(.github/**)", false},
		"a pattern, in an overlay":       {"overlay", nil, "Read(*.pem)", false},
		"a pattern, where none writes":   {"ro", nil, "Edit(*.pem)", false},
		"a pattern outside, not watched": {"rw", nil, "Read(~/*.pem)", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := overlay([]string{tc.rule}, nil, nil)
			p.Workspace.Mode, p.Agent.Degrade = tc.mode, tc.degrade
			_, found := Compile(p, inBox())
			if fatal := len(found.Fatal()) > 0; fatal != tc.fatal {
				t.Errorf("%v", found)
			}
		})
	}
}

func TestWhichAllowsWiden(t *testing.T) {
	p := overlay(nil, nil, []string{"WebFetch(domain:a.example)", "WebFetch(domain:b.example)", "Bash(ls)"})
	p.Network.Allow = []string{"a.example"}
	got, _ := Compile(p, inBox())
	var widens []string
	for _, r := range got.Rows {
		if r.Widens {
			widens = append(widens, r.Rule)
		}
	}
	if diff := cmp.Diff([]string{"WebFetch(domain:b.example)"}, widens); diff != "" {
		t.Error(diff)
	}
	p.Network.Mode = "none"
	if got, _ := Compile(p, inBox()); slices.ContainsFunc(got.Rows, func(r Row) bool { return r.Widens }) {
		t.Error("something widens a box without a network")
	}
}

func TestSettings(t *testing.T) {
	p := overlay([]string{"Bash(rm:*)"}, nil, nil)
	for name, tc := range map[string]struct {
		change func(*Options)
		has    []string
		lacks  []string
	}{
		"the strictest":           {func(*Options) {}, []string{`"allowManagedHooksOnly": true`, `"allowManagedPermissionRulesOnly": true`, `"disableBypassPermissionsMode": "disable"`, `"matcher": "*"`, `"command": "/run/agentbox/agentbox hook"`}, []string{"skipWebFetchPreflight", `"env"`}},
		"bypass mode is let be":   {func(o *Options) { o.Bypass = true }, nil, []string{"disableBypassPermissionsMode"}},
		"no preflight":            {func(o *Options) { o.SkipPreflight = true }, []string{`"skipWebFetchPreflight": true`}, nil},
		"a command with a space":  {func(o *Options) { o.HookCommand = []string{"/a b/it's", "hook"} }, []string{`"command": "'/a b/it'\\''s' hook"`}, nil},
		"an odd workspace":        {func(o *Options) { o.Workspace = "/srv/[x]" }, []string{`"Bash(rm:*)"`}, nil},
		"a variable of the agent": {func(o *Options) { o.Env = map[string]string{"X": "1"} }, []string{`"X": "1"`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := inBox()
			tc.change(&o)
			got, found := Compile(p, o)
			if len(found) > 0 || !json.Valid(got.Settings) {
				t.Fatal(found, string(got.Settings))
			}
			for _, s := range tc.has {
				if !strings.Contains(string(got.Settings), s) {
					t.Errorf("no %s in\n%s", s, got.Settings)
				}
			}
			for _, s := range tc.lacks {
				if strings.Contains(string(got.Settings), s) {
					t.Errorf("%s in\n%s", s, got.Settings)
				}
			}
		})
	}
	for name, o := range map[string]Options{
		"no hook":      {Workspace: "/w"},
		"no workspace": {HookCommand: []string{"hook"}},
	} {
		if got, _ := Compile(p, o); got.Settings != nil || len(got.Rows) != 1 || got.Rows[0].of(Settings) != nil {
			t.Errorf("%s: %s", name, got.Settings)
		}
	}
}

// What a refusal names is the rule that the person wrote, and an exception of the profile does not outlive a denial.
func TestLay(t *testing.T) {
	file := profile.Layer{Name: "user.toml", Kind: profile.User, Trusted: true, Data: []byte(`
[workspace]
mask = [".env*", "!.env.example", "*.pem"]
[network]
mode = "allowlist"
[permissions]
deny = ["Read(.env*)", "Read(*.pem)", "WebFetch(domain:*)"]
`)}
	e, found := profile.Merge([]profile.Layer{file}, nil)
	if len(found) > 0 {
		t.Fatal(found)
	}
	got, found := Compile(e.Profile, inBox())
	if len(found) > 0 {
		t.Fatal(found)
	}
	got.Lay(e)
	if diff := cmp.Diff([]string{".env*", "!.env.example", "*.pem", ".env*"}, e.Profile.Workspace.Mask); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"*"}, e.Profile.Network.Deny); diff != "" {
		t.Error(diff)
	}
	if o := e.Origins["workspace.mask[3]"]; o.Key != "permissions.deny[0]" || o.Line != 7 {
		t.Errorf("%+v", o)
	}
}
