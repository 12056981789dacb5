package launch

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
	"agentbox/limits"
	"agentbox/mounts"
	"agentbox/profile"
)

func TestMain(m *testing.M) { os.Exit(boxtest.Main(m)) }

// laptop is a host with a toolchain in the home directory and a project with a secret, seen by a person.
func laptop() Host {
	place := func(path string, ino uint64) mounts.Place {
		return mounts.Place{Path: path, Kind: mounts.Dir, Dev: 1, Ino: ino}
	}
	dir := func(names ...string) (list []mounts.Entry) {
		for _, n := range names {
			list = append(list, mounts.Entry{Name: n, Kind: mounts.Dir, Public: true})
		}
		return list
	}
	return Host{
		EUID: 1000, EGID: 1000, CallerUID: 1000, CallerGID: 1000, IDs: IDNested, Kernel: "6.1.0", LandlockABI: 3, Umask: 0o022,
		Env: []string{"PATH=/home/me/.local/bin:/usr/bin", "TERM=xterm-256color", "LANG=C.UTF-8", "LD_PRELOAD=/x.so", "SECRET=1"},
		Dir: "/home/me/project/sub",
		Files: mounts.Host{
			Home: "/home/me", User: "me", Source: "/",
			Root: append(dir("boot", "etc", "home", "root", "run", "tmp", "usr", "var"), mounts.Entry{Name: "bin", Kind: mounts.Link, Target: "usr/bin", Public: true}),
			Etc: append(dir("ssl"), mounts.Entry{Name: "hosts", Kind: mounts.File, Public: true, Size: 9},
				mounts.Entry{Name: "shadow", Kind: mounts.File}, mounts.Entry{Name: "mime.types", Kind: mounts.File, Public: true, Size: 1 << 20}),
			Tools: []mounts.Tool{{Dir: "/home/me/.local/bin", Real: "/home/me/.local/bin", Links: map[string]string{"claude": "/home/me/.local/share/claude/1.0/claude"}},
				{Dir: "/usr/bin", Real: "/usr/bin"}},
			Prefixes: map[string]bool{}, Closed: map[string]bool{"/home/me": true},
			Workspace: place("/home/me/project", 10),
			Masked:    []mounts.Match{{Path: "sub/.env", Dev: 1, Ino: 12, Key: "workspace.mask[0]"}},
			Protected: []mounts.Match{{Path: ".git/hooks", Dir: true, Dev: 1, Ino: 13, Key: "workspace.protect[0]"}},
			Ancestors: map[string]mounts.Place{"sub": place("sub", 14), ".git": place(".git", 15)},
			Exists:    map[string]bool{"/proc/kcore": true},
			Binary:    "/usr/local/bin/agentbox",
		},
		Limits: limits.Host{Processors: []int{0, 1, 2, 3}, OpenFiles: 1 << 20},
	}
}

// The other hosts differ from the laptop in how ids map, and in having control groups.
func hosts() map[string]Host {
	mapped, root := laptop(), laptop()
	mapped.IDs, mapped.SubUID, mapped.SubGID = IDMapped, 100000, 100000
	root.IDs, root.EUID, root.EGID = IDRange, 0, 0
	root.Limits.Groups = limits.Groups{Version: 1, Parents: map[string]string{"memory": "/cg/memory", "cpu": "/cg/cpu", "pids": "/cg/pids", "freezer": "/cg/freezer"}}
	return map[string]Host{"bare-user": laptop(), "user": mapped, "root": root}
}

func preset(t *testing.T, name, more string) profile.Profile {
	t.Helper()
	l, ok := profile.Preset(name)
	if !ok {
		t.Fatalf("no preset %s", name)
	}
	e, findings := profile.Merge([]profile.Layer{l, {Name: "more", Kind: profile.User, Trusted: true, Data: []byte(more)}}, nil)
	if findings = append(findings, profile.Check(e)...); len(findings.Fatal()) > 0 {
		t.Fatal(findings)
	}
	return e.Profile
}

