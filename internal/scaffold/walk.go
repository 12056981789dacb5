package scaffold

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"agentbox/internal/workspace"
)

// What is looked at of a project: this many levels and names of it, and of files this many and this much.
const (
	maxDepth = 3
	maxNames = 20000
	maxReads = 64
	maxBytes = 64 << 10
)

// skipped are directories whose content is somebody else's, made by a tool, or made up for tests.
var skipped = []string{
	".git", ".hg", ".svn", "node_modules", "vendor", "target", "dist", "build", "out", ".venv", "venv", "__pycache__", "site-packages",
	".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".next", ".nuxt", ".cache", ".gradle", ".terraform", "Pods", "testdata",
}

var errChanged = errors.New("it is not the directory that was listed")

// walk lists the top levels, breadth first, so that a huge directory does not hide the rest. The order is that of names.
func walk(root *os.Root) (entries []entry, cut bool, err error) {
	dirs, left := []string{"."}, maxNames
	for depth := 0; len(dirs) > 0; depth++ {
		var deeper []string
		for _, dir := range dirs {
			list, more, err := listDir(root, dir, left)
			if err != nil && dir == "." {
				return nil, false, err
			}
			cut = cut || more
			left -= len(list)
			for _, e := range list {
				entries = append(entries, e)
				if e.kind == workspace.Dir && !slices.Contains(skipped, path.Base(e.path)) {
					deeper = append(deeper, e.path)
				}
			}
		}
		if depth+1 == maxDepth {
			break
		}
		dirs = deeper
	}
	return entries, cut, nil
}

// listDir lists one directory in the order of names; most bounds how many. more says that there are others.
func listDir(root *os.Root, dir string, most int) (list []entry, more bool, err error) {
	f, err := open(root, dir, fs.ModeDir, unix.O_DIRECTORY)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	names, err := f.ReadDir(most + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	slices.SortFunc(names, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, n := range names {
		if len(list) == most {
			return list, true, nil
		}
		if kind := kindOf(n.Type()); kind != "" {
			list = append(list, entry{path.Join(dir, n.Name()), kind})
		}
	}
	return list, false, nil
}

// open opens a name that is of a type, and not what somebody puts in its place meanwhile: an os.Root would follow a
// link, and a named pipe would wait for a writer.
func open(root *os.Root, name string, kind fs.FileMode, flags int) (*os.File, error) {
	before, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if before.Mode().Type() != kind {
		return nil, errChanged
	}
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|flags, 0)
	if err != nil {
		return nil, err
	}
	if after, err := f.Stat(); err != nil || !os.SameFile(before, after) {
		f.Close()
		return nil, errChanged
	}
	return f, nil
}

// A reader reads small files, and not many.
type reader struct {
	root *os.Root
	left int
}

// read gives a file's content, nil if there is none, it cannot be read or it is too large to be what its name says.
func (r *reader) read(name string) []byte {
	if r.left--; r.left < 0 {
		return nil
	}
	f, err := open(r.root, name, 0, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil || len(data) > maxBytes {
		return nil
	}
	return data
}
