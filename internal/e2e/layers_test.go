package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
)

// touch is the agent of these tests: its first instruction leaves a file.
var touch = []string{"--", "touch", "RAN"}

// refuses checks that the command ends with 69, names the layer, and that nothing
// of the agent ran.
func (w *world) refuses(t *testing.T, layer string, cmd *exec.Cmd) {
	t.Helper()
	got := finish(t, cmd)
	if want := "agentbox: error: cannot set up the layer " + layer + ": "; got.code != 69 || !strings.HasPrefix(got.err, want) {
		t.Errorf("ended with %d and not with 69 and %q:\n%s", got.code, want, got.err)
	}
	if w.exists("RAN") {
		t.Error("the agent ran")
	}
}

// starts checks that the command runs the agent, and returns what agentbox said.
func (w *world) starts(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	got := finish(t, cmd)
	if !w.exists("RAN") || got.code != 0 {
		t.Errorf("the agent did not run (exit code %d):\n%s", got.code, got.err)
	}
	return got.err
}

func deny(nr int, errno syscall.Errno) []boxtest.DenyRule {
	return []boxtest.DenyRule{{Syscall: nr, Errno: errno}}
}

// denyExact denies calls of which an argument has one value, denyBits those that
// set some flags in an argument.
func denyExact(nr int, errno syscall.Errno, arg int, value uint32) []boxtest.DenyRule {
	return []boxtest.DenyRule{{Syscall: nr, Errno: errno, Arg: arg, Mask: value, Exact: true}}
}

func denyBits(nr int, errno syscall.Errno, arg int, bits uint32) []boxtest.DenyRule {
	return []boxtest.DenyRule{{Syscall: nr, Errno: errno, Arg: arg, Mask: bits}}
}

// A refusal is a system call that the kernel refuses, and the layer that cannot do
// without.
type refusal struct {
	layer    string
	root     string // the layer when root starts the box; empty: the same
	rules    []boxtest.DenyRule
	terminal bool
}

func (r refusal) of(account string) string {
	if account == "root" && r.root != "" {
		return r.root
	}
	return r.layer
}

func refusals() map[string]refusal {
	const strictFilter = unix.SECCOMP_SET_MODE_FILTER
	table := map[string]refusal{
		"no system call filters":         {layer: "seccomp", rules: deny(unix.SYS_SECCOMP, unix.ENOSYS)},
		"a filter is not accepted":       {layer: "seccomp", rules: denyExact(unix.SYS_SECCOMP, unix.EINVAL, 0, strictFilter)},
		"no ruleset can be made":         {layer: "landlock", rules: denyExact(unix.SYS_LANDLOCK_CREATE_RULESET, unix.ENOMEM, 2, 0)},
		"a rule is not accepted":         {layer: "landlock", rules: deny(unix.SYS_LANDLOCK_ADD_RULE, unix.ENOMEM)},
		"a ruleset is not accepted":      {layer: "landlock", rules: deny(unix.SYS_LANDLOCK_RESTRICT_SELF, unix.EPERM)},
		"nothing can be mounted":         {layer: "mounts", root: "mnt namespace", rules: deny(unix.SYS_MOUNT, unix.EPERM)},
		"a mount cannot be copied":       {layer: "mounts", rules: deny(unix.SYS_OPEN_TREE, unix.EPERM)},
		"a mount cannot be put in place": {layer: "mounts", rules: deny(unix.SYS_MOVE_MOUNT, unix.EPERM)},
		"a mount cannot be changed":      {layer: "mounts", root: "idmap", rules: denyBits(unix.SYS_MOUNT_SETATTR, unix.EINVAL, 2, unix.AT_EMPTY_PATH)},
		"the root cannot be changed":     {layer: "mounts", rules: deny(unix.SYS_PIVOT_ROOT, unix.EPERM)},
		"the host's root stays mounted":  {layer: "mounts", rules: deny(unix.SYS_UMOUNT2, unix.EPERM)},
		"what covers masks is not made":  {layer: "mounts", rules: denyExact(unix.SYS_MKNODAT, unix.EPERM, 2, unix.S_IFREG)},
		"the group id stays":             {layer: "uid mapping", rules: deny(unix.SYS_SETRESGID, unix.EPERM)},
		"capabilities could come back":   {layer: "capability bounding set", rules: denyExact(unix.SYS_PRCTL, unix.EPERM, 0, unix.PR_SET_SECUREBITS)},
		"keyrings are refused":           {layer: "keyring", rules: deny(unix.SYS_KEYCTL, unix.ENOSYS)},
		"no new keyring":                 {layer: "keyring", rules: denyExact(unix.SYS_KEYCTL, unix.EDQUOT, 0, unix.KEYCTL_JOIN_SESSION_KEYRING)},
		"the host name stays":            {layer: "uts namespace", rules: deny(unix.SYS_SETHOSTNAME, unix.EPERM)},
		"limits cannot be set":           {layer: "limits", rules: deny(unix.SYS_PRLIMIT64, unix.EPERM)},
		"descriptors stay open":          {layer: "descriptors", rules: deny(unix.SYS_CLOSE_RANGE, unix.ENOSYS)},
		"PID 1 could be dumped":          {layer: "pid 1", rules: denyExact(unix.SYS_PRCTL, unix.EPERM, 0, unix.PR_SET_DUMPABLE)},
		"PID 1 gets no signals":          {layer: "pid 1", rules: deny(unix.SYS_SIGNALFD4, unix.EPERM)},
		"no job of its own":              {layer: "terminal", rules: deny(unix.SYS_SETPGID, unix.EPERM)},
		"not the terminal's foreground":  {layer: "terminal", rules: denyExact(unix.SYS_IOCTL, unix.EPERM, 1, unix.TIOCSPGRP), terminal: true},
	}
	for name, flag := range namespaces() {
		r := refusal{layer: name + " namespace", rules: slices.Concat(denyBits(unix.SYS_UNSHARE, unix.EPERM, 0, flag), denyBits(unix.SYS_CLONE, unix.EPERM, 0, flag))}
		table["no "+r.layer] = r
	}
	return table
}

