package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"agentbox/limits"
)

// A fixture is a machine of files: mounts, the caller's groups, and the files of groups. CG stands for the directory
// in which the hierarchies are mounted.
type fixture struct {
	mounts, own string
	files       map[string]string
	mine        []string // directories whose files the caller may write; "" is none
	systemd     bool
}

const pid = 42

// caller writes the fixture down. Permissions are its own: the superuser, who may run this test, has all.
func (f fixture) caller(t *testing.T) (c caller, cg string) {
	t.Helper()
	dir := t.TempDir()
	cg = filepath.Join(dir, "cg")
	files := map[string]string{"self/mountinfo": strings.ReplaceAll(f.mounts, "CG", cg), "self/cgroup": f.own}
	for name, text := range f.files {
		files[filepath.Join("cg", name)] = text
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	writable := func(path string) error {
		if _, err := os.Stat(path); err != nil {
			return unix.ENOENT
		}
		for _, m := range f.mine {
			if path = filepath.Clean(path); path == filepath.Join(cg, m) || filepath.Dir(path) == filepath.Join(cg, m) && strings.HasPrefix(filepath.Base(path), "cgroup.") {
				return nil
			}
		}
		return unix.EACCES
	}
	return caller{self: filepath.Join(dir, "self"), pid: pid, writable: writable, systemd: func() bool { return f.systemd }, manager: "user.slice/manager"}, cg
}

const (
	mount2 = "29 22 0:26 / CG rw - cgroup2 cgroup2 rw\n"
	mount1 = "33 29 0:30 / CG/memory rw - cgroup cgroup rw,memory\n34 29 0:31 / CG/cpu rw - cgroup cgroup rw,cpu,cpuacct\n" +
		"35 29 0:32 / CG/pids rw - cgroup cgroup rw,pids\n36 29 0:33 / CG/freezer rw - cgroup cgroup rw,freezer\n"
	own1 = "4:memory:/a\n3:cpu,cpuacct:/a\n2:pids:/a\n1:freezer:/a\n"
	all  = "cpuset cpu io memory pids\n"
)

// v2 are the files of a group of version 2.
func v2(dir, procs, controllers, handed string, more ...map[string]string) map[string]string {
	files := map[string]string{}
	for file, text := range map[string]string{procsFile: procs, controllersFile: controllers, subtreeFile: handed, "cgroup.type": "domain\n"} {
		files[filepath.Join(dir, file)] = text
	}
	for _, m := range more {
		for name, text := range m {
			files[name] = text
		}
	}
	return files
}

// top are those of the root, which has no type.
func top(more ...map[string]string) map[string]string {
	files := v2("", "1\n2\n", all, all, more...)
	delete(files, "cgroup.type")
	return files
}

func v1(dirs ...string) map[string]string {
	files := map[string]string{}
	for _, d := range dirs {
		files[filepath.Join(d, "tasks")] = ""
	}
	return files
}

func TestLook(t *testing.T) {
	self := fmt.Sprintln(pid)
	anywhere := v1("memory/a", "cpu/a", "pids/a", "freezer/a")
	mine1 := []string{"memory/a", "cpu/a", "pids/a", "freezer/a"}
	for name, tc := range map[string]struct {
		fixture
		want string // version, how, and where
		why  string // of a machine without
	}{
		"version 1, below the caller's own": {fixture{mount1, own1, anywhere, mine1, false},
			"1: cpu=cpu/a cpuacct=cpu/a freezer=freezer/a memory=memory/a pids=pids/a", ""},
		"version 1, of which one is the caller's": {fixture{mount1, own1, anywhere, mine1[:1], false}, "1: memory=memory/a", ""},
		"version 1, of which none is":             {fixture{mount1, own1, anywhere, nil, false}, "1:", "no group can be made in CG/"},
		"version 1 in a container": {fixture{strings.ReplaceAll(mount1, " / ", " /a "), own1, v1("memory", "cpu", "pids", "freezer"), []string{"memory", "cpu", "pids", "freezer"}, false},
			"1: cpu=cpu cpuacct=cpu freezer=freezer memory=memory pids=pids", ""},
		"version 1 in a container of a sibling": {fixture{strings.ReplaceAll(mount1, " / ", " /b "), own1, anywhere, mine1, false}, "1:", ""},
		"hybrid, limits on version 1": {fixture{mount1 + mount2, own1 + "0::/a\n", v2("a", self, "", "", anywhere), append(mine1, "a"), false},
			"1: cpu=cpu/a cpuacct=cpu/a freezer=freezer/a memory=memory/a pids=pids/a", ""},
		"hybrid, the caller's limits on version 2": {fixture{mount1 + mount2, own1 + "0::/a/b\n", v2("a", "", all, "", v2("a/b", self, all, ""), anywhere), []string{"a", "a/b"}, false},
			"2: cpu=a memory=a pids=a", ""},

		"version 2 of the superuser":              {fixture{mount2, "0::/\n", top(), []string{""}, false}, "2: cpu= memory= pids=", ""},
		"the root is systemd's where that runs":   {fixture{mount2, "0::/\n", top(), []string{""}, true}, "2:", ""},
		"a tree: beside the caller":               {fixture{mount2, "0::/a/b\n", v2("a", "", all, "", v2("a/b", self, all, "")), []string{"a", "a/b"}, false}, "2: cpu=a memory=a pids=a", ""},
		"a tree whose top hands all down already": {fixture{mount2, "0::/a/b\n", v2("a", "", all, "cpu memory pids", v2("a/b", self, all, "")), []string{"a"}, false}, "2: cpu=a memory=a pids=a", ""},
		"a tree with a shell in its top":          {fixture{mount2, "0::/a/b\n", v2("a", "7\n", all, "", v2("a/b", "7\n"+self, all, "")), []string{"a", "a/b"}, false}, "2:", "its own control group has other processes in it"},
		"a tree with fewer controllers":           {fixture{mount2, "0::/a/b\n", v2("a", "", "memory\n", "", v2("a/b", self, "", "")), []string{"a", "a/b"}, false}, "2: memory=a", ""},
		"the nearest of two":                      {fixture{mount2, "0::/a/b/c\n", v2("a", "", all, all, v2("a/b", "", all, ""), v2("a/b/c", self, all, "")), []string{"a", "a/b"}, false}, "2: cpu=a/b memory=a/b pids=a/b", ""},
		"the nearest that has them all":           {fixture{mount2, "0::/a/b/c\n", v2("a", "", all, all, v2("a/b", "", "pids", ""), v2("a/b/c", self, "pids", "")), []string{"a", "a/b"}, false}, "2: cpu=a memory=a pids=a", ""},
		"a slice is systemd's":                    {fixture{mount2, "0::/a.slice/b\n", v2("a.slice", "", all, "", v2("a.slice/b", self+"7\n", all, "")), []string{"a.slice"}, false}, "2:", "no control group above it is delegated"},
		"alone in one's own":                      {fixture{mount2, "0::/a\n", v2("a", self, all, ""), []string{"a"}, false}, "2 aside: cpu=a memory=a pids=a", ""},
		"alone, but not its owner":                {fixture{mount2, "0::/a\n", v2("a", self, all, ""), nil, false}, "2:", "no control group above it is delegated"},
		"not alone":                               {fixture{mount2, "0::/a\n", v2("a", "7\n"+self, all, ""), []string{"a"}, false}, "2:", "its own control group has other processes in it"},
		"systemd is asked by who has nothing":     {fixture{mount2, "0::/a\n", v2("user.slice/manager", "", all, "", v2("a", self, all, "")), nil, true}, "2 scope: cpu=user.slice/manager memory=user.slice/manager pids=user.slice/manager", ""},
		"systemd is asked before one steps aside": {fixture{mount2, "0::/a\n", v2("user.slice/manager", "", all, "", v2("a", self, all, "")), []string{"a"}, true}, "2 scope: cpu=user.slice/manager memory=user.slice/manager pids=user.slice/manager", ""},
		"systemd is not asked by who has a tree":  {fixture{mount2, "0::/a/b\n", v2("a", "", all, "", v2("a/b", self, all, "")), []string{"a"}, true}, "2: cpu=a memory=a pids=a", ""},
		"systemd has two controllers":             {fixture{mount2, "0::/a\n", v2("user.slice/manager", "", "memory pids\n", ""), nil, true}, "2 scope: memory=user.slice/manager pids=user.slice/manager", "only the controllers memory, pids"},
		"a container with a part of version 2":    {fixture{strings.ReplaceAll(mount2, " / ", " /x "), "0::/x/a/b\n", v2("a", "", all, "", v2("a/b", self, all, "")), []string{"a"}, false}, "2: cpu=a memory=a pids=a", ""},
		"the root of a container's namespace":     {fixture{mount2, "0::/\n", v2("", "1\n"+self, all, ""), []string{""}, false}, "2:", "its own control group has other processes in it"},
		"a group outside the namespace":           {fixture{mount2, "0::/../b\n", v2("b", "", all, ""), []string{"", "b"}, false}, "0:", "its control group is not visible below CG"},
		"a mount from outside the namespace":      {fixture{strings.ReplaceAll(mount2, " / ", " /.. "), "0::/\n", top(), []string{""}, false}, "0:", "its control group is not visible below CG"},
		"nothing is mounted":                      {fixture{"", "0::/\n", nil, nil, false}, "0:", "no control groups are mounted"},
	} {
		t.Run(name, func(t *testing.T) {
			c, cg := tc.caller(t)
			got := c.look()
			if text := describe(got, cg); text != tc.want {
				t.Errorf("%s, want %s", text, tc.want)
			}
			if why := strings.ReplaceAll(got.Why, cg, "CG"); !strings.Contains(why, tc.why) || tc.why == "" && len(got.Parents) >= len(wanted) && why != "" {
				t.Errorf("why %q, want %q", why, tc.why)
			}
		})
	}
}

// describe is a result on one line, with directories as they are below cg.
func describe(g limits.Groups, cg string) string {
	text := fmt.Sprint(g.Version)
	if g.Scope {
		text += " scope"
	}
	if g.Aside {
		text += " aside"
	}
	text += ":"
	for _, c := range []string{"cpu", "cpuacct", "freezer", "memory", "pids"} {
		if dir, ok := g.Parents[c]; ok {
			text += " " + c + "=" + strings.TrimPrefix(strings.TrimPrefix(dir, cg), "/")
		}
	}
	return text
}

func TestLookWithoutProc(t *testing.T) {
	c := caller{self: filepath.Join(t.TempDir(), "none")}
	if g := c.look(); g.Version != 0 || len(g.Parents) > 0 || g.Why == "" {
		t.Errorf("%+v", g)
	}
}

// What the machine has is there.
func TestLookHere(t *testing.T) {
	for controller, dir := range Look().Parents {
		if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
			t.Errorf("%s: %v", controller, err)
		}
	}
	if diff := cmp.Diff(Look(), Look()); diff != "" {
		t.Errorf("looking changed something: %s", diff)
	}
}
