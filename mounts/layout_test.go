package mounts

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentbox/internal/boxtest"
	"agentbox/profile"
)

// workstation is a host with something of every kind: links of a merged /usr, files of /etc that are secret, large or
// somebody's own, toolchains in the home directory.
func workstation() Host {
	dir := func(name string) Entry { return Entry{Name: name, Kind: Dir, Public: true} }
	file := func(name string, size int64) Entry { return Entry{Name: name, Kind: File, Public: true, Size: size} }
	link := func(name, target string) Entry { return Entry{Name: name, Kind: Link, Target: target, Public: true} }
	h := project()
	h.Root = []Entry{dir("boot"), dir("data"), dir("etc"), dir("home"), dir("media"), dir("opt"), dir("run"), dir("tmp"), dir("usr"), dir("var"),
		link("bin", "usr/bin"), link("lib", "usr/lib"), {Name: "lib64", Kind: Other}, {Name: "nix", Kind: Dir}}
	h.Etc = []Entry{dir("alternatives"), dir("pki"), dir("ssh"), dir("ssl"), file("gshadow", 9), file("hosts", 9), file("krb5.keytab", 9),
		file("ld.so.cache", etcCopyLimit+1), file("os-release", etcCopyLimit), file("passwd", 9), link("localtime", "/usr/share/zoneinfo/UTC"),
		link("mtab", "/elsewhere"), {Name: "profile", Kind: File, Size: 9}, {Name: "services", Kind: Other}, {Name: "shadow", Kind: File, Public: true}}
	h.Tools = []Tool{
		{Dir: "/home/me/.local/bin", Real: "/home/me/.local/bin", Links: map[string]string{
			"claude": "/home/me/.local/share/claude/1.0/claude", "npm": "/home/me/.nvm/v22/lib/node_modules/npm/bin/npm-cli.js",
			"node": "/home/me/.nvm/v22/bin/node", "corepack": "/home/me/.nvm/v22/share/corepack/corepack.js", "key": "/run/key"}},
		{Dir: "/home/me/.cargo/bin", Real: "/home/me/.cargo/bin"},
		{Dir: "/usr/bin", Real: "/usr/bin"},
	}
	h.Prefixes = map[string]bool{"/home/me/.nvm/v22": true, "/home/me/.local": true, "/usr": true}
	h.Exists = map[string]bool{"/proc/kcore": true, "/proc/sys": true, "/sys/devices/system/cpu": true, "/etc/ssl/private": true, "/home/me/.rustup": true}
	return h
}

// described gives all that a layout puts at a path, the skeleton's entry first.
func described(l Layout, path string) string {
	var list []string
	for _, n := range l.Skeleton {
		if n.Path == path {
			list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s%s", n.Kind, n.Target, n.Source)))
		}
	}
	for _, m := range l.Mounts {
		if m.Target != path {
			continue
		}
		words := []string{m.Type, m.Source}
		if m.Type == "bind" && m.Source == m.Target {
			words = words[:1]
		}
		words = append(words, strings.Join(m.Options, ","), m.Data)
		for i, on := range []bool{m.Owned, m.Agent, m.File, m.Create} {
			if on {
				words = append(words, []string{"owned", "agent", "file", "create"}[i])
			}
		}
		list = append(list, strings.Join(strings.Fields(strings.Join(words, " ")), " "))
	}
	return strings.Join(list, "; ")
}

func TestLayoutOfAWorkstation(t *testing.T) {
	l, findings := Build(withPreset(t, ""), workstation())
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	boxtest.Golden(t, "../testdata/mounts/workstation.json", l)
	for range 20 { // of maps, which Go walks in any order
		if again, _ := Build(withPreset(t, ""), workstation()); !cmp.Equal(l, again) {
			t.Fatalf("the same host and profile give another layout:\n%s", cmp.Diff(l, again))
		}
	}
}

// A places case says what is where: "" is nothing at all, for the tree is an allow-list.
type places struct {
	profile string
	change  func(*Host)
	want    map[string]string
}

