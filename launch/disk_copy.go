package launch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// An account is a user and a group of the host.
type account struct{ uid, gid int }

// copyDepth is how deep a tree is copied. It is more than a review goes, which refuses what lies deeper by name.
const copyDepth = 250

// below is how every name of an agent's tree is resolved (openat2(2)).
const below = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

// copyTree copies a directory of an overlay's writes with all that makes it a layer: contents with their holes, modes,
// times, attributes of users, links of both kinds, and whiteouts. Everything is reached from the two directories and
// through no link. own is who gets the copies; nil is whoever copies. What its owner is denied to read is opened to them
// for a moment, so no box may use the source any more. Attributes outside "user." are not copied.
func copyTree(from *os.File, name string, to *os.File, as string, own *account) error {
	c := &treeCopy{own: own, links: map[inode]string{}, buf: make([]byte, 256<<10)}
	var st unix.Stat_t
	if err := unix.Fstatat(int(from.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "stat", Path: name, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return &os.PathError{Op: "copy", Path: name, Err: unix.ENOTDIR}
	}
	if err := unix.Mkdirat(int(to.Fd()), as, 0o700); err != nil {
		return &os.PathError{Op: "mkdir", Path: as, Err: err}
	}
	top, err := openBelow(int(to.Fd()), as, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return &os.PathError{Op: "open", Path: as, Err: err}
	}
	defer unix.Close(top)
	c.top = top
	return c.dir(int(from.Fd()), name, st, top, "", 0)
}

type treeCopy struct {
	own   *account
	top   int              // the copy's root
	links map[inode]string // where the first copy of a file with several names lies, below top
	buf   []byte
}

// What the owner needs to copy a file or a directory.
const (
	mayRead  = 0o400
	mayEnter = 0o500
)

func openBelow(dir int, name string, flags uint64) (int, error) {
	for {
		fd, err := unix.Openat2(dir, name, &unix.OpenHow{Flags: flags | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: below})
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return fd, err
		}
	}
}

// openOwn opens what its owner may have closed. Whoever closes it again calls closeOwn.
func openOwn(dir int, name string, st unix.Stat_t, flags uint64, need uint32) (int, error) {
	if !closed(st, need) {
		return openBelow(dir, name, flags)
	}
	at, err := openBelow(dir, name, unix.O_PATH)
	if err != nil {
		return -1, err
	}
	defer unix.Close(at)
	if err := unix.Chmod(procPath(at), st.Mode&0o7777|need); err != nil {
		return -1, err
	}
	fd, err := openBelow(dir, name, flags)
	if err != nil {
		return -1, errors.Join(err, unix.Chmod(procPath(at), st.Mode&0o7777))
	}
	return fd, nil
}

func closed(st unix.Stat_t, need uint32) bool { return os.Geteuid() != 0 && st.Mode&need != need }

// closeOwn gives back the mode as well. No copy depends on that.
func closeOwn(fd int, st unix.Stat_t, need uint32) {
	if closed(st, need) {
		_ = unix.Fchmod(fd, st.Mode&0o7777)
	}
}

func procPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// dir copies what a directory holds, and then what is known of itself, since the one changes the other.
func (c *treeCopy) dir(from int, name string, st unix.Stat_t, to int, rel string, depth int) error {
	src, err := openOwn(from, name, st, unix.O_RDONLY|unix.O_DIRECTORY, mayEnter)
	if err != nil {
		return &os.PathError{Op: "open", Path: rel, Err: err}
	}
	f := os.NewFile(uintptr(src), rel)
	defer f.Close()
	defer closeOwn(src, st, mayEnter)
	if depth < copyDepth {
		names, err := f.Readdirnames(-1)
		if err != nil {
			return err
		}
		for _, one := range names {
			if err := c.entry(src, one, to, strings.TrimPrefix(rel+"/"+one, "/"), depth); err != nil {
				return err
			}
		}
	}
	return c.finish(src, to, rel, st)
}

func (c *treeCopy) entry(from int, name string, to int, rel string, depth int) error {
	var st unix.Stat_t
	err := unix.Fstatat(from, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return &os.PathError{Op: "stat", Path: rel, Err: err}
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return c.subdir(from, name, st, to, rel, depth)
	}
	id := inode{uint64(st.Dev), st.Ino}
	if st.Nlink > 1 && c.link(c.links[id], to, name) {
		return nil
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		err = c.file(from, name, st, to, rel)
	case unix.S_IFLNK:
		err = c.symlink(from, name, to)
	case unix.S_IFIFO, unix.S_IFSOCK:
		err = unix.Mknodat(to, name, st.Mode&unix.S_IFMT|0o600, 0)
	case unix.S_IFCHR:
		if st.Rdev != 0 { // a whiteout is the only device that an ordinary user makes
			return fmt.Errorf("%q is a device", rel)
		}
		err = unix.Mknodat(to, name, unix.S_IFCHR, 0)
	default:
		return fmt.Errorf("%q is of no kind that an agent can make", rel)
	}
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = c.finishSpecial(to, name, st)
	}
	if err != nil {
		return &os.PathError{Op: "copy", Path: rel, Err: err}
	}
	if st.Nlink > 1 {
		c.links[id] = rel
	}
	return nil
}

