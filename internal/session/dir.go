package session

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxDepth bounds the depth of a tree that is removed, and so the descriptors
// and the stack that its removal needs.
const maxDepth = 128

// A dir is an open directory that this user owns and nobody else may write.
// Files in it are reached by descriptor; the path is only for messages.
type dir struct {
	fd   int
	path string
}

func openDir(path string) (dir, error) {
	return openOwned(unix.AT_FDCWD, path, path)
}

func (d dir) open(name string) (dir, error) {
	return openOwned(d.fd, name, filepath.Join(d.path, name))
}

func openOwned(at int, name, path string) (dir, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return dir{}, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if err := checkOwned(fd, path); err != nil {
		unix.Close(fd)
		return dir{}, err
	}
	return dir{fd, path}, nil
}

func checkOwned(fd int, path string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, not to user %d; remove it", path, st.Uid, os.Geteuid())
	}
	if st.Mode&0o022 != 0 {
		return fmt.Errorf("%s may be written by other users; remove it or run chmod 700 on it", path)
	}
	return nil
}

func (d dir) close() { unix.Close(d.fd) }

// file opens one of the directory's files, which must be a regular file of ours.
func (d dir) file(name string, flags int) (int, error) {
	fd, err := unix.Openat(d.fd, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: filepath.Join(d.path, name), Err: err}
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errors.New("not a regular file")
	}
	if err == nil && int(st.Uid) != os.Geteuid() {
		err = fmt.Errorf("belongs to user %d", st.Uid)
	}
	if err != nil {
		unix.Close(fd)
		return -1, &os.PathError{Op: "open", Path: filepath.Join(d.path, name), Err: err}
	}
	return fd, nil
}

// readFile reads at most limit bytes and refuses a longer file.
func (d dir) readFile(name string, limit int64) ([]byte, error) {
	fd, err := d.file(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), filepath.Join(d.path, name))
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is longer than %d bytes", f.Name(), limit)
	}
	return data, err
}

// writeFile makes a new file.
func (d dir) writeFile(name string, data []byte) error {
	fd, err := d.file(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return &os.PathError{Op: "write", Path: filepath.Join(d.path, name), Err: err}
		}
		data = data[max(n, 0):]
	}
	return nil
}

// replaceFile puts data in the place of a file, in one step for its readers.
func (d dir) replaceFile(name string, data []byte) error {
	next := name + ".next"
	if err := d.remove(next); err != nil {
		return err
	}
	err := d.writeFile(next, data)
	if err == nil {
		err = unix.Renameat(d.fd, next, d.fd, name)
	}
	if err != nil {
		return errors.Join(err, d.remove(next))
	}
	return nil
}

// names lists the directory.
func (d dir) names() ([]string, error) {
	// A second open file description, so that the read position is our own.
	fd, err := unix.Openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: d.path, Err: err}
	}
	f := os.NewFile(uintptr(fd), d.path)
	defer f.Close()
	return f.Readdirnames(-1)
}

// remove deletes name and everything below it; that it is not there is no error.
func (d dir) remove(name string) error { return d.removeAt(name, 0) }

// empty deletes everything in the directory but keep.
func (d dir) empty(keep string) error { return d.emptyAt(keep, 0) }

func (d dir) removeAt(name string, depth int) error {
	err := unix.Unlinkat(d.fd, name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	path := filepath.Join(d.path, name)
	if !errors.Is(err, unix.EISDIR) {
		return &os.PathError{Op: "remove", Path: path, Err: err}
	}
	if depth >= maxDepth {
		return fmt.Errorf("%s lies too deep to be removed", path)
	}
	child, err := d.enter(name)
	if err == nil {
		err = child.emptyAt("", depth+1)
		child.close()
	}
	if err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return err
	}
	err = unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "remove", Path: path, Err: err}
	}
	return nil
}

func (d dir) emptyAt(keep string, depth int) error {
	names, err := d.names()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if name != keep {
			errs = append(errs, d.removeAt(name, depth))
		}
	}
	return errors.Join(errs...)
}

// enter opens a directory that is about to be removed. It refuses mount points,
// those on the same filesystem too: what is mounted there is not ours to delete.
func (d dir) enter(name string) (dir, error) {
	path := filepath.Join(d.path, name)
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	}
	fd, err := unix.Openat2(d.fd, name, &how)
	if errors.Is(err, unix.EACCES) && unix.Fchmodat(d.fd, name, 0o700, unix.AT_SYMLINK_NOFOLLOW) == nil {
		fd, err = unix.Openat2(d.fd, name, &how)
	}
	if errors.Is(err, unix.EXDEV) {
		return dir{}, fmt.Errorf("something is still mounted on %s", path)
	}
	if err != nil {
		return dir{}, &os.PathError{Op: "open", Path: path, Err: err}
	}
	// Mount points inside a root filesystem are often 0555, which keeps an
	// ordinary user from deleting what is in them.
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && st.Mode&0o700 != 0o700 {
		err = unix.Fchmod(fd, 0o700)
	}
	if err != nil {
		unix.Close(fd)
		return dir{}, &os.PathError{Op: "chmod", Path: path, Err: err}
	}
	return dir{fd, path}, nil
}
