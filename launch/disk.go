package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"agentbox/internal/workspace"
	"agentbox/limits"
	"agentbox/profile"
)

// memoryName marks, in a session's workspace directory, writes that are not there because they are still in memory.
const memoryName = "writes.tmpfs"

// lookDisk finds out what could hold the writes of an overlay, where the profile asks.
func (h *Host) lookDisk(p profile.Profile) {
	h.Limits.DiskHost = limits.DiskHost{}
	switch {
	case p.Workspace.Mode != "overlay":
	case p.Workspace.Upper == "tmpfs":
		h.Limits.NoTmpfs = noTmpfs()
	case p.Limits.Disk > 0:
		h.Limits.NoImage = noImage(h.IDs)
	}
}

// noTmpfs says why an overlay cannot keep its writes in a tmpfs, or "": its notes are attributes in the name space of
// users, which memory's file system has since Linux 6.6. A memfd is a file of that file system.
func noTmpfs() string {
	fd, err := unix.MemfdCreate("agentbox", unix.MFD_CLOEXEC)
	if err == nil {
		defer unix.Close(fd)
		err = unix.Fsetxattr(fd, "user.agentbox", []byte("y"), 0)
	}
	if err != nil {
		return "the kernel's tmpfs keeps no attributes of users, as Linux 6.6 does: " + err.Error()
	}
	return ""
}

// chooseMedium says what the writes of a box that starts lie on. A session that starts again stays on the image that it
// has.
func (p Plan) chooseMedium() limits.Medium {
	if !p.overlays() {
		return ""
	}
	if _, err := os.Lstat(filepath.Join(p.writes, imageName)); err == nil {
		return limits.OnImage
	}
	if p.Limits.Writes == nil {
		return limits.OnDirectory
	}
	return p.Limits.Writes.Medium
}

// sharesWrites reports that PID 1 makes a tmpfs for the writes, and hands it to the supervisor: only in the box's user
// namespace may an ordinary user mount one.
func (p Plan) sharesWrites() bool { return p.IDs != IDRange && p.medium == limits.OnTmpfs }

// tmpfsValues are the options of a tmpfs for the writes, in the words of tmpfs(5).
func (p Plan) tmpfsValues() map[string]string {
	values := map[string]string{"mode": "0711"}
	if w := p.Limits.Writes; w != nil && w.Bytes > 0 {
		values["size"] = strconv.FormatUint(w.Bytes, 10)
		values["nr_inodes"] = strconv.FormatUint(w.Inodes+ownInodes, 10)
	}
	return values
}

// ownInodes are those of the root, of the layers, and of what an overlay makes for itself.
const ownInodes = 16

// tmpfsData are the same for mount(2).
func (p Plan) tmpfsData() string {
	data := ""
	for key, value := range p.tmpfsValues() {
		if data != "" {
			data += ","
		}
		data += key + "=" + value
	}
	return data
}

// making is a file system for the writes on its way: to make one takes some milliseconds.
type making struct {
	err  error
	done chan struct{}
}

// makeWrites begins to make what can be made before the box is.
func (b *Box) makeWrites() *making {
	m := &making{done: make(chan struct{})}
	plan := b.plan
	go func() {
		defer close(m.done)
		switch w := plan.Limits.Writes; {
		case plan.medium == limits.OnImage && w != nil && w.Bytes > 0: // else it is there
			m.err = makeImage(plan.writes, *w)
		case plan.medium == limits.OnTmpfs:
			m.err = os.WriteFile(filepath.Join(plan.writes, memoryName), nil, 0o600)
		}
	}()
	return m
}

func (m *making) wait() error {
	if m == nil {
		return nil
	}
	<-m.done
	return m.err
}

// mountWrites covers the session's workspace directory, in the mount namespace of the calling thread, with the file
// system that is to hold what the agent writes. From there the box gets it as it would get the directory.
func (b *Box) mountWrites() error {
	err := b.making.wait()
	if err == nil && b.plan.IDs == IDRange && b.plan.medium != limits.OnDirectory && b.plan.medium != "" {
		err = b.coverWrites()
	}
	if err != nil {
		return &MissingError{Layer: "overlay", Err: fmt.Errorf("a file system for what the agent writes: %w", err)}
	}
	return nil
}

func (b *Box) coverWrites() error {
	var err error
	const attrs = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	switch b.plan.medium {
	case limits.OnImage:
		b.writes, err = mountImage(b.plan.writes, attrs)
	case limits.OnTmpfs:
		b.writes, err = mountFS("tmpfs", "tmpfs", nil, b.plan.tmpfsValues(), attrs)
	}
	if err == nil {
		err = fillWrites(b.writes, b.plan.writes, b.plan.keeper())
	}
	if err == nil {
		err = unix.MoveMount(int(b.writes.Fd()), "", unix.AT_FDCWD, b.plan.writes, unix.MOVE_MOUNT_F_EMPTY_PATH)
	}
	return err
}