// The golden plans are the table of defaults: what each preset comes to on each kind of host.
func TestPlansOfThePresets(t *testing.T) {
	for account, host := range hosts() {
		for _, name := range profile.Presets() {
			t.Run(name+" "+account, func(t *testing.T) {
				more := ""
				if name == "strict" && account != "root" {
					more = "limits.enforcement = 'watched'"
				}
				plan, err := NewPlan(preset(t, name, more), host, Request{Command: []string{"claude"}})
				if err != nil {
					t.Fatal(err)
				}
				boxtest.Golden(t, filepath.Join("../testdata/plans", name+"-"+account+".json"), plan)
			})
		}
	}
}

func TestEnvironmentIsAnAllowList(t *testing.T) {
	for name, tc := range map[string]struct {
		pass   []string // of the profile, unchecked
		env    string
		caller []string
		want   []string // variables that come through beside the box's own
	}{
		"nothing passes by itself":                {nil, "", []string{"SECRET=1"}, nil},
		"what is named passes":                    {[]string{"A", "B"}, "", []string{"A=1", "B=2", "C=3"}, []string{"A=1", "B=2"}},
		"a star at the end":                       {[]string{"LC_*"}, "", []string{"LC_ALL=x", "LCX=y"}, []string{"LC_ALL=x"}},
		"a loader's variable never passes":        {[]string{"LD_*", "NODE_OPTIONS"}, "", []string{"LD_PRELOAD=x", "NODE_OPTIONS=y", "LD_AUDIT=z"}, nil},
		"the profile sets":                        {nil, "A = '1'", nil, []string{"A=1"}},
		"and wins over the caller":                {[]string{"A"}, "A = '1'", []string{"A=2"}, []string{"A=1"}},
		"an equals sign belongs to the value":     {[]string{"A"}, "", []string{"A=b=c"}, []string{"A=b=c"}},
		"HOME and PATH are the box's in any case": {[]string{"HOME", "PATH"}, "", []string{"HOME=/x", "PATH=/x"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := laptop()
			h.Env = tc.caller
			p := preset(t, "strict", "limits.enforcement = 'watched'\n[agent.env]\n"+tc.env)
			p.Agent.EnvPass = tc.pass
			plan, err := NewPlan(p, h, Request{Command: []string{"x"}})
			if err != nil {
				t.Fatal(err)
			}
			own := []string{"AGENTBOX=1", "HOME=/home/me", "LOGNAME=agent", "PATH=" + strings.Join(plan.Files.Path, ":"), "PWD=/home/me/project/sub",
				"SHELL=/bin/bash", "TMPDIR=/tmp", "USER=agent", "XDG_RUNTIME_DIR=/run/user/1000"}
			got := slices.DeleteFunc(plan.Env, func(kv string) bool { return slices.Contains(own, kv) })
			if diff := cmp.Diff(tc.want, got); diff != "" && len(tc.want)+len(got) > 0 {
				t.Error(diff)
			}
		})
	}
}

func TestLayersThatTheHostLacks(t *testing.T) {
	for _, layer := range []string{profile.DegradeLandlock, profile.DegradeSeccomp, profile.DegradeKeyring, profile.DegradeCgroupNamespace, profile.DegradePrograms} {
		h := laptop()
		h.Missing = map[string]string{layer: "it is not there"}
		_, err := NewPlan(preset(t, "ci", ""), h, Request{Command: []string{"x"}})
		var missing *MissingError
		if !errors.As(err, &missing) || missing.Layer != layer {
			t.Errorf("without %s: %v", layer, err)
		}
		plan, err := NewPlan(preset(t, "ci", "agent.degrade = ['"+layer+"']"), h, Request{Command: []string{"x"}})
		if err != nil || !slices.ContainsFunc(plan.Degraded, func(d Degraded) bool { return d.Layer == layer }) {
			t.Errorf("with leave: %v, %v", plan.Degraded, err)
		}
	}
}

