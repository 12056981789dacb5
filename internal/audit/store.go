package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A store is a directory of logs, by its descriptor: whatever becomes of its name, all is done in the same one.
type store struct {
	dir  *os.File
	step func(string) // nil, or told after each step that a process may not survive
}

// openStore opens a directory that belongs to this user, and to which nobody else may write.
func openStore(dir string) (*store, error) {
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	if err := checkDir(d); err != nil {
		d.Close()
		return nil, err
	}
	return &store{dir: d}, nil
}

func (s *store) close() error { return s.dir.Close() }

func (s *store) at(step string) {
	if s.step != nil {
		s.step(step)
	}
}

func (s *store) path(name string) string { return filepath.Join(s.dir.Name(), name) }

func (s *store) openat(op, name string, flags int) (*os.File, error) {
	for {
		fd, err := unix.Openat(int(s.dir.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: op, Path: s.path(name), Err: err}
		}
		return os.NewFile(uintptr(fd), s.path(name)), nil
	}
}

// open opens a regular file to read it.
func (s *store) open(name string) (*os.File, error) {
	return regular(s.openat("open", name, unix.O_RDONLY))
}

// openToLock opens a regular file to lock it and to read it. On NFS only who may write to a descriptor may lock it for
// himself alone; see flock(2). A file that nobody may write to is locked as elsewhere.
func (s *store) openToLock(name string) (*os.File, error) {
	f, err := s.openat("open", name, unix.O_RDWR)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS) {
		f, err = s.openat("open", name, unix.O_RDONLY)
	}
	return regular(f, err)
}

func regular(f *os.File, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", f.Name())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// create makes a file, which must not exist and which only its owner may read.
func (s *store) create(name string) (*os.File, error) {
	f, err := s.openat("create", name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_APPEND)
	if err != nil {
		return nil, err
	}
	if err := unix.Fchmod(int(f.Fd()), 0o600); err != nil { // a umask may only take bits away, but then the owner could not read
		f.Close()
		return nil, &os.PathError{Op: "create", Path: s.path(name), Err: err}
	}
	return f, nil
}

// rename gives a finished file its name, in place of an unfinished one.
func (s *store) rename(from, to string) error {
	fd := int(s.dir.Fd())
	if err := unix.Renameat(fd, from, fd, to); err != nil {
		return &os.PathError{Op: "rename", Path: s.path(from), Err: err}
	}
	return nil
}

// shelve renames a file that is done with, and never over another one, or beside the compressed form of another one.
func (s *store) shelve(from, to string) error {
	fd := int(s.dir.Fd())
	err := s.free(packedForm(to))
	if err == nil {
		err = unix.Renameat2(fd, from, fd, to, unix.RENAME_NOREPLACE)
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a network's disk; nobody else may write here
		if err = s.free(to); err == nil {
			return s.rename(from, to)
		}
	}
	if err != nil {
		return &os.PathError{Op: "rename", Path: s.path(from), Err: err}
	}
	return nil
}

// free is nil for a name that no file has.
func (s *store) free(name string) error {
	var st unix.Stat_t
	err := unix.Fstatat(int(s.dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == nil:
		return unix.EEXIST
	case errors.Is(err, unix.ENOENT):
		return nil
	}
	return err
}

// remove removes a file, if it is there.
func (s *store) remove(name string) error {
	err := unix.Unlinkat(int(s.dir.Fd()), name, 0)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "remove", Path: s.path(name), Err: err}
	}
	return nil
}

// names reports whether a name still is that of an open file.
func (s *store) names(name string, f *os.File) (bool, error) {
	var is, was unix.Stat_t
	err := unix.Fstatat(int(s.dir.Fd()), name, &is, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err == nil {
		err = unix.Fstat(int(f.Fd()), &was)
	}
	return err == nil && is.Dev == was.Dev && is.Ino == was.Ino, err
}

// find lists the files of one session.
func (s *store) find(session string) (Stored, error) {
	return find(fmt.Sprintf("/proc/self/fd/%d", s.dir.Fd()), session)
}

// lock keeps others away from a file as long as it is open.
func lock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return fmt.Errorf("%s: %w", f.Name(), ErrBusy)
	case errors.Is(err, unix.ENOLCK) || errors.Is(err, unix.EOPNOTSUPP):
		return nil // a network's disk; the session has its own lock
	}
	return err
}
