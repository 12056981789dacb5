package archive

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A directory is an archive on a disk of this host, or mounted on it.
type directory struct{ path string }

// open opens the directory, which is not made: where a disk is not mounted, files must not land on another one.
func (d *directory) open() (*os.Root, error) {
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return nil, &Error{Err: err, Hint: "make the directory, or mount what it is on", all: true}
	}
	return root, nil
}

func (d *directory) find(_ context.Context, o *object) (presence, error) {
	root, err := d.open()
	if err != nil {
		return unknown, err
	}
	defer root.Close()
	st, err := root.Lstat(o.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return absent, nil
	case err != nil:
		return unknown, err
	case !st.Mode().IsRegular() || st.Size() != o.size:
		return other, nil
	}
	f, err := root.OpenFile(o.name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return unknown, err
	}
	defer f.Close()
	found, err := o.sameContent(f)
	if err == nil && found == same { // a pass that was killed may not have come to this
		err = errors.Join(f.Sync(), settle(root, o.name))
	}
	return found, err
}

func (d *directory) put(ctx context.Context, o *object) error {
	root, err := d.open()
	if err != nil {
		return err
	}
	defer root.Close()
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := clean(root, dir, o.name); err != nil {
		return err
	}
	part := "." + o.name + "." + rand.Text() + ".tmp"
	err = copyTo(ctx, root, part, o)
	if err == nil {
		o.at("copied")
		err = publish(dir, part, o.name)
		o.at("linked")
	}
	if left := root.Remove(part); left != nil && !errors.Is(left, fs.ErrNotExist) {
		err = errors.Join(err, left)
	}
	if err == nil {
		err = dir.Sync()
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return &Error{Err: err, Hint: "make room in " + d.path, all: true}
	}
	return err
}

// clean removes what a pass that was killed left of a file. No other pass of this directory runs.
func clean(root *os.Root, dir *os.File, name string) error {
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		if strings.HasPrefix(n, "."+name+".") && strings.HasSuffix(n, ".tmp") {
			if err := root.Remove(n); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func copyTo(ctx context.Context, root *os.Root, part string, o *object) error {
	f, err := root.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, during{ctx, o.body()})
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// during reads as long as a context is not over.
type during struct {
	ctx context.Context
	io.Reader
}

func (d during) Read(p []byte) (int, error) {
	if err := context.Cause(d.ctx); err != nil {
		return 0, err
	}
	return d.Reader.Read(p)
}

// publish gives a file its name, unless the name is taken: a hard link, or where there are none, a rename that replaces
// nothing.
func publish(dir *os.File, part, name string) error {
	fd := int(dir.Fd())
	err := unix.Linkat(fd, part, fd, name, 0)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EMLINK) {
		err = unix.Renameat2(fd, part, fd, name, unix.RENAME_NOREPLACE)
	}
	switch {
	case errors.Is(err, unix.EEXIST):
		return errThere
	case errors.Is(err, unix.EINVAL):
		return &Error{Err: fmt.Errorf("the file system of %s has no way to give a file a name without replacing another", dir.Name()), all: true}
	case err != nil:
		return os.NewSyscallError("link", err)
	}
	return nil
}

// settle ends what a pass that was killed behind its link had begun.
func settle(root *os.Root, name string) error {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(clean(root, dir, name), dir.Sync(), dir.Close())
}