func TestWorkingDirectory(t *testing.T) {
	for name, tc := range map[string]struct{ asked, caller, want string }{
		"the caller's, in the workspace":           {"", "/home/me/project/sub", "/home/me/project/sub"},
		"the workspace, for a caller elsewhere":    {"", "/home/me", "/home/me/project"},
		"a neighbour with a longer name is not in": {"", "/home/me/project-b", "/home/me/project"},
		"what was asked for":                       {"/home/me/project/x", "/", "/home/me/project/x"},
		"outside, where the box shows it":          {"/usr/bin", "/", "/usr/bin"},
		"not what it does not show":                {"/home/you", "/", "/home/me/project"},
	} {
		t.Run(name, func(t *testing.T) {
			h := laptop()
			h.Dir = tc.caller
			plan, err := NewPlan(preset(t, "default", ""), h, Request{Command: []string{"x"}, Dir: tc.asked})
			if err != nil || plan.Dir != tc.want {
				t.Errorf("%q, %v", plan.Dir, err)
			}
		})
	}
}

// A stored plan is the posture of the box for commands that join it.
func TestStoredPlanIsTheSame(t *testing.T) {
	for account, h := range hosts() {
		dir := t.TempDir()
		plan, err := NewPlan(preset(t, "default", ""), h, Request{Command: []string{"x", "\xff"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.save(dir, 65536); err != nil {
			t.Fatal(err)
		}
		again, err := LoadPlan(dir)
		if err != nil {
			t.Fatal(err)
		}
		a, err1 := plan.instructions(plan.ids(65536))
		b, err2 := again.instructions(again.ids(again.base))
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		a.Args, b.Args = nil, nil     // an exec brings its own
		a.Mounts, b.Mounts = nil, nil // and finds the mounts in place
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("%s (-saved +loaded):\n%s", account, diff)
		}
	}
}

// What the agent may do beneath a path follows from the mounts; rights that an older kernel lacks are left out.
func TestLandlockByABI(t *testing.T) {
	for abi, want := range map[int]bool{0: false, 1: true, 3: true, 6: true, 99: true} {
		h := laptop()
		h.LandlockABI = abi
		plan, err := NewPlan(preset(t, "default", ""), h, Request{Command: []string{"x"}})
		if err != nil {
			t.Fatal(err)
		}
		l := plan.landlock()
		if (l != nil) != want {
			t.Fatalf("ABI %d: %+v", abi, l)
		}
		if l == nil {
			continue
		}
		for _, r := range l.Rules {
			if r.Access&^l.FS != 0 {
				t.Errorf("ABI %d: %s allows %x, which the ruleset does not handle", abi, r.Path, r.Access&^l.FS)
			}
		}
		if refers := l.FS&unix.LANDLOCK_ACCESS_FS_REFER != 0; refers != (abi >= 2) {
			t.Errorf("ABI %d: handles %x", abi, l.FS)
		}
	}
}

// The map of an idmapped mount gives each group of the disk one place, and the agent the caller's.
func TestGroupMapIsOneToOne(t *testing.T) {
	for _, disk := range []uint32{0, 1, 999, 1000, 1001, 65534, 65535, 65536, 100000} {
		for _, agent := range []uint32{0, 1000, 65535} {
			ids := mounts.IDs{DiskGID: disk, HostGID: 5_000_000 + agent, Base: 5_000_000}
			from, to := map[int]bool{}, map[int]bool{}
			for _, line := range groupMap(ids) {
				for i := range line.Size {
					if from[line.ContainerID+i] || to[line.HostID+i] {
						t.Fatalf("disk %d, agent %d: %+v maps an id twice", disk, agent, line)
					}
					from[line.ContainerID+i], to[line.HostID+i] = true, true
				}
			}
			if lines := groupMap(ids); lines[0].ContainerID != int(disk) || lines[0].HostID != int(ids.HostGID) {
				t.Errorf("disk %d: the agent gets %+v", disk, lines[0])
			}
		}
	}
}
