package mounts

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"agentbox/profile"
)

// project is a host with a workspace and nothing else of interest.
func project() Host {
	return Host{
		Home: "/home/me", User: "me", Source: "/", Hostname: "agentbox", MachineID: "0",
		Root:      []Entry{{Name: "usr", Kind: Dir, Public: true}, {Name: "etc", Kind: Dir, Public: true}, {Name: "bin", Kind: Link, Target: "usr/bin", Public: true}},
		Workspace: Place{Path: "/home/me/project", Kind: Dir, Dev: 1, Ino: 1},
		Ancestors: map[string]Place{}, Exists: map[string]bool{}, Sources: map[string]Place{}, Prefixes: map[string]bool{}, Closed: map[string]bool{},
	}
}

func withPreset(t *testing.T, more string) profile.Profile {
	t.Helper()
	if !strings.Contains(more, "workspace.mode") {
		more = "workspace.mode = 'rw'\n" + more
	}
	l, _ := profile.Preset("default")
	e, findings := profile.Merge([]profile.Layer{l, {Name: "more", Kind: profile.User, Trusted: true, Data: []byte(more)}}, nil)
	if len(findings.Fatal()) > 0 {
		t.Fatal(findings)
	}
	return e.Profile
}

// at gives the mounts at a path, innermost last, in a few words.
func at(l Layout, target string) (list []string) {
	for _, m := range l.Mounts {
		if m.Target == target {
			access := "rw"
			if !m.Writes() {
				access = "ro"
			}
			list = append(list, strings.TrimSpace(access+" "+m.Type+" "+strings.TrimPrefix(m.Source, "tmpfs")))
		}
	}
	return list
}

func TestWhatIsShown(t *testing.T) {
	for name, tc := range map[string]struct {
		host    func(*Host)
		profile string
		path    string
		want    []string
	}{
		"the workspace at its own path":        {nil, "", "/home/me/project", []string{"rw bind /home/me/project"}},
		"read-only where the profile says so":  {nil, "workspace.mode = 'ro'", "/home/me/project", []string{"ro bind /home/me/project"}},
		"the home directory is an empty tmpfs": {nil, "", "/home/me", []string{"rw tmpfs"}},
		"system directories":                   {nil, "", "/usr", []string{"ro bind /usr"}},
		"a link of the root stays a link":      {nil, "", "/bin", nil},
		"a masked file is covered": {func(h *Host) { h.Masked = []Match{{Path: ".env", Dev: 1, Ino: 2}} }, "",
			"/home/me/project/.env", []string{"ro bind " + Cover}},
		"a protected file is bound onto itself": {func(h *Host) { h.Protected = []Match{{Path: ".git/config", Dev: 1, Ino: 2}} }, "",
			"/home/me/project/.git/config", []string{"ro bind " + InBox + "/home/me/project/.git/config"}},
		"and its parent is pinned": {func(h *Host) { h.Protected = []Match{{Path: ".git/config", Dev: 1, Ino: 2}} }, "",
			"/home/me/project/.git", []string{"rw bind " + InBox + "/home/me/project/.git"}},
		"what the profile exposes": {func(h *Host) { h.Exposed = []Place{{Path: "/home/me/.nvm", Kind: Dir, Dev: 1, Ino: 3}} }, "rootfs.expose = ['~/.nvm']",
			"/home/me/.nvm", []string{"ro bind /home/me/.nvm"}},
		"but for what it masks": {func(h *Host) {
			h.Exposed = []Place{{Path: "/home/me/.nvm", Kind: Dir, Dev: 1, Ino: 3}}
			h.Hidden = []Match{{Path: "/home/me/.nvm/key", Dev: 1, Ino: 4}}
		}, "rootfs.expose = ['~/.nvm']", "/home/me/.nvm/key", []string{"ro bind " + Cover}},
		"a mount of the profile is read-only by itself": {func(h *Host) { h.Sources["/srv/x"] = Place{Path: "/srv/x", Kind: Dir, Dev: 1, Ino: 5} },
			"[[mount]]\ntype = 'bind'\nsource = '/srv/x'\ntarget = '/data'", "/data", []string{"ro bind /srv/x"}},
		"and writable on request": {func(h *Host) { h.Sources["/srv/x"] = Place{Path: "/srv/x", Kind: Dir, Dev: 1, Ino: 5} },
			"[[mount]]\ntype = 'bind'\nsource = '/srv/x'\ntarget = '/data'\noptions = ['rw']", "/data", []string{"rw bind /srv/x"}},
		"a tool's tree": {func(h *Host) {
			h.Tools = []Tool{{Dir: "/home/me/go/bin", Real: "/home/me/go/bin"}}
			h.Prefixes["/home/me/go"] = true
		}, "", "/home/me/go", []string{"ro bind /home/me/go"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := project()
			if tc.host != nil {
				tc.host(&h)
			}
			l, findings := Build(withPreset(t, tc.profile), h)
			if got := at(l, tc.path); !slices.Equal(got, tc.want) || len(findings) > 0 {
				t.Errorf("at %s: %q, not %q; findings %v", tc.path, got, tc.want, findings)
			}
		})
	}
}