func (c *treeCopy) subdir(from int, name string, st unix.Stat_t, to int, rel string, depth int) error {
	if err := unix.Mkdirat(to, name, 0o700); err != nil {
		return &os.PathError{Op: "mkdir", Path: rel, Err: err}
	}
	child, err := openBelow(to, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return &os.PathError{Op: "open", Path: rel, Err: err}
	}
	defer unix.Close(child)
	return c.dir(from, name, st, child, rel, depth+1)
}

// link gives the copy of a file a further name. Where that cannot be, as with too long a path or too many names, the
// file is copied again.
func (c *treeCopy) link(first string, to int, name string) bool {
	if first == "" {
		return false
	}
	up, base := c.top, first
	if i := strings.LastIndexByte(first, '/'); i >= 0 {
		fd, err := openBelow(c.top, first[:i], unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return false
		}
		defer unix.Close(fd)
		up, base = fd, first[i+1:]
	}
	return unix.Linkat(up, base, to, name, 0) == nil
}

func (c *treeCopy) file(from int, name string, st unix.Stat_t, to int, rel string) error {
	src, err := openOwn(from, name, st, unix.O_RDONLY|unix.O_NONBLOCK, mayRead)
	if err != nil {
		return err
	}
	defer unix.Close(src)
	defer closeOwn(src, st, mayRead)
	dst, err := unix.Openat(to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(dst)
	if err := c.content(src, dst, st.Size); err != nil {
		return err
	}
	return c.finish(src, dst, rel, st)
}

// content copies what a file holds, and leaves its holes.
func (c *treeCopy) content(src, dst int, size int64) error {
	for at := int64(0); at < size; {
		begin, err := unix.Seek(src, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err != nil {
			return err
		}
		end, err := unix.Seek(src, begin, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		for at = begin; at < end; {
			n, err := unix.Pread(src, c.buf[:min(int64(len(c.buf)), end-at)], at)
			if n == 0 && err == nil {
				err = io.ErrUnexpectedEOF
			}
			if err == nil {
				err = writeAt(dst, c.buf[:n], at)
			}
			if err != nil && !errors.Is(err, unix.EINTR) {
				return err
			}
			at += int64(max(n, 0))
		}
	}
	return unix.Ftruncate(dst, size)
}

func writeAt(fd int, data []byte, at int64) error {
	for len(data) > 0 {
		n, err := unix.Pwrite(fd, data, at)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		data, at = data[max(n, 0):], at+int64(max(n, 0))
	}
	return nil
}

func (c *treeCopy) symlink(from int, name string, to int) error {
	buf := make([]byte, unix.PathMax+1)
	n, err := unix.Readlinkat(from, name, buf)
	if err != nil {
		return err
	}
	return unix.Symlinkat(string(buf[:n]), to, name)
}

// finish gives an open copy the attributes, the owner, the mode and the times: each of them may take away the right or
// the effect of the one before.
func (c *treeCopy) finish(src, dst int, rel string, st unix.Stat_t) error {
	err := copyAttributes(src, dst)
	if err == nil && c.own != nil {
		err = unix.Fchown(dst, c.own.uid, c.own.gid)
	}
	if err == nil {
		err = unix.Fchmod(dst, st.Mode&0o7777)
	}
	if err == nil {
		err = unix.UtimesNanoAt(unix.AT_FDCWD, procPath(dst), []unix.Timespec{st.Atim, st.Mtim}, 0)
	}
	if err != nil {
		return &os.PathError{Op: "copy", Path: rel, Err: err}
	}
	return nil
}

func (c *treeCopy) finishSpecial(to int, name string, st unix.Stat_t) error {
	var err error
	if c.own != nil {
		err = unix.Fchownat(to, name, c.own.uid, c.own.gid, unix.AT_SYMLINK_NOFOLLOW)
	}
	if kind := st.Mode & unix.S_IFMT; err == nil && (kind == unix.S_IFIFO || kind == unix.S_IFSOCK) {
		err = unix.Fchmodat(to, name, st.Mode&0o7777, 0)
	}
	if err == nil {
		err = unix.UtimesNanoAt(to, name, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
	}
	return err
}

// copyAttributes copies what an overlay notes, and what the agent did.
func copyAttributes(src, dst int) error {
	list, err := readAll(func(b []byte) (int, error) { return unix.Flistxattr(src, b) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return err
	}
	for key := range strings.SplitSeq(string(list), "\x00") {
		if !strings.HasPrefix(key, "user.") {
			continue
		}
		value, err := readAll(func(b []byte) (int, error) { return unix.Fgetxattr(src, key, b) })
		if err == nil {
			err = unix.Fsetxattr(dst, key, value, 0)
		}
		if err != nil {
			return fmt.Errorf("attribute %q: %w", key, err)
		}
	}
	return nil
}

// readAll asks with a larger buffer until the answer fits.
func readAll(ask func([]byte) (int, error)) ([]byte, error) {
	for size := 1 << 10; ; size *= 8 {
		buf := make([]byte, size)
		n, err := ask(buf)
		if !errors.Is(err, unix.ERANGE) || size >= 1<<20 {
			return buf[:max(n, 0)], err
		}
	}
}