// namespaces are the box's, by their names in /proc/sys/user.
func namespaces() map[string]uint32 {
	return map[string]uint32{"mnt": unix.CLONE_NEWNS, "pid": unix.CLONE_NEWPID, "ipc": unix.CLONE_NEWIPC,
		"uts": unix.CLONE_NEWUTS, "net": unix.CLONE_NEWNET, "cgroup": unix.CLONE_NEWCGROUP}
}

func TestLayersThatTheKernelRefuses(t *testing.T) {
	boxtest.Need(t, boxtest.Landlock, boxtest.Seccomp)
	table := refusals()
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			for _, name := range slices.Sorted(maps.Keys(table)) {
				r := table[name]
				t.Run(name, func(t *testing.T) {
					command := func() *exec.Cmd { return w.agentbox(t, append([]string{"run"}, touch...)...) }
					if r.terminal {
						command = func() *exec.Cmd { return withTerminal(t, w.agentbox(t, append([]string{"run", "-t"}, touch...)...)) }
					}
					w.refuses(t, r.of(account), boxtest.DenyCmd(t, command(), r.rules...))
					w.starts(t, command())
				})
			}
		})
	}
}

func TestNamespacesThatAreUsedUp(t *testing.T) {
	boxtest.Need(t, boxtest.Userns)
	boxtest.Leftovers(t)
	w := newWorld(t, boxtest.BareUser, "")
	limited := func(knob string, limit int) *exec.Cmd {
		script := fmt.Sprintf(`echo %d >/proc/sys/user/max_%s_namespaces && exec %s run -- touch RAN`, limit, knob, w.bin)
		return w.Command(t, w.dir, "unshare", "--user", "--map-root-user", "sh", "-c", script)
	}
	for _, knob := range append(slices.Sorted(maps.Keys(namespaces())), "user") {
		t.Run(knob, func(t *testing.T) {
			w.refuses(t, knob+" namespace", limited(knob, 0))
			w.starts(t, limited(knob, 10))
		})
	}
	t.Run("the agent's own user namespace", func(t *testing.T) { w.refuses(t, "user namespace", limited("user", 1)) })
}

func TestLayersThatTheProfileLetsGo(t *testing.T) {
	for name, tc := range map[string]struct {
		layer string
		rules []boxtest.DenyRule
	}{
		"a kernel without Landlock":      {"landlock", deny(unix.SYS_LANDLOCK_CREATE_RULESET, unix.ENOSYS)},
		"a container without keyctl":     {"keyring", deny(unix.SYS_KEYCTL, unix.ENOSYS)},
		"a kernel without seccomp":       {"seccomp", deny(unix.SYS_SECCOMP, unix.ENOSYS)},
		"a container that allows EINVAL": {"seccomp", denyExact(unix.SYS_SECCOMP, unix.EINVAL, 0, unix.SECCOMP_GET_ACTION_AVAIL)},
	} {
		t.Run(name, func(t *testing.T) {
			for account, find := range accounts() {
				t.Run(account, func(t *testing.T) {
					boxtest.Leftovers(t)
					w := newWorld(t, find, "")
					command := func(options ...string) *exec.Cmd {
						args := append([]string{"run", "-v", "--profile", "ci"}, options...)
						return boxtest.DenyCmd(t, w.agentbox(t, append(args, touch...)...), tc.rules...)
					}
					w.refuses(t, tc.layer, command())
					announced := w.starts(t, command("--degrade", tc.layer))
					if _, list, _ := strings.Cut(announced, "degraded: "); !strings.Contains(list, tc.layer) {
						t.Errorf("not announced: %s", announced)
					}
				})
			}
		})
	}
}

