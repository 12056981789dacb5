package boxtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A Feature is something a test needs of the machine. A name that is none of the
// constants is a program that must be in PATH.
type Feature string

// What a test can need. Programs of which a test uses the version or a feature
// are run once to see that they work.
const (
	Root          Feature = "root"           // the tests run as uid 0 of the machine, with CAP_SYS_ADMIN
	Userns        Feature = "userns"         // an ordinary user may make a user namespace with full capabilities
	Newuidmap     Feature = "newuidmap"      // newuidmap and newgidmap work for the account of User
	Overlay       Feature = "overlay"        // overlayfs can be mounted by root
	UsernsOverlay Feature = "userns-overlay" // overlayfs can be mounted in an ordinary user's namespace
	Landlock      Feature = "landlock"
	Seccomp       Feature = "seccomp" // filters, and the notifier
	Idmap         Feature = "idmap"   // idmapped mounts of the filesystem below the scratch directories
	Cgroup1       Feature = "cgroup1" // version 1 controllers that can be written
	Cgroup2       Feature = "cgroup2" // the unified hierarchy, with controllers
	VM            Feature = "vm"      // package vm can boot a machine: qemu, a static busybox, newuidmap, and a source of Debian's kernel
	Veth          Feature = "veth"    // root can join network namespaces by a pair of devices
	Tmux          Feature = "tmux"
	Git           Feature = "git"
	Npm           Feature = "npm"
	NpmRegistry   Feature = "npm-registry" // npm gets packages from the registry that it is configured for
	Node          Feature = "node"
	Python        Feature = "python3"
	Go            Feature = "go"
	Chromium      Feature = "chromium" // a browser for package browser
)

// requireEnv names the features whose absence is a failure, with commas between;
// "all" stands for every one.
const requireEnv = "AGENTBOX_TEST_REQUIRE"

// Need skips the test, with the reason, when the machine lacks a feature. When
// AGENTBOX_TEST_REQUIRE names the feature, the test fails.
func Need(t testing.TB, features ...Feature) {
	t.Helper()
	for _, f := range features {
		err := probed(f)
		if err == nil {
			continue
		}
		if required(os.Getenv(requireEnv), f) {
			t.Fatalf("%s is required here, and is missing: %v", f, err)
		}
		t.Skipf("needs %s: %v", f, err)
	}
}

// Has says whether the machine has a feature, for tests whose expectation
// differs with it.
func Has(f Feature) bool { return probed(f) == nil }

func required(list string, f Feature) bool {
	names := strings.Split(list, ",")
	return slices.ContainsFunc(names, func(n string) bool {
		n = strings.TrimSpace(n)
		return n == "all" || n == string(f)
	})
}

func probed(f Feature) error {
	process.mu.Lock()
	err, known := process.probed[f]
	process.mu.Unlock()
	if known {
		return err
	}
	err = probe(f)
	process.mu.Lock()
	defer process.mu.Unlock()
	if process.probed == nil {
		process.probed = map[Feature]error{}
	}
	process.probed[f] = err
	return err
}

func probe(f Feature) error {
	switch f {
	case Root:
		return probeRoot()
	case Userns:
		return try(asNobody("unshare", "--user", "--map-root-user", "--mount", "true"))
	case Newuidmap:
		return probeNewuidmap()
	case Overlay:
		return try(exec.Command("unshare", append([]string{"--mount"}, overlayScript()...)...))
	case UsernsOverlay:
		return try(asNobody("unshare", append([]string{"--user", "--map-root-user", "--mount"}, overlayScript()...)...))
	case Landlock:
		return probeLandlock()
	case Seccomp:
		return probeSeccomp()
	case Idmap:
		return probeIdmap(scratchBase)
	case Cgroup1:
		return probeCgroup1()
	case Cgroup2:
		return probeCgroup2("/sys/fs/cgroup")
	case VM:
		return probeVM()
	case Veth:
		return probeVeth()
	case NpmRegistry:
		// Not "npm ping": it succeeds where every download fails for its certificate.
		return try(exec.Command("npm", "view", "--silent", "--fetch-retries=0", "@anthropic-ai/claude-code", "version"))
	case Tmux:
		return try(exec.Command("tmux", "-V"))
	case Go:
		return try(exec.Command("go", "version"))
	case Git, Npm, Node, Python, Chromium:
		return try(exec.Command(string(f), "--version"))
	}
	_, err := exec.LookPath(string(f))
	return err
}

