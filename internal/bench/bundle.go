package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// rootRange is what agentbox maps for root; any range that nobody has would do.
const rootRange = 1879048192

// writeBundle makes a bundle with what a box of agentbox has: the same namespaces, a root of read-only binds, the same
// tmpfs mounts and covered paths, no capability, and moby's system call list.
func writeBundle(dir string, c caller, command []string) error {
	root := filepath.Join(dir, "rootfs")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	mounts, err := systemBinds(root)
	if err != nil {
		return err
	}
	spec := &specs.Spec{
		Version: "1.0.2", Hostname: "agentbox",
		Root: &specs.Root{Path: "rootfs", Readonly: true},
		Process: &specs.Process{
			Args: command, Cwd: c.project, NoNewPrivileges: true, Capabilities: &specs.LinuxCapabilities{},
			Env:     []string{"PATH=/usr/bin:/bin", "HOME=" + c.home},
			Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}},
		},
		Mounts: append(mounts, boxMounts(c)...),
		Linux:  linuxSpec(c, filepath.Base(dir) != "crun"), // which is told to make no control group
	}
	for _, m := range spec.Mounts {
		if err := os.MkdirAll(filepath.Join(root, m.Destination), 0o755); err != nil {
			return err
		}
	}
	if spec.Linux.Seccomp, err = seccomp.GetDefaultProfile(spec); err != nil {
		return fmt.Errorf("moby's system call list: %w", err)
	}
	native := map[string]specs.Arch{"amd64": specs.ArchX86_64, "arm64": specs.ArchAARCH64}
	spec.Linux.Seccomp.Architectures = []specs.Arch{native[runtime.GOARCH]}
	data, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644); err != nil {
		return err
	}
	return c.own(dir)
}

// systemBinds shows the system directories, and the links among them, as agentbox does.
func systemBinds(root string) ([]specs.Mount, error) {
	var list []specs.Mount
	for _, name := range []string{"bin", "lib", "lib32", "lib64", "libx32", "opt", "sbin", "usr"} {
		target, err := os.Readlink("/" + name)
		if err == nil {
			if err := os.Symlink(target, filepath.Join(root, name)); err != nil && !os.IsExist(err) {
				return nil, err
			}
			continue
		}
		if info, err := os.Stat("/" + name); err == nil && info.IsDir() {
			list = append(list, readOnly("/"+name))
		}
	}
	for _, p := range []string{"/etc/alternatives", "/etc/ssl", "/etc/ld.so.conf.d", "/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/kernel/mm/transparent_hugepage"} {
		if info, err := os.Stat(p); err == nil && info.IsDir() {
			list = append(list, readOnly(p))
		}
	}
	return list, nil
}

func readOnly(p string) specs.Mount {
	return specs.Mount{Destination: p, Source: p, Type: "bind", Options: []string{"rbind", "ro", "nosuid", "nodev"}}
}

func boxMounts(c caller) []specs.Mount {
	scratch := func(target, mode string) specs.Mount {
		return specs.Mount{Destination: target, Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=" + mode, "size=2g"}}
	}
	list := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "nodev", "noexec"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "noexec", "mode=755", "size=64k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "nodev", "noexec", "mode=1777", "size=2g"}},
		scratch("/tmp", "1777"), scratch("/run", "755"), scratch("/var/tmp", "1777"), scratch(c.home, "700"),
	}
	return append(list, specs.Mount{Destination: c.project, Source: c.project, Type: "bind", Options: []string{"rbind", "rw", "nosuid", "nodev"}})
}

func linuxSpec(c caller, limited bool) *specs.Linux {
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: rootRange, Size: 65536}}
	gids := ids
	if c.kind != "root" {
		ids = []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(c.uid), Size: 1}}
		gids = []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(c.gid), Size: 1}}
	}
	l := &specs.Linux{
		UIDMappings: ids, GIDMappings: gids,
		MaskedPaths:   []string{"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/proc/kallsyms", "/proc/kmsg", "/proc/slabinfo", "/proc/vmallocinfo", "/proc/pagetypeinfo"},
		ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
	}
	for _, ns := range []specs.LinuxNamespaceType{specs.UserNamespace, specs.MountNamespace, specs.PIDNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.NetworkNamespace, specs.CgroupNamespace} {
		l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: ns})
	}
	if limited && c.kind == "root" { // an ordinary user's runc has no control group to hold them
		memory, period, quota, pids := int64(limitMemory), uint64(100_000), int64(limitCPUs*100_000), int64(limitPids)
		l.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &memory, Swap: &memory},
			CPU: &specs.LinuxCPU{Quota: &quota, Period: &period}, Pids: &specs.LinuxPids{Limit: &pids}}
	}
	return l
}