// takeWrites receives the tmpfs that PID 1 made, and fills it before the overlay is mounted.
func (b *Box) takeWrites() error {
	if !b.plan.sharesWrites() {
		return nil
	}
	m, root, err := b.control.ReceiveShared()
	if err != nil {
		return &MissingError{Layer: "overlay", Err: fmt.Errorf("the tmpfs for what the agent writes: %w", err)}
	}
	if root == nil {
		return b.stepError(m)
	}
	b.writes = root
	if err := fillWrites(root, b.plan.writes, nil); err != nil {
		return &MissingError{Layer: "overlay", Err: fmt.Errorf("the tmpfs for what the agent writes: %w", err)}
	}
	return b.control.Release()
}

// fillWrites makes the directories of the overlays on a file system of their own: the project's, and where there is one
// the git directory's.
func fillWrites(root *os.File, dir string, own *account) error {
	if err := fillLayers(root, dir, own); err != nil {
		return err
	}
	return inGitState(root, dir, func(git *os.File, dir string) error { return fillLayers(git, dir, own) })
}

// inGitState goes, in a file system of writes and in the session's directory, to the git directory's part of it.
func inGitState(root *os.File, dir string, do func(git *os.File, dir string) error) error {
	dir = workspace.GitState(dir)
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	name := workspace.GitState("")
	if err := unix.Mkdirat(int(root.Fd()), name, 0o711); err != nil && !errors.Is(err, unix.EEXIST) {
		return &os.PathError{Op: "mkdir", Path: name, Err: err}
	}
	fd, err := openBelow(int(root.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	git := os.NewFile(uintptr(fd), name)
	defer git.Close()
	return do(git, dir)
}

// fillLayers makes one overlay's directories. They begin as they are in the session's directory: empty, or with what an
// earlier box has left.
func fillLayers(root *os.File, dir string, own *account) error {
	from, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer from.Close()
	at, layers := int(root.Fd()), workspace.LayersOf("")
	var st unix.Stat_t
	if unix.Fstatat(at, layers.Work, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		return nil // the image of an earlier box
	}
	if err := copyTree(from, layers.Upper, root, layers.Upper, own); err != nil {
		return err
	}
	// PID 1 of a box of root passes through as a user whom the mount does not know.
	if err := unix.Fchmodat(at, ".", 0o711, 0); err != nil {
		return err
	}
	err = unix.Mkdirat(at, layers.Work, 0o700)
	if err == nil && own != nil {
		err = unix.Fchownat(at, layers.Work, own.uid, own.gid, 0)
	}
	return err
}

// closeWrites lets go of the file system of the writes, once nothing of the box is left. What is in memory is copied to
// the session's directory before: all of it, or none. A box that never ran its agent has written nothing.
func (b *Box) closeWrites() {
	_ = b.making.wait()
	if b.plan.medium == limits.OnTmpfs {
		var err error
		if b.writes != nil && b.watch != nil {
			err = keepTmpfs(b.writes, b.plan.writes, b.plan.keeper())
		}
		if err == nil {
			err = removeMark(b.plan.writes)
		}
		if err != nil {
			b.unkept = fmt.Errorf("what the agent wrote was in memory, and could not be kept: %w", err)
		}
	}
	if b.writes != nil {
		b.writes.Close()
	}
}

// removeMark says that nothing is in memory alone any more.
func removeMark(dir string) error {
	err := os.Remove(filepath.Join(dir, memoryName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// writesInMemory is what the writes take of the host's memory.
func (b *Box) writesInMemory() uint64 {
	var st unix.Statfs_t
	if b.writes == nil || b.plan.medium != limits.OnTmpfs || unix.Fstatfs(int(b.writes.Fd()), &st) != nil {
		return 0
	}
	return (st.Blocks - st.Bfree) * uint64(st.Bsize)
}

// keeper is who gets what is kept: as root the caller, otherwise whoever copies.
func (p Plan) keeper() *account {
	if p.IDs != IDRange {
		return nil
	}
	return &account{int(p.host.CallerUID), int(p.host.CallerGID)}
}

func keepTmpfs(root *os.File, dir string, own *account) error {
	err := inGitState(root, dir, func(git *os.File, dir string) error { return keepUpper(git, dir, own) })
	if err != nil {
		return err
	}
	return keepUpper(root, dir, own)
}

func keepUpper(root *os.File, dir string, own *account) error {
	const part = "upper.part"
	upper := workspace.LayersOf("").Upper
	to, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer to.Close()
	at := int(to.Fd())
	if err := workspace.Remove(filepath.Join(dir, part)); err != nil {
		return err
	}
	if err := copyTree(root, upper, to, part, own); err != nil {
		return errors.Join(err, workspace.Remove(filepath.Join(dir, part)))
	}
	if err := unix.Renameat2(at, part, at, upper, unix.RENAME_EXCHANGE); err != nil {
		return err
	}
	return workspace.Remove(filepath.Join(dir, part))
}
