package workspace

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A hand makes every change that this package makes to a disk. What it does can be
// stopped before any single system call, which is how the tests show that a cut at
// any point is repaired.
type hand struct {
	step func(what string) error // called before each call; nil in a real run
}

func (h hand) do(what string, f func() error) error {
	if h.step != nil {
		if err := h.step(what); err != nil {
			return err
		}
	}
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (h hand) mkdir(d dir, name string, mode uint32) error {
	return h.do("mkdir", func() error { return unix.Mkdirat(d.fd, name, mode) })
}

func (h hand) create(d dir, name string) (*os.File, error) {
	var fd int
	err := h.do("create", func() (err error) {
		fd, err = d.open(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), quote(name)), nil
}

func (h hand) write(f *os.File, data []byte) error {
	return h.do("write", func() error { _, err := f.Write(data); return err })
}

func (h hand) truncate(f *os.File, size int64) error {
	return h.do("truncate", func() error { return f.Truncate(size) })
}

func (h hand) symlink(target string, d dir, name string) error {
	return h.do("symlink", func() error { return unix.Symlinkat(target, d.fd, name) })
}

func (h hand) link(from dir, old string, to dir, name string) error {
	return h.do("link", func() error { return unix.Linkat(from.fd, old, to.fd, name, 0) })
}

func (h hand) rename(from dir, old string, to dir, name string, flags uint) error {
	what := "rename"
	if flags == unix.RENAME_EXCHANGE {
		what = "exchange"
	} else if flags == unix.RENAME_NOREPLACE {
		what = "move"
	}
	return h.do(what, func() error { return unix.Renameat2(from.fd, old, to.fd, name, flags) })
}

// move renames without ever replacing anything. Where the filesystem cannot, as
// NFS, it links and unlinks; a cut between the two is completed by the next move.
func (h hand) move(from dir, old string, to dir, name string) error {
	err := h.rename(from, old, to, name, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) {
		err = h.moveSlowly(from, old, to, name)
	}
	if errors.Is(err, unix.EEXIST) && sameFile(from, old, to, name) {
		return h.unlink(from, old)
	}
	return err
}

func (h hand) moveSlowly(from dir, old string, to dir, name string) error {
	st, found, err := from.stat(old)
	if err != nil || !found {
		return errors.Join(err, unix.ENOENT)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		if err := h.link(from, old, to, name); err != nil {
			return err
		}
		return h.unlink(from, old)
	}
	// A directory cannot have a second link, and replaces only an empty directory.
	if _, found, err := to.stat(name); err != nil || found {
		return errors.Join(err, unix.EEXIST)
	}
	return h.rename(from, old, to, name, 0)
}

// sameFile reports two names of one file that is no directory.
func sameFile(a dir, nameA string, b dir, nameB string) bool {
	one, found1, err1 := a.stat(nameA)
	two, found2, err2 := b.stat(nameB)
	return err1 == nil && err2 == nil && found1 && found2 && one.Mode&unix.S_IFMT != unix.S_IFDIR && one.Ino == two.Ino && one.Dev == two.Dev
}

func (h hand) unlink(d dir, name string) error {
	return h.do("unlink", func() error { return unix.Unlinkat(d.fd, name, 0) })
}

func (h hand) rmdir(d dir, name string) error {
	return h.do("rmdir", func() error { return unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR) })
}

func (h hand) chmod(fd int, mode uint32) error {
	return h.do("chmod", func() error { return unix.Fchmod(fd, mode) })
}

// chmodAt changes the permissions of what a descriptor of O_PATH stands for, which
// the caller need not be able to read.
func (h hand) chmodAt(fd int, mode uint32) error {
	self := fmt.Sprintf("/proc/self/fd/%d", fd)
	return h.do("chmod", func() error { return unix.Fchmodat(unix.AT_FDCWD, self, mode, 0) })
}

func (h hand) fsync(fd int) error { return h.do("fsync", func() error { return unix.Fsync(fd) }) }

func (h hand) syncfs(fd int) error { return h.do("syncfs", func() error { return unix.Syncfs(fd) }) }

// times sets the modification time of a name, which may be a link.
func (h hand) times(d dir, name string, mtime int64) error {
	ts := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(mtime)}
	return h.do("utimes", func() error { return unix.UtimesNanoAt(d.fd, name, ts, unix.AT_SYMLINK_NOFOLLOW) })
}

func (h hand) chown(d dir, name string, o Owner) error {
	return h.do("chown", func() error { return unix.Fchownat(d.fd, name, o.UID, o.GID, unix.AT_SYMLINK_NOFOLLOW) })
}

// attrs sets attributes in the order of their names.
func (h hand) attrs(fd int, attrs map[string][]byte) error {
	for _, key := range sortedKeys(attrs) {
		self := fmt.Sprintf("/proc/self/fd/%d", fd)
		err := h.do("setxattr", func() error { return unix.Setxattr(self, key, attrs[key], 0) })
		if err != nil {
			return fmt.Errorf("attribute %s: %w", quote(key), err)
		}
	}
	return nil
}

// replaceAttrs turns one set of attributes into another.
func (h hand) replaceAttrs(fd int, from, to map[string][]byte) error {
	self := fmt.Sprintf("/proc/self/fd/%d", fd)
	for _, key := range sortedKeys(from) {
		if _, stays := to[key]; stays {
			continue
		}
		err := h.do("removexattr", func() error { return unix.Removexattr(self, key) })
		if err != nil && !errors.Is(err, unix.ENODATA) {
			return fmt.Errorf("attribute %s: %w", quote(key), err)
		}
	}
	return h.attrs(fd, to)
}

func sortedKeys(m map[string][]byte) []string {
	var out []string
	for key := range m {
		out = append(out, key)
	}
	slices.SortFunc(out, strings.Compare)
	return out
}

// save puts a small file in the place of another: whole or not at all, also after
// a power cut.
func (h hand) save(d dir, name string, data []byte) error {
	next := name + ".next"
	if err := h.unlink(d, next); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	f, err := h.create(d, next)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := h.write(f, data); err != nil {
		return err
	}
	if err := h.fsync(int(f.Fd())); err != nil {
		return err
	}
	if err := h.rename(d, next, d, name, 0); err != nil {
		return err
	}
	return h.fsync(d.fd)
}
