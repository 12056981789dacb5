package mounts

import (
	"path"
	"slices"
	"strings"
)

// systemDirs are the top-level directories of the host that programs live in.
var systemDirs = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "opt", "nix", "gnu"}

// ownDirs are top-level directories that the box makes itself, whatever the tree has there.
var ownDirs = []string{"dev", "etc", "home", "media", "mnt", "proc", "root", "run", "srv", "sys", "tmp", "var", "boot", "lost+found"}

// ReadOnlyBind are the options of whatever of the host is shown.
var readOnlyBind = []string{"ro", "nosuid", "nodev"}

// sysPaths is what programs read of /sys: the number of processors (sched_getaffinity's fallback in libc and the
// JVM), memory nodes, and huge page settings (Go's runtime, allocators). The rest names hardware of the host.
var sysPaths = []string{"/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/kernel/mm/transparent_hugepage"}

// SysPaths are the paths whose existence Host.Exists has to tell.
func SysPaths() []string { return slices.Concat(sysPaths, maskedProc, readOnlyProc) }

// maskedProc and readOnlyProc are the lists of Docker and containerd; a path that the kernel lacks is left out.
var (
	maskedProc = []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats"}
	readOnlyProc = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

func (b *builder) system() {
	for _, e := range b.host.Root {
		p := "/" + e.Name
		known := slices.Contains(systemDirs, e.Name)
		if b.host.Source != "/" {
			known = !slices.Contains(ownDirs, e.Name)
		}
		switch {
		case !known:
		case e.Kind == Link:
			b.node(Node{Path: p, Kind: NodeLink, Target: e.Target})
		case e.Kind == Dir:
			b.bind(Mount{Source: path.Join(b.host.Source, e.Name), Target: p, Options: readOnlyBind, Why: "rootfs.source"})
		}
	}
	b.kernel()
	b.scratch()
}

// kernel adds the filesystems that the kernel makes.
func (b *builder) kernel() {
	b.mount(Mount{Type: "proc", Source: "proc", Target: "/proc", Options: []string{"nosuid", "nodev", "noexec"}, Why: "box"})
	b.mount(Mount{Type: "tmpfs", Source: "tmpfs", Target: "/dev", Options: []string{"nosuid", "noexec", "ro"}, Data: "mode=755,size=64k,nr_inodes=64", Why: "box"})
	b.mount(Mount{Type: "devpts", Source: "devpts", Target: "/dev/pts", Options: []string{"nosuid", "noexec"}, Data: "newinstance,ptmxmode=0666,mode=0620", Why: "box"})
	b.mount(Mount{Type: "tmpfs", Source: "shm", Target: "/dev/shm", Options: []string{"nosuid", "nodev", "noexec"}, Data: "mode=1777,size=" + scratchSize, Why: "box"})
	b.dir("/sys")
	for _, p := range sysPaths {
		if b.host.Exists[p] {
			b.bind(Mount{Source: p, Target: p, Options: []string{"ro", "nosuid", "nodev", "noexec"}, Why: "box"})
		}
	}
	for _, p := range maskedProc {
		if b.host.Exists[p] {
			b.out.Masked = append(b.out.Masked, p)
		}
	}
	for _, p := range readOnlyProc {
		if b.host.Exists[p] {
			b.out.ReadOnly = append(b.out.ReadOnly, p)
		}
	}
	b.out.Writable = append(b.out.Writable, "/dev/shm")
}

// scratchSize bounds each tmpfs that the profile does not size, in the words of tmpfs(5).
const scratchSize = "2147483648"

// scratch adds the writable places that belong to the box alone.
func (b *builder) scratch() {
	tmp := func(target, mode string, agent bool) {
		if b.claimed[target] {
			return
		}
		b.mount(Mount{Type: "tmpfs", Source: "tmpfs", Target: target, Options: []string{"nosuid", "nodev"},
			Data: "mode=" + mode + ",size=" + scratchSize, Agent: agent, Why: "box"})
		b.out.Writable = append(b.out.Writable, target)
	}
	tmp("/tmp", "1777", false)
	tmp("/run", "755", false)
	tmp("/var/tmp", "1777", false)
	tmp(b.host.Home, "700", true)
	for _, d := range []string{"/var/cache", "/var/lib", "/var/log", "/mnt", "/home", "/root"} {
		b.dir(d)
	}
	b.node(Node{Path: "/var/run", Kind: NodeLink, Target: "/run"})
	b.node(Node{Path: "/var/lock", Kind: NodeLink, Target: "/run/lock"})
	b.out.Dirs = append(b.out.Dirs, "/run/lock", "/run/user", b.runtimeDir())
}

func (b *builder) runtimeDir() string {
	uid, _, _ := strings.Cut(b.profile.Agent.User, ":")
	return "/run/user/" + uid
}
