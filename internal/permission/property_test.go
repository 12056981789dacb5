package permission

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentbox/profile"
)

// pieces of rules from which cases are made.
var (
	someTools = []string{"Read", "Edit", "Write", "MultiEdit", "NotebookEdit", "Bash", "WebFetch", "Grep", "mcp__a__b", "*"}
	someSpecs = []string{
		"", "*", "**", ".env*", "**/*.pem", "a/b", "/a/**", "./x", "~/.ssh/**", "//etc/x", "//home/u/proj/y", "~/proj/**", "!z", "..",
		"domain:a.example", "domain:*.b.example", "domain:*", "domain:x:1", "git push:*", "~", "//**",
	}
)

func someRules(r *rand.Rand, most int) []string {
	list := make([]string, r.IntN(most+1))
	for i := range list {
		list[i] = someTools[r.IntN(len(someTools))]
		if spec := someSpecs[r.IntN(len(someSpecs))]; spec != "" {
			list[i] += "(" + spec + ")"
		}
	}
	return list
}

// One more denial takes nothing away from what the others come to.
func TestADenialOnlyAdds(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 3000 {
		p := overlay(someRules(r, 5), someRules(r, 3), someRules(r, 4))
		o := inBox()
		o.Terminal, p.Workspace.Mode = r.IntN(2) == 0, []string{"ro", "overlay", "rw"}[r.IntN(3)]
		before, _ := Compile(p, o)
		more := p
		more.Permissions.Deny = slices.Insert(slices.Clone(p.Permissions.Deny), r.IntN(len(p.Permissions.Deny)+1), someRules(r, 1)...)
		after, _ := Compile(more, o)
		for what, lists := range map[string][2][]string{
			"workspace.mask": {before.WorkspaceMask, after.WorkspaceMask}, "workspace.protect": {before.WorkspaceProtect, after.WorkspaceProtect},
			"rootfs.mask": {before.RootfsMask, after.RootfsMask}, "network.deny": {before.NetworkDeny, after.NetworkDeny},
			"settings": {denied(t, before), denied(t, after)},
		} {
			for _, item := range lists[0] {
				if !slices.Contains(lists[1], item) {
					t.Fatalf("%q went from %s:\n%q\n%q", item, what, p.Permissions, more.Permissions)
				}
			}
		}
		if diff := cmp.Diff(before.NetworkAllow, after.NetworkAllow); diff != "" {
			t.Fatalf("a denial changed network.allow: %s", diff)
		}
	}
}

func denied(t *testing.T, c Compiled) []string {
	t.Helper()
	var m managed
	if err := json.Unmarshal(c.Settings, &m); err != nil {
		t.Fatal(err)
	}
	return m.Permissions.Deny
}

// Whatever a Rule says: no panic, the same answer twice, a row or a finding for each rule, settings that are JSON, and
// only lists that profile.Check passes.
func FuzzCompile(f *testing.F) {
	for _, tool := range someTools {
		for _, spec := range someSpecs {
			f.Add(tool+"("+spec+")", "Bash(git push:*)", "WebFetch(domain:a.example)", "rw")
		}
	}
	f.Add("", "(", "Bash(\x00)", "ro")
	f.Fuzz(func(t *testing.T, deny, ask, allow, mode string) {
		p := overlay([]string{deny}, []string{ask}, []string{allow})
		p.Workspace.Mode = mode
		got, found := Compile(p, inBox())
		again, _ := Compile(p, inBox())
		if diff := cmp.Diff(got, again, cmp.AllowUnexported(Compiled{}, item{})); diff != "" {
			t.Fatal(diff)
		}
		for _, key := range []string{"permissions.deny[0]", "permissions.ask[0]", "permissions.allow[0]"} {
			row := slices.ContainsFunc(got.Rows, func(r Row) bool { return r.Key == key })
			refused := slices.ContainsFunc(found.Fatal(), func(f profile.Finding) bool { return f.Key == key })
			if row == refused {
				t.Fatalf("%s: row %v, refused %v", key, row, refused)
			}
		}
		if !json.Valid(got.Settings) || bytes.ContainsAny(got.Settings, "\x00\x1b") {
			t.Fatalf("%q", got.Settings)
		}
		checkLists(t, got)
	})
}

func checkLists(t *testing.T, c Compiled) {
	t.Helper()
	e := &profile.Effective{}
	e.Profile.Workspace.Mask, e.Profile.Workspace.Protect, e.Profile.Rootfs.Mask = c.WorkspaceMask, c.WorkspaceProtect, c.RootfsMask
	e.Profile.Network.Allow, e.Profile.Network.Deny = c.NetworkAllow, c.NetworkDeny
	for _, f := range profile.Check(e).Fatal() {
		if strings.HasPrefix(f.Key, "workspace.mask[") || strings.HasPrefix(f.Key, "workspace.protect[") || strings.HasPrefix(f.Key, "rootfs.mask[") || strings.HasPrefix(f.Key, "network.allow[") || strings.HasPrefix(f.Key, "network.deny[") {
			t.Fatal(f)
		}
	}
}