func (tc places) check(t *testing.T) {
	h := workstation()
	if tc.change != nil {
		tc.change(&h)
	}
	l, findings := Build(withPreset(t, tc.profile), h)
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	got := map[string]string{}
	for path := range tc.want {
		got[path] = described(l, path)
	}
	if diff := cmp.Diff(tc.want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

const readOnly = "bind ro,nosuid,nodev"

func TestPlacesOfAHost(t *testing.T) {
	for name, tc := range map[string]places{
		"of the host's root only system directories are there": {want: map[string]string{
			"/usr": "dir; " + readOnly, "/opt": "dir; " + readOnly, "/bin": "link usr/bin", "/data": "", "/media": "", "/boot": "", "/lib64": ""}},
		"what the host has in its own directories is not there": {want: map[string]string{
			"/home": "dir", "/root": "dir", "/mnt": "dir", "/var": "dir", "/var/lib": "dir", "/var/run": "link /run", "/srv": ""}},
		"of /etc the list is there, and no key and no account": {want: map[string]string{
			"/etc/os-release": "file /etc/os-release", "/etc/alternatives": "dir; " + readOnly, "/etc/localtime": "link /usr/share/zoneinfo/UTC",
			"/etc/ssh": "", "/etc/shadow": "", "/etc/gshadow": "", "/etc/krb5.keytab": ""}},
		"a large file of /etc is bound and not copied":   {want: map[string]string{"/etc/ld.so.cache": "file; " + readOnly + " file"}},
		"a file of /etc that not everybody reads is out": {want: map[string]string{"/etc/profile": ""}},
		"what is no file in /etc is out":                 {want: map[string]string{"/etc/services": ""}},
		"accounts and mounts are told of the box alone":  {want: map[string]string{"/etc/passwd": "file", "/etc/hosts": "file", "/etc/mtab": "link /proc/self/mounts"}},
		"private keys below a listed name are covered": {want: map[string]string{
			"/etc/ssl/private": "bind agentbox:cover ro,nosuid,nodev,noexec", "/etc/pki/tls/private": ""}},
		"of /sys there is what tells the number of processors": {want: map[string]string{
			"/sys": "dir", "/sys/devices/system/cpu": "dir; " + readOnly + ",noexec", "/sys/kernel/mm/transparent_hugepage": ""}},
		"devices are the box's own": {want: map[string]string{"/dev": "dir; tmpfs tmpfs nosuid,noexec,ro mode=755,size=64k,nr_inodes=64"}},
		"memory files are bounded":  {want: map[string]string{"/dev/shm": "tmpfs shm nosuid,nodev,noexec mode=1777,size=2147483648 create"}},
		"scratch places are bounded": {want: map[string]string{
			"/tmp": "dir; tmpfs tmpfs nosuid,nodev mode=1777,size=2147483648", "/run": "dir; tmpfs tmpfs nosuid,nodev mode=755,size=2147483648"}},
		"the profile's /tmp replaces the box's": {profile: "[[mount]]\ntype = 'tmpfs'\ntarget = '/tmp'\nsize = '1MiB'\noptions = ['noexec', 'ro']",
			want: map[string]string{"/tmp": "dir; tmpfs tmpfs ro,nosuid,nodev,noexec mode=1777,size=1048576"}},
		"the home is empty and the agent's": {want: map[string]string{"/home/me": "dir; tmpfs tmpfs nosuid,nodev mode=700,size=2147483648 agent", "/home/you": ""}},
		"a link of PATH brings its program's tree, once": {want: map[string]string{
			"/home/me/.nvm/v22": readOnly + " create", "/home/me/.nvm/v22/bin": "", "/home/me/.nvm/v22/share/corepack": "", "/home/me/.local/share/claude/1.0": readOnly + " create"}},
		"a link of PATH into a place of sockets brings nothing": {want: map[string]string{"/run/key": ""}},
		"a directory that holds more than tools comes alone":    {want: map[string]string{"/home/me/.local": "", "/home/me/.local/bin": readOnly + " create"}},
		"a shim brings the tree in which its program is":        {want: map[string]string{"/home/me/.cargo/bin": readOnly + " create", "/home/me/.rustup": readOnly + " create"}},
		"a tool that only its owner reaches is the agent's": {change: func(h *Host) { h.Closed["/home/me"] = true },
			want: map[string]string{"/home/me/.rustup": readOnly + " owned create", "/usr": "dir; " + readOnly}},
	} {
		t.Run(name, tc.check)
	}
}

func TestPlacesThatAProfileChanges(t *testing.T) {
	for name, tc := range map[string]places{
		"a directory as the root shows all but what a box makes": {
			change: func(h *Host) { h.Source = "/srv/image" },
			want: map[string]string{"/data": "dir; bind /srv/image/data ro,nosuid,nodev", "/usr": "dir; bind /srv/image/usr ro,nosuid,nodev",
				"/media": "", "/home": "dir", "/etc/krb5.keytab": "file /srv/image/etc/krb5.keytab"}},
		"programs of a directory as the root are found in it": {
			change: func(h *Host) { h.Source, h.Tools = "/srv/image", []Tool{{Dir: "/usr/bin", Real: "/usr/bin"}} },
			want:   map[string]string{"/usr": "dir; bind /srv/image/usr ro,nosuid,nodev", "/usr/bin": ""}},
		"and of its /etc no accounts and no keys of the machine": {change: func(h *Host) { h.Source = "/srv/image" },
			want: map[string]string{"/etc/shadow": "", "/etc/gshadow": "", "/etc/ssh": "", "/etc/passwd": "file"}},
		"a masked file of /etc is not copied": {change: func(h *Host) { h.Hidden = []Match{{Path: "/etc/os-release", Ino: 1}} },
			want: map[string]string{"/etc/os-release": ""}},
		"nor is one in a masked directory": {change: func(h *Host) { h.Hidden = []Match{{Path: "/etc", Dir: true, Ino: 1}} },
			want: map[string]string{"/etc/os-release": "", "/etc/alternatives": "dir; " + readOnly + "; bind agentbox:cover ro,nosuid,nodev,noexec"}},
		"an exposed file is one in the box": {change: func(h *Host) { h.Exposed = []Place{{Path: "/srv/ca.pem", Kind: File, Ino: 1}} },
			want: map[string]string{"/srv/ca.pem": "file; " + readOnly + " owned file"}},
		"what a link leads into a masked directory is covered": {change: func(h *Host) {
			h.Exposed = []Place{{Path: "/home/me/.ssh/keys", Kind: Dir, Ino: 1}}
			h.Hidden = []Match{{Path: "/home/me/.ssh", Dir: true, Ino: 2}}
		}, want: map[string]string{"/home/me/.ssh/keys": readOnly + " owned create; bind agentbox:cover ro,nosuid,nodev,noexec create"}},
		"a mount on a tmpfs of the profile has its place made": {profile: `
[[mount]]
type = "tmpfs"
target = "/scratch"
size = "1MiB"
[[mount]]
type = "bind"
source = "/srv/cache"
target = "/scratch/a/cache"`, change: func(h *Host) { h.Sources["/srv/cache"] = Place{Path: "/srv/cache", Kind: Dir, Ino: 1} },
			want: map[string]string{"/scratch": "dir; tmpfs tmpfs nosuid,nodev mode=1777,size=1048576", "/scratch/a/cache": "bind /srv/cache ro,nosuid,nodev owned create"}},
		"a mount of one file has a file to lie on": {profile: "[[mount]]\ntype = 'bind'\nsource = '/srv/f'\ntarget = '/data/f'",
			change: func(h *Host) { h.Sources["/srv/f"] = Place{Path: "/srv/f", Kind: File, Ino: 1} },
			want:   map[string]string{"/data/f": "file; bind /srv/f ro,nosuid,nodev owned file"}},
	} {
		t.Run(name, tc.check)
	}
}

// A mount point cannot be renamed or removed, so the agent cannot put a directory of its own in the place of one that
// holds something masked.
func TestEveryDirectoryAboveAMaskIsPinned(t *testing.T) {
	const self, cover = "bind " + InBox + "/home/me/project", "bind agentbox:cover ro,nosuid,nodev,noexec"
	for mode, want := range map[string]map[string]string{
		"rw": {"a": self + "/a nosuid,nodev", "a/b": self + "/a/b nosuid,nodev", "a/b/.env": cover, "a/hooks": self + "/a/hooks ro,nosuid,nodev"},
		"ro": {"a": "", "a/b": "", "a/b/.env": cover, "a/hooks": ""},
	} {
		h := workstation()
		h.Masked = []Match{{Path: "a/b/.env", Ino: 3}, {Path: "a/b/.env.local", Ino: 4}}
		h.Protected = []Match{{Path: "a/hooks", Dir: true, Ino: 5}}
		h.Ancestors = map[string]Place{"a": {Path: "a", Kind: Dir, Dev: 7, Ino: 8}, "a/b": {Path: "a/b", Kind: Dir, Dev: 7, Ino: 9}}
		l, _ := Build(withPreset(t, "workspace.mode = '"+mode+"'"), h)
		got := map[string]string{}
		for path := range want {
			got[path] = described(l, "/home/me/project/"+path)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("mode %s (-want +got):\n%s", mode, diff)
		}
		for _, m := range l.Mounts {
			if m.Target == "/home/me/project/a/b" && (m.Dev != 7 || m.Ino != 9) {
				t.Errorf("mode %s: the pin is not of the directory that was looked at: %+v", mode, m)
			}
		}
	}
}

// Parents are mounted before what lies in them, and covers after what they cover.
func TestOrderOfMounts(t *testing.T) {
	h := workstation()
	h.Masked = []Match{{Path: "a/.env", Ino: 3}}
	h.Ancestors = map[string]Place{"a": {Path: "a", Kind: Dir, Ino: 8}}
	h.Workspace.Path = "/tmp/project-b"
	h.Exposed = []Place{{Path: "/tmp/project", Kind: Dir, Ino: 9}}
	l, findings := Build(withPreset(t, ""), h)
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	for i, m := range l.Mounts {
		for _, later := range l.Mounts[i+1:] {
			if later.Target != m.Target && Below(m.Target, later.Target) {
				t.Errorf("%s is mounted before %s, which would hide it", m.Target, later.Target)
			}
		}
	}
	for i, n := range l.Skeleton {
		for _, later := range l.Skeleton[i+1:] {
			if Below(n.Path, later.Path) {
				t.Errorf("%s is made before %s", n.Path, later.Path)
			}
		}
	}
}

// A writable workspace cannot hold what is not there yet; somebody has to say that this is fine.
func TestPatternsThatCannotBeHeld(t *testing.T) {
	for name, tc := range map[string]struct {
		mode string
		mask []string
		want []string
	}{
		"a glob, and a name at any depth":    {"rw", []string{"/a/*.key", ".env"}, []string{"/a/*.key", ".env"}},
		"a path that is absent":              {"rw", []string{"a/absent"}, []string{"a/absent"}},
		"a path that is there is held":       {"rw", []string{"a/there", "/a/there", "a/there/"}, nil},
		"an exception needs no holding":      {"rw", []string{"!.env.example"}, nil},
		"a read-only workspace holds itself": {"ro", []string{"*.key"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := workstation()
			h.Masked = []Match{{Path: "a/there", Ino: 3}}
			p := withPreset(t, "")
			p.Workspace = profile.Workspace{Path: ".", Mode: tc.mode, Mask: tc.mask}
			l, findings := Build(p, h)
			if diff := cmp.Diff(tc.want, l.Late); diff != "" || len(findings) > 0 {
				t.Errorf("%v (-want +got):\n%s", findings, diff)
			}
			p.Agent.Degrade = nil
			if _, findings := Build(p, h); len(findings) != len(tc.want) {
				t.Errorf("without consent: %v, want findings about %q", findings, tc.want)
			}
		})
	}
}

func TestPlacesThatAreNoWorkspace(t *testing.T) {
	for _, path := range []string{"/", "/usr", "/tmp", "/etc", "/home", "/home/me", "/proc/1", "/sys/fs", "/dev/shm"} {
		h := workstation()
		h.Workspace.Path = path
		if l, findings := Build(withPreset(t, ""), h); !strings.Contains(findings.Error(), "workspace.path") || slices.ContainsFunc(l.Mounts, func(m Mount) bool { return m.Why == "workspace.path" }) {
			t.Errorf("%s is a workspace; findings %v", path, findings)
		}
	}
}

func TestTrees(t *testing.T) {
	prefix := func(dir string) bool { return dir == "/opt/go" }
	for program, want := range map[string]string{
		"/opt/go/bin/go":                            "/opt/go",
		"/opt/tool/bin/tool":                        "/opt/tool/bin",
		"/opt/tool":                                 "/opt",
		"/opt/n/lib/node_modules/npm/bin/npm":       "/opt/n",
		"/opt/app/node_modules/.bin/x":              "/opt/app/node_modules",
		"/opt/a/node_modules/b/node_modules/c/x.js": "/opt/a/node_modules",
	} {
		if got := TreeOf(program, prefix); got != want {
			t.Errorf("%s needs %s, got %s", program, want, got)
		}
	}
}

func TestTmpfsOfTheAgentNamesItsOwner(t *testing.T) {
	ids := IDs{UID: 7, GID: 8}
	for want, m := range map[string]Mount{
		"mode=700,uid=7,gid=8": {Data: "mode=700", Agent: true},
		"uid=7,gid=8":          {Agent: true},
		"mode=1777":            {Data: "mode=1777"},
	} {
		if got := m.TmpfsData(ids); got != want {
			t.Errorf("%+v: %q, want %q", m, got, want)
		}
	}
}

// The box's PATH ends with the standard directories, of a directory that serves as the root as well.
func TestStandardPathOfADirectoryAsTheRoot(t *testing.T) {
	h := workstation()
	h.Source, h.Tools = "/srv/image", nil
	l, _ := Build(withPreset(t, ""), h)
	if want := []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/bin"}; !slices.Equal(l.Path, want) {
		t.Errorf("PATH %q, want %q", l.Path, want)
	}
}
