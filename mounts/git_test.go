package mounts

import (
	"slices"
	"strings"
	"testing"
)

// What a worktree's or a submodule's git directory becomes, and what is said where it does not.
func TestGitDirectoryOutsideTheWorkspace(t *testing.T) {
	shown := func(path string) func(*Host) {
		return func(h *Host) { h.Git = GitDir{Place: Place{Path: path, Kind: Dir, Dev: 1, Ino: 9}} }
	}
	for name, tc := range map[string]struct {
		host func(*Host)
		mode string
		path string
		want []string
		says string
	}{
		"none":                         {func(*Host) {}, "overlay", "/srv/repo/.git", nil, ""},
		"an overlay of its own":        {shown("/srv/repo/.git"), "overlay", "/srv/repo/.git", []string{"rw overlay /srv/repo/.git"}, ""},
		"read-only with a project":     {shown("/srv/repo/.git"), "ro", "/srv/repo/.git", []string{"ro bind /srv/repo/.git"}, ""},
		"read-only in mode rw, too":    {shown("/srv/repo/.git"), "rw", "/srv/repo/.git", []string{"ro bind /srv/repo/.git"}, "can be read and not written"},
		"one that was not accepted":    {func(h *Host) { h.Git = GitDir{Why: "no"} }, "overlay", "/srv/repo/.git", nil, "no"},
		"one that is a home":           {shown("/home/me"), "overlay", "/home/me", []string{"rw tmpfs"}, "holds more than a repository"},
		"one that holds the project":   {shown("/home"), "overlay", "/home", nil, "holds more than a repository"},
		"one that the profile masks":   {func(h *Host) { shown("/srv/repo/.git")(h); h.Hidden = []Match{{Path: "/srv/repo", Dir: true, Ino: 2}} }, "overlay", "/srv/repo/.git", nil, "is masked"},
		"a masked file in it":          {func(h *Host) { shown("/srv/repo/.git")(h); h.Git.Masked = []Match{{Path: "a.key", Ino: 3}} }, "overlay", "/srv/repo/.git/a.key", []string{"ro bind " + Cover}, ""},
		"what rootfs.mask names in it": {func(h *Host) { shown("/srv/repo/.git")(h); h.Hidden = []Match{{Path: "/srv/repo/.git/x", Ino: 3}} }, "overlay", "/srv/repo/.git/x", []string{"ro bind " + Cover}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := project()
			tc.host(&h)
			l, findings := Build(withPreset(t, "workspace.mode = '"+tc.mode+"'"), h)
			if got := at(l, tc.path); !slices.Equal(got, tc.want) || len(findings) > 0 {
				t.Errorf("at %s: %q, not %q; findings %v", tc.path, got, tc.want, findings)
			}
			if (l.NoGit != "") != (tc.says != "") || !strings.Contains(l.NoGit, tc.says) {
				t.Errorf("says %q, not %q", l.NoGit, tc.says)
			}
			if writable := slices.Contains(l.Writable, "/srv/repo/.git"); writable != (l.Git != "" && tc.mode == "overlay") {
				t.Errorf("writable: %v, %q", writable, l.Git)
			}
		})
	}
}

// What rootfs.mask names below an overlay is covered there as in any other mode.
func TestRootfsMaskHoldsInAnOverlay(t *testing.T) {
	for _, mode := range []string{"overlay", "rw", "ro"} {
		h := project()
		h.Hidden = []Match{{Path: "/home/me/project/secret", Ino: 7}}
		l, _ := Build(withPreset(t, "workspace.mode = '"+mode+"'"), h)
		if got := at(l, "/home/me/project/secret"); !slices.Equal(got, []string{"ro bind " + Cover}) {
			t.Errorf("mode %s: %q", mode, got)
		}
	}
}