func TestWhatStandsInTheWay(t *testing.T) {
	for name, tc := range map[string]struct {
		host    func(*Host)
		profile string
		says    string
	}{
		"a workspace that is the root":    {func(h *Host) { h.Workspace.Path = "/" }, "", "workspace.path"},
		"a workspace that holds the home": {func(h *Host) { h.Workspace.Path = "/home" }, "", "workspace.path"},
		"a source that does not exist":    {func(h *Host) { h.Sources["/x"] = Place{Path: "/x"} }, "[[mount]]\ntype = 'bind'\nsource = '/x'\ntarget = '/data'", "does not exist"},
		"a source that is a socket":       {func(h *Host) { h.Sources["/x"] = Place{Path: "/x", Ino: 1} }, "[[mount]]\ntype = 'bind'\nsource = '/x'\ntarget = '/data'", "socket"},
		"a source that leads to the home": {func(h *Host) { h.Sources["/x"] = Place{Path: "/home", Kind: Dir, Ino: 1} }, "[[mount]]\ntype = 'bind'\nsource = '/x'\ntarget = '/data'", "home directory"},
		"a source that leads to the project": {func(h *Host) { h.Sources["/x"] = Place{Path: "/home/me/project/sub", Kind: Dir, Ino: 1} },
			"[[mount]]\ntype = 'bind'\nsource = '/x'\ntarget = '/data'", "second time"},
		"a target below a directory of the host": {nil, "[[mount]]\ntype = 'tmpfs'\ntarget = '/usr/nothing'\nsize = '1MiB'", "cannot be made on the host"},
		"more masks than mounts are sensible": {func(h *Host) {
			for i := range 1001 {
				h.Masked = append(h.Masked, Match{Path: fmt.Sprint("f", i), Dev: 1, Ino: uint64(100 + i)})
			}
		}, "", "more than 1000 mounts"},
	} {
		t.Run(name, func(t *testing.T) {
			h := project()
			if tc.host != nil {
				tc.host(&h)
			}
			if _, findings := Build(withPreset(t, tc.profile), h); !strings.Contains(findings.Error(), tc.says) {
				t.Errorf("findings %v", findings)
			}
		})
	}
}

// Whatever the profile, a bind is nosuid and nodev, and is read-only unless a workspace or a mount says otherwise.
func TestEveryBindIsHeldDown(t *testing.T) {
	h := project()
	h.Protected = []Match{{Path: ".git/hooks", Dir: true, Dev: 1, Ino: 2}}
	h.Sources["/srv/x"] = Place{Path: "/srv/x", Kind: Dir, Dev: 1, Ino: 5}
	h.Tools = []Tool{{Dir: "/home/me/go/bin", Real: "/home/me/go/bin"}}
	l, _ := Build(withPreset(t, "[[mount]]\ntype = 'bind'\nsource = '/srv/x'\ntarget = '/data'"), h)
	for _, m := range l.Mounts {
		if m.Type != "bind" {
			continue
		}
		for _, option := range []string{"nosuid", "nodev"} {
			if !slices.Contains(m.Options, option) {
				t.Errorf("%s at %s lacks %s", m.Source, m.Target, option)
			}
		}
		if m.Writes() && !Below(m.Target, h.Workspace.Path) {
			t.Errorf("%s at %s is writable", m.Source, m.Target)
		}
	}
}

// PATH inside never holds a relative directory, the home itself, or a directory of the workspace.
func TestPathInside(t *testing.T) {
	h := project()
	for _, dir := range []string{"/home/me/project/bin", "/home/me", "/tmp/x", "/usr/bin", "/home/me/tool/bin"} {
		h.Tools = append(h.Tools, Tool{Dir: dir, Real: dir})
	}
	h.Tools = append(h.Tools, Tool{Dir: ".", Real: "."})
	l, _ := Build(withPreset(t, ""), h)
	if want := []string{"/usr/bin", "/home/me/tool/bin", "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/bin"}; !slices.Equal(l.Path, want) {
		t.Errorf("PATH %q", l.Path)
	}
}
