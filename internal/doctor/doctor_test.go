package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentbox/launch"
	"agentbox/limits"
)

// The checks start /proc/self/exe with one argument and want nothing of it but to start.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && !strings.HasPrefix(os.Args[1], "-") {
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestReady(t *testing.T) {
	tests := map[string]struct {
		states []State
		want   bool
	}{
		"nothing was checked":         {nil, false},
		"all is there":                {[]State{OK, OK}, true},
		"weaker is ready":             {[]State{OK, Degraded, Note}, true},
		"one missing is not":          {[]State{OK, Missing, OK}, false},
		"the zero state is not":       {[]State{OK, ""}, false},
		"a state nobody knows is not": {[]State{"fine"}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var checks []Check
			for _, s := range tt.states {
				checks = append(checks, Check{Name: "x", State: s})
			}
			if got := Ready(checks); got != tt.want {
				t.Errorf("Ready(%v) = %v, want %v", tt.states, got, tt.want)
			}
		})
	}
}

// fake is a host made of files below a directory.
func fake(t *testing.T, files map[string]string) host {
	t.Helper()
	h := host{root: t.TempDir(), env: func(string) string { return "" }, try: func(string) error { return nil }}
	h.EUID, h.EGID, h.IDs, h.Dir = 1000, 1000, launch.IDNested, t.TempDir()
	for name, content := range files {
		p := filepath.Join(h.root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

type files map[string]string

func TestChecksJudgeWhatTheyFind(t *testing.T) {
	refuse := func(h *host) { h.try = func(string) error { return errors.New("operation not permitted") } }
	root := func(h *host) { h.EUID, h.IDs = 0, launch.IDRange }
	groups := func(g limits.Groups) func(*host) {
		return func(h *host) { h.groups = func() limits.Groups { return g } }
	}
	mapped := func(h *host) { h.IDs = launch.IDMapped }
	plain := files{"/proc/self/mountinfo": "1 0 0:1 / / rw - ext4 x rw\n", "/proc/self/uid_map": "0 0 4294967295\n"}
	tests := map[string]struct {
		check func(host) Check
		files files
		set   func(*host)
		want  State // "" when the check is left out
		says  string
	}{
		"a namespace that can be made":       {namespace("net", "x"), nil, nil, OK, "made one"},
		"a namespace that is refused":        {namespace("net", "x"), nil, refuse, Missing, "not permitted"},
		"a cgroup namespace may be let go":   {namespace("cgroup", "x"), nil, refuse, Missing, `degrade = ["cgroup-namespace"]`},
		"no switch is set":                   {namespaceSwitches, files{"/proc/sys/user/max_net_namespaces": "100"}, nil, OK, ""},
		"a namespace limit of zero":          {namespaceSwitches, files{"/proc/sys/user/max_net_namespaces": "0\n"}, nil, Missing, "user.max_net_namespaces=15000"},
		"Debian's switch":                    {namespaceSwitches, files{"/proc/sys/kernel/unprivileged_userns_clone": "0"}, nil, Missing, "unprivileged_userns_clone=1"},
		"Debian's switch exempts root":       {namespaceSwitches, files{"/proc/sys/kernel/unprivileged_userns_clone": "0"}, root, OK, ""},
		"a kernel without AppArmor's switch": {appArmor, nil, nil, "", ""},
		"AppArmor's switch is off":           {appArmor, files{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "0"}, nil, OK, ""},
		"AppArmor restricts this binary":     {appArmor, files{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n"}, refuse, Missing, "userns,"},
		"AppArmor has a profile for it":      {appArmor, files{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1"}, nil, OK, "a profile allows"},
		"AppArmor exempts root":              {appArmor, files{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1"}, root, OK, "exempt"},
		"no outer container":                 {outerContainer, plain, nil, OK, ""},
		"docker by its file":                 {outerContainer, files{"/.dockerenv": ""}, nil, Note, "systempaths=unconfined"},
		"podman by its file":                 {outerContainer, files{"/run/.containerenv": ""}, nil, Note, "unmask=ALL"},
		"lxc by process 1":                   {outerContainer, files{"/proc/1/environ": "A=1\x00container=lxc\x00"}, nil, Note, "security.nesting"},
		"a user namespace by its ids":        {outerContainer, files{"/proc/self/uid_map": "0 1000 1\n"}, nil, Note, "uid_map"},
		"a chroot":                           {outerContainer, files{"/proc/self/mountinfo": "1 0 0:1 / /x rw - ext4 x rw\n"}, refuse, Missing, "outside the chroot"},
		"a chroot in which namespaces work":  {outerContainer, files{"/proc/self/mountinfo": "1 0 0:1 / /x rw - ext4 x rw\n"}, nil, Note, "all the same"},
		"no_new_privs is not set":            {noNewPrivileges, files{"/proc/self/status": "Name:\tx\nNoNewPrivs:\t0\n"}, mapped, OK, ""},
		"no_new_privs without newuidmap":     {noNewPrivileges, files{"/proc/self/status": "Name:\tx\nNoNewPrivs:\t1\n"}, nil, Note, "none"},
		"no_new_privs with newuidmap":        {noNewPrivileges, files{"/proc/self/status": "Name:\tx\nNoNewPrivs:\t1\n"}, mapped, Missing, "NoNewPrivileges="},
		"an old kernel does not tell":        {noNewPrivileges, files{"/proc/self/status": "Name:\tx\n"}, nil, Note, "does not tell"},
		"groups are dropped with newuidmap":  {supplementaryGroups, nil, mapped, OK, "dropped"},
		"TIOCSTI is off":                     {terminalInjection, files{"/proc/sys/dev/tty/legacy_tiocsti": "0"}, nil, OK, ""},
		"TIOCSTI is on":                      {terminalInjection, files{"/proc/sys/dev/tty/legacy_tiocsti": "1"}, nil, Note, "is 1"},
		"TIOCSTI has no switch":              {terminalInjection, nil, nil, Note, "no switch"},
		"core files are files":               {corePattern, files{"/proc/sys/kernel/core_pattern": "core\n"}, nil, OK, ""},
		"core files go to a program":         {corePattern, files{"/proc/sys/kernel/core_pattern": "|/usr/lib/handler %P %u\n"}, nil, Note, "/usr/lib/handler on the host"},
		"a group for every limit":            {controlGroups, nil, groups(limits.Groups{Version: 1, Parents: map[string]string{"memory": "/m", "cpu": "/c"}}), OK, "version 1"},
		"a scope of systemd's":               {controlGroups, nil, groups(limits.Groups{Version: 2, Scope: true, Parents: map[string]string{"memory": "/", "cpu": "/"}}), OK, "scope"},
		"no control groups":                  {controlGroups, nil, groups(limits.Groups{Why: "no control groups are mounted"}), Degraded, "systemd.unified_cgroup_hierarchy=1"},
		"one controller is not delegated":    {controlGroups, files{"/sys/fs/cgroup/cgroup.controllers": "cpu"}, groups(limits.Groups{Version: 2, Parents: map[string]string{"memory": "/"}}), Degraded, "limits.cpus can only"},
		"the kernel has no Landlock":         {landlockRules, nil, nil, Missing, `degrade = ["landlock"]`},
		"keyctl is refused":                  {sessionKeyring, nil, func(h *host) { h.Missing = map[string]string{"keyring": "EPERM"} }, Missing, "EPERM"},
		"ids of the caller need no idmap":    {idmappedMounts, nil, nil, OK, "not needed"},
		"the binary's path is not known":     {binaryReadable, nil, nil, Missing, "not known"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := fake(t, tt.files)
			if tt.set != nil {
				tt.set(&h)
			}
			c := tt.check(h)
			if c.State != tt.want {
				t.Errorf("state %q, want %q: %+v", c.State, tt.want, c)
			}
			if text := fmt.Sprint(c); !strings.Contains(text, tt.says) {
				t.Errorf("%q is not said in: %s", tt.says, text)
			}
		})
	}
}

func TestBinaryOfTheOwnerAlone(t *testing.T) {
	h := fake(t, files{"/agentbox": ""})
	h.binary = filepath.Join(h.root, "agentbox")
	for mode, want := range map[os.FileMode]State{0o700: Missing, 0o750: Missing, 0o755: OK} {
		if err := os.Chmod(h.binary, mode); err != nil {
			t.Fatal(err)
		}
		h.IDs = launch.IDRange
		if c := binaryReadable(h); c.State != want {
			t.Errorf("mode %o: %q, want %q", mode, c.State, want)
		}
		h.IDs = launch.IDNested
		if c := binaryReadable(h); c.State != OK {
			t.Errorf("mode %o, where the box's root is the owner: %q, want ok", mode, c.State)
		}
	}
}

func TestSessionDirectory(t *testing.T) {
	private, open, home := t.TempDir(), t.TempDir(), t.TempDir()
	user := os.Geteuid()
	if user == 0 {
		user = 1000 // root asks /run first
	}
	for dir, mode := range map[string]os.FileMode{private: 0o700, open: 0o755} {
		if err := errors.Join(os.Chmod(dir, mode), os.Chown(dir, user, -1)); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		env  map[string]string
		want State
	}{
		"a private runtime directory":        {map[string]string{"XDG_RUNTIME_DIR": private}, OK},
		"one that others may enter":          {map[string]string{"XDG_RUNTIME_DIR": open, "HOME": home}, Note},
		"none, but a home":                   {map[string]string{"HOME": home}, Note},
		"neither":                            {map[string]string{}, Missing},
		"a runtime directory that is absent": {map[string]string{"XDG_RUNTIME_DIR": private + "/x", "HOME": home}, Note},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := fake(t, nil)
			h.EUID = user
			h.env = func(name string) string { return tt.env[name] }
			if got := sessionDirectory(h); got.State != tt.want {
				t.Errorf("%q, want %q: %+v", got.State, tt.want, got)
			}
			left, err := filepath.Glob(home + "/.agentbox-doctor-*")
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

func TestRunTriesThisHost(t *testing.T) {
	got := Run(context.Background())
	seen := map[string]bool{}
	for _, c := range got {
		if seen[c.Name] {
			t.Errorf("two checks are called %q", c.Name)
		}
		seen[c.Name] = true
		switch c.State {
		case OK, Degraded, Note, Missing:
		default:
			t.Errorf("%s: state %q", c.Name, c.State)
		}
		if c.What == "" {
			t.Errorf("%s does not say what it found", c.Name)
		}
		if c.State == Missing && (c.Cost == "" || c.Remedy == "") {
			t.Errorf("%s is missing without a cost or a remedy: %+v", c.Name, c)
		}
		t.Logf("%-28s %-9s %s", c.Name, c.State, c.What)
	}
	for _, name := range []string{"user namespace", "seccomp", "landlock", "uid mapping", "idmapped mounts", "no_new_privs"} {
		if !seen[name] {
			t.Errorf("nothing is said about %q", name)
		}
	}
}

func TestRunLeavesTheProcessAsItWas(t *testing.T) {
	status := func() string {
		data, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		var kept []string
		for line := range strings.Lines(string(data)) {
			for _, field := range []string{"NoNewPrivs", "Seccomp", "Uid", "Gid", "Groups", "Cap"} {
				if strings.HasPrefix(line, field) {
					kept = append(kept, line)
				}
			}
		}
		return strings.Join(kept, "")
	}
	before := status()
	Run(context.Background())
	if diff := cmp.Diff(before, status()); diff != "" {
		t.Errorf("after the checks (-before +after):\n%s", diff)
	}
}

func TestInterruptedRunIsNotReady(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got := Run(ctx); Ready(got) {
		t.Errorf("an interrupted run is ready: %+v", got)
	}
}

func TestJSONNamesAreStable(t *testing.T) {
	got, err := json.Marshal(Check{Name: "n", State: OK, What: "w", Cost: "c", Remedy: "r"})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"n","state":"ok","what":"w","cost":"c","remedy":"r"}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
