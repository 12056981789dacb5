package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A privateFile is one that nobody else may read. It is at its name whole or not at all, whatever ends this process, and
// takes the place of no other.
type privateFile struct {
	*os.File
	dir  *os.File
	name string
	temp string // where the file system has no nameless files, the name that it has meanwhile
}

// createPrivate makes the file. It follows no symbolic link of the project it is called in.
func createPrivate(path string) (*privateFile, error) {
	p := &privateFile{name: filepath.Base(path)}
	var err error
	if p.dir, err = openApart(filepath.Dir(path), []string{"."}); err != nil {
		return nil, reason(err)
	}
	if err = p.absent(); err == nil {
		err = p.open()
	}
	if err != nil {
		p.dir.Close()
		return nil, err
	}
	return p, nil
}

func (p *privateFile) absent() error {
	var st unix.Stat_t
	switch err := unix.Fstatat(int(p.dir.Fd()), p.name, &st, unix.AT_SYMLINK_NOFOLLOW); {
	case err == nil:
		return fs.ErrExist
	case errors.Is(err, unix.ENOENT):
		return nil
	default:
		return err
	}
}

// open makes a file without a name (O_TMPFILE of open(2)), of which nothing is left when it gets none.
func (p *privateFile) open() error {
	dir := int(p.dir.Fd())
	fd, err := unix.Openat(dir, ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) {
		p.temp = fmt.Sprintf(".%s.agentbox-%d", p.name, os.Getpid())
		fd, err = unix.Openat(dir, p.temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	}
	if err != nil {
		return err
	}
	p.File = os.NewFile(uintptr(fd), p.name)
	return p.Chmod(0o600)
}

// publish brings the file to disk and gives it its name.
func (p *privateFile) publish() error {
	if err := p.Sync(); err != nil {
		return err
	}
	dir := int(p.dir.Fd())
	var err error
	if p.temp != "" {
		err = unix.Linkat(dir, p.temp, dir, p.name, 0)
	} else {
		err = unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", p.Fd()), dir, p.name, unix.AT_SYMLINK_FOLLOW)
	}
	if err != nil {
		return err
	}
	return p.dir.Sync()
}

func (p *privateFile) close() {
	if p.temp != "" {
		_ = unix.Unlinkat(int(p.dir.Fd()), p.temp, 0)
	}
	p.File.Close()
	p.dir.Close()
}
