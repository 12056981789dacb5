package launch

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxinit"
	"agentbox/mounts"
)

// An idmapping is a user namespace that serves as the map of idmapped mounts (mount_setattr(2)), on its way: it takes
// a process to make one, and the rest of the start does not wait for it.
type idmapping struct {
	ns   *os.File
	err  error
	done chan struct{}
}

func startIdmapping(ids mounts.IDs) *idmapping {
	m := &idmapping{done: make(chan struct{})}
	go func() {
		defer close(m.done)
		m.ns, m.err = mappedUserns(ids)
	}()
	return m
}

func (m *idmapping) close() {
	if m == nil {
		return
	}
	<-m.done
	if m.ns != nil {
		m.ns.Close()
	}
}

// mappedUserns makes a user namespace in which the owner of the caller's files on disk is the agent.
func mappedUserns(ids mounts.IDs) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	defer r.Close()
	p, err := os.StartProcess("/proc/self/exe", []string{boxinit.Path, boxinit.RoleHold}, &os.ProcAttr{
		Files: []*os.File{r},
		Sys:   &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: userMap(ids), GidMappings: groupMap(ids)},
	})
	if err != nil {
		return nil, fmt.Errorf("a user namespace for the id mapping: %w", err)
	}
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", p.Pid))
	w.Close() // it ends with its input
	_, werr := p.Wait()
	return ns, errors.Join(err, werr)
}

// userMap has one line: nobody's files but the caller's can be changed through the mount.
func userMap(ids mounts.IDs) []syscall.SysProcIDMap {
	return []syscall.SysProcIDMap{{ContainerID: int(ids.DiskUID), HostID: int(ids.HostUID), Size: 1}}
}

// groupMap maps every group, because the kernel lets nobody write to a file whose group has no map, and a project's
// files may have any. The caller's group and the agent's number trade places; the agent is in no other group.
func groupMap(ids mounts.IDs) []syscall.SysProcIDMap {
	agent := ids.HostGID - ids.Base
	low, high := min(agent, ids.DiskGID), max(agent, ids.DiskGID)
	line := func(from, to, size uint32) syscall.SysProcIDMap {
		return syscall.SysProcIDMap{ContainerID: int(from), HostID: int(ids.Base + to), Size: int(size)}
	}
	lines := []syscall.SysProcIDMap{line(ids.DiskGID, agent, 1)}
	if low > 0 {
		lines = append(lines, line(0, 0, low))
	}
	if low == high {
		return append(lines, line(low+1, low+1, rangeSize-low-1))
	}
	if high >= rangeSize { // a group beyond the range: what has the agent's number on disk stays without a map
		return append(lines, line(low+1, low+1, rangeSize-low-1))
	}
	lines = append(lines, line(agent, ids.DiskGID, 1))
	if high > low+1 {
		lines = append(lines, line(low+1, low+1, high-low-1))
	}
	if high < rangeSize-1 {
		lines = append(lines, line(high+1, high+1, rangeSize-high-1))
	}
	return lines
}

// mount makes a detached idmapped copy of a path of the host, for PID 1 to attach. The path is checked and used through
// one descriptor, without following symbolic links.
func (m *idmapping) mount(b mounts.Mount) (*os.File, error) {
	<-m.done
	if m.err != nil {
		return nil, m.err
	}
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	file, err := unix.Openat2(unix.AT_FDCWD, b.Source, how)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: b.Source, Err: err}
	}
	defer unix.Close(file)
	var st unix.Stat_t
	if err := unix.Fstat(file, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: b.Source, Err: err}
	}
	if b.Ino != 0 && (uint64(st.Dev) != b.Dev || st.Ino != b.Ino) {
		return nil, fmt.Errorf("%s was replaced while the box was being made", b.Source)
	}
	tree, err := unix.OpenTree(file, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: b.Source, Err: err}
	}
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP | b.Attrs(), Userns_fd: uint64(m.ns.Fd())}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, attr); err != nil {
		unix.Close(tree)
		return nil, idmapError(b.Source, err)
	}
	return os.NewFile(uintptr(tree), b.Source), nil
}

func idmapError(path string, err error) error {
	e := &MissingError{Layer: "idmap", Err: &os.PathError{Op: "idmap", Path: path, Err: err}}
	if errors.Is(err, unix.EINVAL) {
		e.Remedy = "its filesystem, or one mounted below it, cannot be idmapped: move it to one that can (ext4, xfs, btrfs, tmpfs), or run as the ordinary user"
	}
	return e
}

// ownMounts makes the detached mounts of all that has to be idmapped, in the plan's order.
func (p Plan) ownMounts(m *idmapping) (list []*os.File, err error) {
	defer func() {
		if err != nil {
			for _, f := range list {
				f.Close()
			}
		}
	}()
	for _, one := range p.layered() {
		if !p.idmapped(one) {
			continue
		}
		f, err := m.mount(one)
		if err != nil {
			var missing *MissingError
			if !errors.As(err, &missing) {
				err = &MissingError{Layer: "mounts", Err: err}
			}
			return list, err
		}
		list = append(list, f)
	}
	return list, nil
}

// idmapped reports a mount through which files of one host user are the agent's.
func (p Plan) idmapped(m mounts.Mount) bool {
	return p.Idmap && m.Owned && m.Type == "bind" && !strings.HasPrefix(m.Source, mounts.InBox)
}
