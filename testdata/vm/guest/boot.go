package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A mountPoint is a file system of a fresh machine.
type mountPoint struct {
	kind, target string
	flags        uintptr
	data         string
}

const hardened = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

const (
	disk     = "/dev/vda"
	diskRoot = "/disk" // where it is before it becomes the root
)

// leaveInitramfs makes the disk the root and starts this program again from there.
// The root of an initramfs cannot be unmounted or pivoted away from; see
// Documentation/filesystems/ramfs-rootfs-initramfs.rst.
func leaveInitramfs() error {
	for _, m := range []mountPoint{{"proc", "/proc", hardened, ""}, {"sysfs", "/sys", hardened, ""}, {"devtmpfs", "/dev", unix.MS_NOSUID, ""}} {
		if err := m.mount(); err != nil {
			return err
		}
	}
	if err := loadModules("/modules"); err != nil {
		return err
	}
	exists := func() bool { _, err := os.Stat(disk); return err == nil }
	if !eventually(exists) {
		return errors.New("the machine has no disk")
	}
	if err := os.Mkdir(diskRoot, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(disk, diskRoot, "ext4", unix.MS_NOATIME, ""); err != nil {
		return fmt.Errorf("mount the disk: %w", err)
	}
	if err := copySelf(filepath.Join(diskRoot, "guest")); err != nil {
		return err
	}
	if err := becomeRoot(); err != nil {
		return err
	}
	return unix.Exec("/guest", []string{"/guest", "disk"}, []string{"PATH=" + searchPath})
}

// becomeRoot is switch_root: it empties the RAM file system, whose memory would
// stay in use, and moves the mounts.
func becomeRoot() error {
	for _, dir := range []string{"proc", "sys", "dev"} {
		target := filepath.Join(diskRoot, dir)
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("/"+dir, target, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move /%s: %w", dir, err)
		}
	}
	if err := os.RemoveAll("/modules"); err != nil {
		return err
	}
	if err := os.Remove("/init"); err != nil {
		return err
	}
	if err := os.Chdir(diskRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the disk to /: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return nil
}

// mountAll mounts what a distribution's init would, with the unified cgroup
// hierarchy only.
func mountAll() error {
	for _, m := range []mountPoint{
		{"cgroup2", "/sys/fs/cgroup", hardened, "nsdelegate,memory_recursiveprot"},
		{"tmpfs", "/run", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
		{"tmpfs", "/dev/shm", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"devpts", "/dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "gid=5,mode=620,ptmxmode=666"},
		{"mqueue", "/dev/mqueue", hardened, ""},
	} {
		if err := m.mount(); err != nil {
			return err
		}
	}
	// Mounts propagate between namespaces on machines that systemd starts.
	if err := unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("share /: %w", err)
	}
	if err := unix.Sethostname([]byte("boxtest")); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	return loopbackUp()
}

func (m mountPoint) mount() error {
	if err := os.MkdirAll(m.target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(m.kind, m.target, m.kind, m.flags, m.data); err != nil {
		return fmt.Errorf("mount %s: %w", m.target, err)
	}
	return nil
}

// loadModules loads the modules of a directory in the order of their names.
func loadModules(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil {
			return fmt.Errorf("load %s: %w", e.Name(), err)
		}
	}
	return nil
}

func copySelf(to string) error {
	self, err := os.ReadFile("/init")
	if err != nil {
		return err
	}
	return os.WriteFile(to, self, 0o755)
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return nil
}