// In a sandbox that is asked about system calls itself, and on a kernel before 5.19, nobody can be asked about programs:
// that is said, or is no start.
func TestNobodyToAskAboutPrograms(t *testing.T) {
	for name, wrap := range map[string]func(*exec.Cmd) *exec.Cmd{
		"a sandbox with a listener": func(cmd *exec.Cmd) *exec.Cmd { return boxtest.ListenCmd(t, cmd) },
		"an older kernel": func(cmd *exec.Cmd) *exec.Cmd {
			return boxtest.DenyCmd(t, cmd, denyBits(unix.SYS_SECCOMP, unix.EINVAL, 1, waitKillable)...)
		},
	} {
		for account, find := range map[string]who{"root": boxtest.Superuser, "ordinary user": boxtest.BareUser} {
			t.Run(name+", "+account, func(t *testing.T) {
				boxtest.Leftovers(t)
				w := newWorld(t, find, "")
				run := func(options ...string) *exec.Cmd {
					return wrap(w.agentbox(t, append(append([]string{"run", "-v"}, options...), touch...)...))
				}
				w.refuses(t, "programs", run("--profile", "ci"))
				w.profile(t, "limits.execs = 9")
				w.refuses(t, "programs", run())
				w.profile(t, "")
				if said := w.starts(t, run()); !strings.Contains(said, "degraded: programs") {
					t.Errorf("not announced: %s", said)
				}
				if log := finish(t, w.agentbox(t, "log")); !strings.Contains(log.out, ", without programs") || strings.Contains(log.out, "program.start") {
					t.Errorf("on the record: %+v", log)
				}
			})
		}
	}
}

// waitKillable is SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV of Linux 5.19.
const waitKillable = 1 << 5

func TestIDsThatCannotBeMapped(t *testing.T) {
	boxtest.Leftovers(t)
	w := newWorld(t, mappedUser, "")
	args := append([]string{w.bin, "run"}, touch...)
	w.refuses(t, "uid mapping", w.Command(t, w.dir, append([]string{"setpriv", "--no-new-privs"}, args...)...)) // so newuidmap is not root
	w.starts(t, w.Command(t, w.dir, append([]string{"setpriv"}, args...)...))
}

// ramfs cannot be idmapped, so root's box cannot give the agent a project there.
func TestProjectThatCannotBeIdmapped(t *testing.T) {
	boxtest.Leftovers(t)
	w := newWorld(t, boxtest.Superuser, "")
	on := func(filesystem string) *exec.Cmd {
		script := fmt.Sprintf(`mount -t %s none . && cd "$PWD" && %s run -- touch RAN; code=$?; test -e RAN && echo ran; exit $code`, filesystem, w.bin)
		return w.Command(t, w.dir, "unshare", "--mount", "sh", "-c", script)
	}
	w.refuses(t, "idmap", on("ramfs"))
	if got := finish(t, on("tmpfs")); got.code != 0 || got.out != "ran\n" {
		t.Errorf("on tmpfs: %+v", got)
	}
}

// A secret in somebody else's directory, which the box's root may not enter, cannot
// be covered.
func TestMaskThatCannotBeCovered(t *testing.T) {
	boxtest.Leftovers(t)
	w := newWorld(t, boxtest.Superuser, "")
	w.WriteFile(t, filepath.Join(w.dir, "theirs/.env"), "secret", 0o600)
	theirs := filepath.Join(w.dir, "theirs")
	if err := os.Chown(theirs, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	for mode, check := range map[os.FileMode]func(cmd *exec.Cmd){
		0o700: func(cmd *exec.Cmd) { w.refuses(t, "mounts", cmd) },
		0o755: func(cmd *exec.Cmd) { w.starts(t, cmd) },
	} {
		if err := os.Chmod(theirs, mode); err != nil {
			t.Fatal(err)
		}
		check(w.agentbox(t, append([]string{"run"}, touch...)...))
	}
}

// withTerminal gives the command a terminal as its input, its output and its
// controlling one.
func withTerminal(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	cmd.Stdin, cmd.Stdout = slave, slave
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	return cmd
}
