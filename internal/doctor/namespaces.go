package doctor

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"agentbox/internal/workspace"
	"agentbox/launch"
)

// namespace makes a check that a namespace can be made below a user namespace of its own, as a box has it.
func namespace(ns, purpose string) func(host) Check {
	return func(h host) Check {
		name := ns + " namespace"
		err := h.try(ns)
		if err == nil {
			return ok(name, "made one")
		}
		c := Check{Name: name, State: Missing, What: err.Error(), Cost: purpose}
		c.Remedy = "see the checks of the outer container, AppArmor and the namespace switches above"
		if ns == "cgroup" {
			c.Remedy = `a kernel with CONFIG_CGROUPS, or degrade = ["cgroup-namespace"] in the profile's [agent]`
		}
		return c
	}
}

var namespaceNames = []string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"}

// namespaceSwitches reads the switches that administrators use to forbid namespaces.
func namespaceSwitches(h host) Check {
	c := Check{Name: "namespace switches", Cost: "no box can be made"}
	var off []string
	if v, found := h.read("/proc/sys/kernel/unprivileged_userns_clone"); found && v == "0" && !h.privileged() {
		off = append(off, "kernel.unprivileged_userns_clone=1")
	}
	for _, ns := range namespaceNames {
		if v, found := h.read("/proc/sys/user/max_" + ns + "_namespaces"); found && v == "0" {
			off = append(off, "user.max_"+ns+"_namespaces=15000")
		}
	}
	if len(off) == 0 {
		return ok(c.Name, "no sysctl forbids namespaces")
	}
	c.State = Missing
	c.What = fmt.Sprintf("%d sysctl settings forbid namespaces", len(off))
	c.Remedy = "as root:\n    sysctl -w " + strings.Join(off, " ") + "\nto keep it, write the same into /etc/sysctl.d/60-agentbox.conf"
	return c
}

// appArmor judges Ubuntu's restriction. With it a user namespace can still be made, but holds no capability, so that
// the namespaces in it are refused: the attempt tells.
func appArmor(h host) Check {
	v, found := h.read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
	if !found {
		return Check{}
	}
	name := "apparmor user namespaces"
	if v == "0" {
		return ok(name, "not restricted")
	}
	if h.privileged() {
		return ok(name, "restricted for ordinary users; root is exempt")
	}
	if err := h.try("mnt"); err == nil {
		return ok(name, "restricted, and a profile allows them for this binary")
	}
	return Check{Name: name, State: Missing, What: "AppArmor gives the user namespaces of this binary no rights",
		Cost: "no box can be made by an ordinary user", Remedy: appArmorProfile(h.binary)}
}

func appArmorProfile(binary string) string {
	return fmt.Sprintf(`as root, write this into /etc/apparmor.d/agentbox:
    abi <abi/4.0>,
    include <tunables/global>
    profile agentbox "%s" flags=(unconfined) {
      userns,
      include if exists <local/agentbox>
    }
and load it:
    apparmor_parser -r /etc/apparmor.d/agentbox
or lift the restriction for every program:
    sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, binary)
}

// freshProc mounts a proc filesystem as a box does. An outer container that covers parts of /proc makes the kernel
// refuse it (mount_too_revealing, fs/namespace.c), and that is where most nested starts end.
func freshProc(h host) Check {
	name := "proc of its own"
	err := mountInside(unix.CLONE_NEWPID, "-t", "proc", "proc", "/proc")
	switch {
	case err == nil:
		return ok(name, "mounted one in a new pid namespace")
	case isAbsent(err):
		return Check{Name: name, State: Note, What: "mount(8) is not installed: not tried"}
	}
	return Check{Name: name, State: Missing, What: err.Error(), Cost: "the agent could not see its own processes",
		Remedy: "an outer container covers parts of /proc; start it with\n    --security-opt systempaths=unconfined   (docker)\n    --security-opt unmask=ALL               (podman)\n    security.nesting=true                   (lxc)"}
}

// overlayWorkspace mounts an overlay where sessions keep what agents write.
func overlayWorkspace(h host) Check {
	c := Check{Name: "overlay", State: Missing, Cost: `no workspace of mode "overlay", which the presets default and ci have`}
	base, at := h.stateBase()
	dir, err := os.MkdirTemp(at, ".agentbox-doctor-")
	if err != nil {
		c.What, c.Remedy = err.Error(), "make "+base+" a directory of your own"
		return c
	}
	defer workspace.Remove(dir)
	for _, d := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			c.What = err.Error()
			return c
		}
	}
	data := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work,%[2]s", workspace.EscapeLayer(dir), strings.Join(workspace.MountOptions(workspace.User), ","))
	err = mountInside(0, "-t", "overlay", "-o", data, "overlay", filepath.Join(dir, "merged"))
	switch {
	case err == nil:
		return ok(c.Name, "mounted one below "+at)
	case isAbsent(err):
		c.State, c.What = Note, "mount(8) is not installed: not tried"
	default:
		c.What = "refused below " + at + ": " + err.Error()
		c.Remedy = "a kernel from 5.11, and a filesystem for " + base + " that an overlay can write to (ext4, xfs, btrfs, tmpfs; no overlay, no NFS):\n" +
			"    export XDG_STATE_HOME=DIRECTORY\nor workspace.mode = \"ro\" in the profile"
	}
	return c
}

// mountInside runs mount(8) as the root of a new user and mount namespace, which end with it.
func mountInside(more uintptr, args ...string) error {
	return inside(unix.CLONE_NEWNS|more, "mount", args...)
}

// inside runs a program of the host as the root of a new user namespace.
func inside(flags uintptr, program string, args ...string) error {
	path, err := launch.SystemProgram(program)
	if err != nil {
		return err
	}
	cmd := exec.Command(path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | flags,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	return output(cmd)
}

// output runs a command and puts the last line of what it wrote into the error.
func output(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	lines := strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, "dmesg(1)") })
	if len(lines) == 0 {
		return err
	}
	return fmt.Errorf("%s: %w", strings.TrimSpace(lines[len(lines)-1]), err)
}

// nested reports whether boxes on this host need a second user namespace below the first.
func (h host) nested() bool { return h.IDs == launch.IDNested }

// networkCapture tries what network.mode = "allowlist" does in a box.
func networkCapture(host) Check {
	c := Check{Name: "capture", State: OK, What: "every TCP connection of a network namespace can be redirected"}
	if err := launch.TryCapture(); err != nil {
		c.State, c.What = Note, err.Error()
		c.Cost = `network.mode = "allowlist" ends with 69; with degrade = ["capture"] it serves the clients that use its proxy`
		c.Remedy = "a kernel from 5.2 with nftables and policy routing; load the modules:\n    sudo modprobe -a nf_tables nft_redir nft_chain_nat"
	}
	return c
}
