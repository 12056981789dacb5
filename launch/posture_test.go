package launch

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"agentbox/internal/boxinit"
	"agentbox/mounts"
	"agentbox/profile"
)

func planOf(t *testing.T, h Host) Plan {
	t.Helper()
	plan, err := NewPlan(preset(t, "default", ""), h, Request{Command: []string{"x"}})
	must(t, err)
	return plan
}

// Who the agent is: on the host, in the box's user namespace, and where there is one of its own, in that.
func TestIDs(t *testing.T) {
	type who struct {
		Box       []configs.IDMap // of the box's user namespace
		Outer     uint32          // the agent there
		Nested    bool
		InnerRoot bool
		OnHost    uint32 // as whom files are written on an idmapped mount
	}
	hosts := hosts()
	for name, tc := range map[string]struct {
		host Host
		want who
	}{
		"root has a range that nobody else has": {hosts["root"],
			who{Box: []configs.IDMap{{ContainerID: 0, HostID: 1 << 20, Size: rangeSize}}, Outer: 1000, OnHost: 1<<20 + 1000}},
		"with newuidmap the agent is the caller, and its root a subordinate id": {hosts["user"],
			who{Box: []configs.IDMap{{ContainerID: 0, HostID: 1000, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 1}}, Nested: true, InnerRoot: true}},
		"without, the agent is the caller and there is no other": {hosts["bare-user"],
			who{Box: []configs.IDMap{{ContainerID: 0, HostID: 1000, Size: 1}}, Nested: true}},
	} {
		t.Run(name, func(t *testing.T) {
			plan := planOf(t, tc.host)
			ids := plan.ids(1 << 20)
			in, err := plan.instructions(ids)
			must(t, err)
			got := who{Box: ids.uids, Outer: in.OuterUID, Nested: in.Nested, InnerRoot: in.InnerRoot}
			if plan.Idmap {
				got.OnHost = ids.mounts.HostUID
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(ids.uids, ids.gids); diff != "" || in.UID != 1000 || in.GID != 1000 || in.OuterGID != in.OuterUID {
				t.Errorf("groups differ: %d, %d, %s", in.GID, in.OuterGID, diff)
			}
		})
	}
}

// Through an idmapped mount the caller's files are the agent's, and nobody else's are.
func TestOnlyTheCallersFilesAreTheAgents(t *testing.T) {
	h := hosts()["root"]
	h.CallerUID, h.CallerGID = 1234, 100
	ids := planOf(t, h).ids(1 << 20).mounts
	lines := userMap(ids)
	if len(lines) != 1 || lines[0].ContainerID != 1234 || lines[0].HostID != 1<<20+1000 || lines[0].Size != 1 {
		t.Errorf("users map by %+v", lines)
	}
}

// The box's own root may set up the box, and what it starts has no capability at all; see the posture tests of e2e.
func TestConfigOfTheEngine(t *testing.T) {
	for account, h := range hosts() {
		plan := planOf(t, h)
		c := plan.config("/run/agentbox/0id", plan.ids(1<<20))
		if !c.NoNewPrivileges || !c.Readonlyfs || c.Hostname != "agentbox" || c.RootlessEUID == (account == "root") || c.Rootfs != "/run/agentbox/0id/rootfs" {
			t.Errorf("%s: %+v", account, c)
		}
		if diff := cmp.Diff(initCaps, c.Capabilities.Bounding); diff != "" || len(c.Capabilities.Ambient)+len(c.Capabilities.Inheritable) > 0 {
			t.Errorf("%s: %+v", account, c.Capabilities)
		}
		var kinds []configs.NamespaceType
		for _, ns := range c.Namespaces {
			kinds = append(kinds, ns.Type)
			if ns.Path != "" {
				t.Errorf("%s: %s is one that exists already", account, ns.Type)
			}
		}
		if len(kinds) != len(namespaceTypes) {
			t.Errorf("%s: the namespaces are %q", account, kinds)
		}
	}
}

// Rights that a kernel knows are handled, and given only where a mount can be written.
func TestLandlockRights(t *testing.T) {
	const (
		write   = unix.LANDLOCK_ACCESS_FS_WRITE_FILE
		make1   = uint64(0x1ff2) // ABI 1: write, remove and make, of every kind
		devices = uint64(unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK)
		refer   = uint64(unix.LANDLOCK_ACCESS_FS_REFER)
		ioctl   = uint64(unix.LANDLOCK_ACCESS_FS_IOCTL_DEV)
	)
	for abi, want := range map[int]struct{ handled, tmp, dev uint64 }{
		1: {make1, make1 &^ devices, write},
		2: {make1 | refer, make1&^devices | refer, write},
		4: {make1 | refer, make1&^devices | refer, write},
		5: {make1 | refer | ioctl, make1&^devices | refer, write | ioctl},
		9: {make1 | refer | ioctl, make1&^devices | refer, write | ioctl},
	} {
		h := laptop()
		h.LandlockABI = abi
		l := planOf(t, h).landlock()
		rules := map[string]uint64{}
		for _, r := range l.Rules {
			rules[r.Path] = r.Access
		}
		if l.FS != want.handled || rules["/tmp"] != want.tmp || rules["/dev"] != want.dev || rules["/proc"] != write || rules["/home/me/project"] != want.tmp {
			t.Errorf("ABI %d: handles %#x, rules %#x, want %#x", abi, l.FS, rules, want)
		}
		writable := []string{"/dev", "/dev/shm", "/home/me", "/home/me/project", "/proc", "/run", "/tmp", "/var/tmp"}
		if got := slices.Sorted(maps.Keys(rules)); !slices.Equal(got, writable) {
			t.Errorf("ABI %d: rules for %q", abi, got)
		}
	}
}

// Not even a profile that nobody checked lets a variable through by which a program would be made to run another.
func TestHijackVariablesNeverPass(t *testing.T) {
	h := laptop()
	h.Env = nil
	names := []string{
		"LD_PRELOAD", "LD_LIBRARY_PATH", "GLIBC_TUNABLES", "BASH_ENV", "ENV", "BASH_FUNC_ls%%", "PROMPT_COMMAND", "NODE_OPTIONS", "PYTHONPATH", "PYTHONSTARTUP",
		"PERL5OPT", "RUBYOPT", "JAVA_TOOL_OPTIONS", "GIT_SSH_COMMAND", "GIT_CONFIG_COUNT", "GOFLAGS", "MAKEFLAGS", "LESSOPEN", "SSH_AUTH_SOCK", "DOCKER_HOST",
		"DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "KUBECONFIG", "SUDO_ASKPASS", "TMUX", "npm_config_script_shell", "_LIBCONTAINER_INITPIPE",
	}
	for _, name := range append(names, "HARMLESS") {
		h.Env = append(h.Env, name+"=x")
	}
	p := preset(t, "default", "")
	p.Agent.EnvPass = []string{"*"}
	plan, err := NewPlan(p, h, Request{Command: []string{"x"}})
	must(t, err)
	for _, name := range names {
		if slices.Contains(plan.Env, name+"=x") {
			t.Errorf("%s reached the agent", name)
		}
	}
	if !slices.Contains(plan.Env, "HARMLESS=x") {
		t.Error("a harmless variable did not")
	}
}

func TestOnlyATerminalHasAType(t *testing.T) {
	p := preset(t, "ci", "")
	for terminal, want := range map[bool]bool{true: true, false: false} {
		plan, err := NewPlan(p, laptop(), Request{Command: []string{"x"}, Terminal: terminal})
		must(t, err)
		if slices.Contains(plan.Env, "TERM=xterm") != want {
			t.Errorf("terminal %v: %q", terminal, plan.Env)
		}
	}
}

// A layer that is let go is named, and what depends on it is off; the others stay.
func TestLayersThatAreLetGo(t *testing.T) {
	for layer, off := range map[string]func(Plan) bool{
		profile.DegradeLandlock:        func(p Plan) bool { return p.landlock() == nil },
		profile.DegradeSeccomp:         func(p Plan) bool { return !p.Seccomp },
		profile.DegradePrograms:        func(p Plan) bool { return !p.Programs && !p.filter().Programs },
		profile.DegradeKeyring:         func(p Plan) bool { return !p.Keyring },
		profile.DegradeIdmap:           func(p Plan) bool { return !p.Idmap },
		profile.DegradeCgroupNamespace: func(p Plan) bool { return !slices.Contains(p.Namespaces, "cgroup") },
	} {
		t.Run(layer, func(t *testing.T) {
			p := preset(t, "strict", "agent.degrade = ['"+layer+"']")
			h := hosts()["root"]
			whole, err := NewPlan(p, h, Request{Command: []string{"x"}})
			must(t, err)
			if off(whole) || len(whole.Degraded) > 0 {
				t.Errorf("the layer is off where the host has it; %v", whole.Degraded)
			}
			h.Missing = map[string]string{layer: "it is not there"}
			if layer == profile.DegradeLandlock {
				h.LandlockABI = 0
			}
			without, err := NewPlan(p, h, Request{Command: []string{"x"}})
			must(t, err)
			want := []Degraded{{layer, "it is not there"}}
			if layer == profile.DegradeSeccomp {
				want = append(want, Degraded{profile.DegradePrograms, "it needs the layer seccomp"})
			}
			if !off(without) || !cmp.Equal(without.Degraded, want) {
				t.Errorf("the layer is on where the host lacks it; %v", without.Degraded)
			}
			if on := whole.Namespaces; layer != profile.DegradeCgroupNamespace && !slices.Equal(on, without.Namespaces) {
				t.Errorf("the namespaces were %q and are %q", on, without.Namespaces)
			}
		})
	}
}

func TestEntriesOfTheRoot(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, "os-release")
	plan := Plan{Files: mounts.Layout{Skeleton: []mounts.Node{
		{Path: "/etc", Kind: mounts.NodeDir, Mode: 0o755}, {Path: "/etc/os-release", Kind: mounts.NodeFile, Source: filepath.Join(dir, "os-release"), Mode: 0o644},
		{Path: "/etc/hostname", Kind: mounts.NodeFile, Content: "agentbox\n", Mode: 0o644}, {Path: "/bin", Kind: mounts.NodeLink, Target: "usr/bin"}}}}
	got, err := plan.nodes()
	must(t, err)
	want := []boxinit.Node{
		{Kind: boxinit.NodeFile, Path: boxinit.Path, Mode: 0o555}, {Kind: boxinit.NodeDir, Path: boxinit.StageDir, Mode: 0o555},
		{Kind: boxinit.NodeDir, Path: "/etc", Mode: 0o755, Content: []byte{}}, {Kind: boxinit.NodeFile, Path: "/etc/os-release", Mode: 0o644, Content: []byte("os-release")},
		{Kind: boxinit.NodeFile, Path: "/etc/hostname", Mode: 0o644, Content: []byte("agentbox\n")}, {Kind: boxinit.NodeLink, Path: "/bin", Content: []byte("usr/bin")},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, node := range map[string]mounts.Node{
		"a file that has vanished": {Path: "/etc/x", Kind: mounts.NodeFile, Source: filepath.Join(dir, "absent")},
		"a kind that nobody knows": {Path: "/etc/x", Kind: "socket"},
	} {
		plan.Files.Skeleton = []mounts.Node{node}
		if list, err := plan.nodes(); err == nil || list != nil {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
}

// Mount points are made in a directory of the session's, which may have been used before; not through a link in it.
func TestMountPointsOfTheEngine(t *testing.T) {
	dir := t.TempDir()
	must(t, makeMountpoints(dir))
	for _, name := range []string{"dev", "proc", boxinit.StageDir, boxinit.Path} {
		info, err := os.Lstat(filepath.Join(dir, rootDir, name))
		must(t, err)
		if info.IsDir() == (name == boxinit.Path) {
			t.Errorf("%s is a %v", name, info.Mode())
		}
	}
	again := t.TempDir()
	plant(t, again, "rootfs/dev -> /")
	if err := makeMountpoints(again); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a link: %v", err)
	}
}

func TestPlansThatCannotBeRead(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "cut": `{"plan":{"uid":`, "of another type": `{"plan":[]}`, "a number out of range": `{"base":-1}`} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, planFile), []byte(content), 0o600))
		if p, err := LoadPlan(dir); err == nil || !cmp.Equal(p.Command, []string(nil)) || p.Seccomp {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if _, err := LoadPlan(t.TempDir()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "the box's plan") {
		t.Errorf("absent: %v", err)
	}
}

func TestAStoredPlanIsPrivate(t *testing.T) {
	dir := t.TempDir()
	must(t, planOf(t, laptop()).save(dir, 0))
	info, err := os.Stat(filepath.Join(dir, planFile))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v", info.Mode())
	}
}
