package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A placedFile is a file that `run` writes at its end. Its directory is held open, so that an agent that may write
// there cannot lead the file elsewhere.
type placedFile struct {
	flag, path string // in the words of the command line
	dir        *os.File
	name       string
	private    bool // for its owner alone
}

// placeFile makes sure that a file can be written, and takes an earlier run's away. It follows no symbolic link of a
// workspace. Without a path it is nil.
func placeFile(flag, path string, workspaces []string) (*placedFile, error) {
	if path == "" {
		return nil, nil
	}
	p := &placedFile{flag: flag, path: path, name: filepath.Base(path)}
	var err error
	if p.dir, err = openApart(filepath.Dir(path), workspaces); err == nil {
		err = p.clear()
		if err == nil { // the only sure way to find out whether a file can be made is to make one
			err = errors.Join(p.create(nothing), p.remove(p.temporary()))
		}
		if err != nil {
			p.dir.Close()
		}
	}
	if err != nil {
		return nil, &usageError{msg: fmt.Sprintf("%s %s: %v", dashes(flag), path, reason(err)), hint: "name a file in a directory that you may write"}
	}
	return p, nil
}

func nothing(io.Writer) error { return nil }

// openApart opens a directory unless a symbolic link that lies in a workspace is on the way.
func openApart(path string, workspaces []string) (*os.File, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	real := "/"
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		next := filepath.Join(real, name)
		if info, err := os.Lstat(next); err == nil && info.Mode().Type() == fs.ModeSymlink {
			for _, w := range workspaces {
				if w, err = filepath.Abs(w); err != nil || inside(real, resolve(w)) {
					return nil, fmt.Errorf("%s is a symbolic link, and agentbox follows none in a workspace", next)
				}
			}
		}
		real = resolve(next)
	}
	dir, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	if opened, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", dir.Fd())); err != nil || opened != real {
		dir.Close()
		return nil, fmt.Errorf("%s was replaced while it was being opened", path)
	}
	return dir, nil
}

// reason leaves out the path, which the message already has.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// clear removes the file of an earlier run. Anything else that has its name, such as /dev/null, stays and is refused.
func (p *placedFile) clear() error {
	var st unix.Stat_t
	err := unix.Fstatat(int(p.dir.Fd()), p.name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return err
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return errors.New("it exists and is not a regular file")
	}
	return p.remove(p.name)
}

func (p *placedFile) temporary() string { return fmt.Sprintf(".%s.agentbox-%d", p.name, os.Getpid()) }

func (p *placedFile) remove(name string) error { return unix.Unlinkat(int(p.dir.Fd()), name, 0) }

// create writes a new file beside the final one.
func (p *placedFile) create(content func(io.Writer) error) error {
	fd, err := unix.Openat(int(p.dir.Fd()), p.temporary(), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), p.temporary())
	mode := fs.FileMode(0o644)
	if p.private {
		mode = 0o600
	}
	return errors.Join(content(f), f.Chmod(mode), f.Close())
}

// write puts the file in its place in one step, if somebody asked for it.
func (p *placedFile) write(content func(io.Writer) error) error {
	if p == nil {
		return nil
	}
	err := p.create(content)
	if err == nil {
		err = unix.Renameat(int(p.dir.Fd()), p.temporary(), int(p.dir.Fd()), p.name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", dashes(p.flag), errors.Join(err, p.remove(p.temporary())))
	}
	return nil
}

// same reports whether two are one file.
func (p *placedFile) same(q *placedFile) bool {
	if p == nil || q == nil || p.name != q.name {
		return false
	}
	a, errA := p.dir.Stat()
	b, errB := q.dir.Stat()
	return errA == nil && errB == nil && os.SameFile(a, b)
}

func (p *placedFile) close() error {
	if p == nil {
		return nil
	}
	return p.dir.Close()
}
