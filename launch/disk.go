package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

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
	if p.hasImage() {
		return limits.OnImage
	}
	if p.Limits.Writes == nil {
		return limits.OnDirectory
	}
	return p.Limits.Writes.Medium
}

func (p Plan) hasImage() bool {
	_, err := os.Lstat(filepath.Join(p.writes, imageName))
	return err == nil
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
		case plan.medium == limits.OnImage && !plan.hasImage():
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
		return noWrites(err)
	}
	return nil
}

func noWrites(err error) error {
	e := &MissingError{Layer: "overlay", Err: fmt.Errorf("a file system for what the agent writes: %w", err)}
	if errors.Is(err, unix.ENOSPC) {
		e.Remedy = "what the session holds already needs more room: raise limits.disk"
	}
	return e
}

func (b *Box) coverWrites() error {
	var err error
	const attrs = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	if dir := b.plan.writes; b.plan.medium == limits.OnImage {
		b.writes, err = openImage(dir, attrs, b.plan.keeper())
	} else if b.writes, err = mountFS("tmpfs", "tmpfs", nil, b.plan.tmpfsValues(), attrs); err == nil {
		err = fillWrites(b.writes, dir, b.plan.keeper())
	}
	if err != nil {
		return err
	}
	return unix.MoveMount(int(b.writes.Fd()), "", unix.AT_FDCWD, b.plan.writes, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// takeWrites receives the tmpfs that PID 1 made, and fills it before the overlay is mounted.
func (b *Box) takeWrites() error {
	if !b.plan.sharesWrites() {
		return nil
	}
	m, root, err := b.control.ReceiveShared()
	if err != nil {
		return noWrites(err)
	}
	if root == nil {
		return b.stepError(m)
	}
	b.writes = root
	if err := fillWrites(root, b.plan.writes, nil); err != nil {
		return noWrites(err)
	}
	return b.control.Release()
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
