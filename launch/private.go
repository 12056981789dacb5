package launch

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// privateMounts gives the calling thread, which must be locked, a mount namespace of its own in which there are no
// cgroup hierarchies to write: as root libcontainer attaches the box to every one it finds, which costs 7 to 12 ms on a
// cold kernel (each write of a pid waits for an RCU grace period), whether the profile limits anything or not.
func privateMounts() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make / private: %w", err)
	}
	// A unified hierarchy that it cannot write is what libcontainer takes for a rootless user's.
	return unifiedReadOnly()
}

const cgroupDir = "/sys/fs/cgroup"

// unifiedReadOnly covers the cgroup mounts with a read-only cgroup2. A bind of one that is mounted is had at once; a
// new mount waits for the kernel's cgroup lock, some 10 ms.
func unifiedReadOnly() error {
	for _, dir := range []string{cgroupDir, cgroupDir + "/unified"} {
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
			continue
		}
		if err := unix.Mount(dir, cgroupDir, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s: %w", dir, err)
		}
		attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		if err := unix.MountSetattr(unix.AT_FDCWD, cgroupDir, 0, attr); err != nil {
			return fmt.Errorf("make %s read-only: %w", cgroupDir, err)
		}
		return nil
	}
	const flags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("cgroup2", cgroupDir, "cgroup2", flags, ""); err != nil {
		return fmt.Errorf("mount cgroup2: %w", err)
	}
	return nil
}
