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

// maxProfile bounds what is read of a profile; package profile refuses what is much shorter.
const maxProfile = 1 << 20

// A sourceFile is a profile as it was read, once: its bytes are the ones that are judged, shown and pinned.
type sourceFile struct {
	name   string // as people are told
	opened string // the path it was opened by
	path   string // with symbolic links resolved
	data   []byte
}

// readProfile reads a file outside the workspace. Symbolic links are followed: people keep their settings in
// repositories.
func readProfile(path string) (*sourceFile, error) {
	// O_NONBLOCK, or a FIFO would hold the start up.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return readOpen(fd, path)
}

// readProject reads a file of a workspace, whose links are the agent's to make: none is followed.
func readProject(dir, name string) (*sourceFile, error) {
	path := filepath.Join(dir, name)
	d, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(d)
	fd, err := unix.Openat2(d, name, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s is a symbolic link, and agentbox follows none in a workspace", path)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return readOpen(fd, path)
}

func readOpen(fd int, path string) (*sourceFile, error) {
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	real, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxProfile))
	if err != nil {
		return nil, err
	}
	return &sourceFile{name: path, opened: path, path: real, data: data}, nil
}

// inside reports whether a path is dir or below it; both are absolute, without links.
func inside(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// reachedThrough reports whether a file, or the name it was opened by, lies in dir. A link in a workspace to a file
// elsewhere is the agent's choice of that file.
func reachedThrough(f *sourceFile, dir string) bool {
	if inside(f.path, dir) {
		return true
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(f.opened))
	return err != nil || inside(parent, dir)
}

// resolve gives a directory without links; one that does not exist stays as it is.
func resolve(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return filepath.Clean(path)
}

// expandHome turns "~/x" into a path of the caller's home, and a relative path into one below base.
func expandHome(path, home, base string) string {
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || rest[0] == '/') {
		return filepath.Join(home, rest)
	}
	if !filepath.IsAbs(path) {
		return filepath.Join(base, path)
	}
	return filepath.Clean(path)
}