func try(cmd *exec.Cmd) error { return firstLine(cmd.CombinedOutput()) }

// asNobody runs a command as an ordinary user: as root, as one that owns nothing.
func asNobody(name string, args ...string) *exec.Cmd {
	const nobody = 65534
	cmd := exec.Command(name, args...)
	cmd.Dir = "/"
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return cmd
}

func overlayScript() []string {
	return []string{"sh", "-ec", `mount -t tmpfs none /mnt; cd /mnt; mkdir lower upper work merged; echo yes >lower/file
mount -t overlay none -o lowerdir=lower,upperdir=upper,workdir=work merged; echo more >>merged/file; test -s upper/file`}
}

func probeRoot() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("the tests run as user %d", os.Geteuid())
	}
	return try(exec.Command("unshare", "--mount", "--pid", "--fork", "--net", "true"))
}

func probeVeth() error {
	for _, program := range []string{"nsenter", "setpriv", "env"} {
		if _, err := exec.LookPath(program); err != nil {
			return err
		}
	}
	return try(exec.Command("unshare", "--net", "sh", "-ec",
		"ip link add near type veth peer name far; ip address add 2001:db8::1/128 dev near nodad"))
}

func probeNewuidmap() error {
	a, err := findUser()
	if err != nil {
		return err
	}
	cmd := exec.Command("unshare", "--user", "--map-root-user", "--map-auto", "true")
	a.prepare(cmd, "/")
	return try(cmd)
}

func probeLandlock() error {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return fmt.Errorf("landlock_create_ruleset: %w", errno)
	}
	if abi < 1 {
		return errors.New("landlock_create_ruleset: no version")
	}
	return nil
}

func probeSeccomp() error {
	const getActionAvail, getNotifSizes = 2, 3
	errnoAction := uint32(unix.SECCOMP_RET_ERRNO)
	if err := seccompCall(getActionAvail, 0, &errnoAction); err != nil {
		return err
	}
	var sizes [3]uint16
	return seccompCall(getNotifSizes, 0, &sizes)
}

func probeCgroup1() error {
	dir, err := os.MkdirTemp("/sys/fs/cgroup/pids", "boxtest-")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	return os.WriteFile(dir+"/pids.max", []byte("10"), 0)
}

func probeCgroup2(dir string) error {
	data, err := os.ReadFile(dir + "/cgroup.controllers")
	if err != nil {
		return err
	}
	if have := strings.Fields(string(data)); !slices.Contains(have, "memory") || !slices.Contains(have, "pids") {
		return fmt.Errorf("the unified hierarchy has only the controllers %v", have)
	}
	return nil
}

// probeVM starts none: what fails after this is a failure.
func probeVM() error {
	if runtime.GOARCH != "amd64" {
		return fmt.Errorf("no machine is emulated on %s", runtime.GOARCH)
	}
	for _, program := range []string{"newuidmap", "newgidmap", "ldd", "apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(program); err != nil {
			return err
		}
	}
	path, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	// ldd refuses a program that loads no libraries.
	if exec.Command("ldd", path).Run() == nil {
		return fmt.Errorf("%s is not static", path)
	}
	if err := try(exec.Command("qemu-system-x86_64", "--version")); err != nil {
		return err
	}
	return try(exec.Command("apt-cache", "show", "linux-image-cloud-amd64"))
}

// probeIdmap asks for what a box does: a mount of dir whose owners are shifted.
func probeIdmap(dir string) error {
	holder := exec.Command("sleep", "60")
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 1000}}
	holder.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids, Pdeathsig: syscall.SIGKILL}
	if err := holder.Start(); err != nil {
		return err
	}
	defer holder.Wait()
	defer holder.Process.Kill()
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", holder.Process.Pid))
	if err != nil {
		return err
	}
	defer ns.Close()
	tree, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	defer unix.Close(tree)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd())}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("mount_setattr: %w", err)
	}
	return nil
}
