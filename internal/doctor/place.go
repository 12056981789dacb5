package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"agentbox/launch"
)

// idmappedMounts maps the owner of the current directory's files, without attaching the mount anywhere.
func idmappedMounts(h host) Check {
	name := "idmapped mounts"
	if h.IDs != launch.IDRange {
		return ok(name, "not needed: the agent's files are this user's own")
	}
	fs := filesystem(h.Dir)
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: rangeExample, Size: 65536}}
	err := h.withHeldUserNamespace(ids, func(pid int) error { return idmap(h.Dir, pid) })
	if err == nil {
		return ok(name, "mapped one on the current directory's filesystem"+fs)
	}
	return Check{Name: name, State: Missing, What: fmt.Sprintf("refused on the current directory's filesystem%s: %v", fs, err),
		Cost: "a box of root could not read or write a project here as the person who owns it",
		Remedy: "keep the project on ext4, xfs, btrfs, f2fs or tmpfs (a kernel from 5.12; overlayfs from 6.8 on some, NFS never), " +
			"or start as the ordinary user who owns it"}
}

func idmap(dir string, pid int) error {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
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

// filesystemNames are the magic numbers of statfs(2) that a project is likely to lie on.
var filesystemNames = map[int64]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.TMPFS_MAGIC: "tmpfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.NFS_SUPER_MAGIC: "nfs", unix.F2FS_SUPER_MAGIC: "f2fs", unix.FUSE_SUPER_MAGIC: "fuse",
	unix.V9FS_MAGIC: "9p", unix.CEPH_SUPER_MAGIC: "ceph", 0x2fc12fc1: "zfs", 0x786f4256: "vboxsf",
}

func filesystem(dir string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return ""
	}
	if name, known := filesystemNames[int64(st.Type)]; known {
		return ", " + name
	}
	return fmt.Sprintf(", type %#x", st.Type)
}

// binaryReadable checks that the box's own ids can execute the file that becomes PID 1.
func binaryReadable(h host) Check {
	c := Check{Name: "agentbox's own file"}
	info, err := os.Stat(h.binary)
	switch {
	case err != nil:
		c.State, c.What, c.Cost = Missing, "the path of the binary is not known: "+fmt.Sprint(err), "no box can be made"
		c.Remedy = "start agentbox by a path that exists"
	case info.Mode().Perm()&0o005 != 0o005 && h.IDs == launch.IDRange:
		c.State, c.What = Missing, fmt.Sprintf("%s has mode %04o", h.binary, info.Mode().Perm())
		c.Cost, c.Remedy = "it is PID 1 of every box, and the root of a box that root starts is another user than its owner", "chmod 755 "+h.binary
	default:
		return ok(c.Name, h.binary+" may be read and executed by the box's root")
	}
	return c
}

// sessionDirectory makes a directory where sessions are kept while they run.
func sessionDirectory(h host) Check {
	name := "session directory"
	if h.privileged() {
		if err := tryDir(filepath.Join(h.root, "/run")); err == nil {
			return ok(name, "/run/agentbox")
		}
	} else if dir := h.env("XDG_RUNTIME_DIR"); dir != "" {
		err := private(dir, h.EUID)
		if err == nil {
			err = tryDir(dir)
		}
		if err == nil {
			return ok(name, dir+"/agentbox")
		}
	}
	return fallbackDirectory(h, name)
}

func fallbackDirectory(h host, name string) Check {
	base, at := h.stateBase()
	c := Check{Name: name, State: Note, What: base + "/agentbox/run",
		Cost: "this is a disk: what a power cut leaves there is swept by the next start", Remedy: "a login session with a private XDG_RUNTIME_DIR (mode 0700, owned by the user)"}
	if err := tryDir(at); err != nil || !filepath.IsAbs(base) {
		c.State, c.What, c.Cost = Missing, "neither XDG_RUNTIME_DIR nor "+base+" can be used", "a running box could not be found again"
		c.Remedy = "set XDG_RUNTIME_DIR or HOME to a directory of your own"
	}
	return c
}

// stateBase is where state of a user lies, and its nearest ancestor that exists: the first box makes the rest.
func (h host) stateBase() (base, at string) {
	base = h.env("XDG_STATE_HOME")
	if !filepath.IsAbs(base) {
		base = filepath.Join(h.env("HOME"), ".local", "state")
	}
	for at = base; at != "/" && at != "." && !isDir(at); {
		at = filepath.Dir(at)
	}
	return base, at
}

func isDir(p string) bool {
	info, err := os.Stat(p)
	return err == nil && info.IsDir()
}

func tryDir(base string) error {
	dir, err := os.MkdirTemp(base, ".agentbox-doctor-")
	if err != nil {
		return err
	}
	return os.Remove(dir)
}

// private checks what the XDG base directory specification asks of a runtime directory.
func private(dir string, uid int) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != uid || st.Mode&0o7777 != 0o700 {
		return errors.New("not a directory of this user alone")
	}
	return nil
}

// terminalPresent tells which of the two ways a box's streams would go.
func terminalPresent(host) Check {
	if term.IsTerminal(0) && term.IsTerminal(1) {
		return ok("terminal", "input and output are a terminal: a box gets one of its own")
	}
	return Check{Name: "terminal", State: Note, What: "input or output is not a terminal: a box gets pipes"}
}
