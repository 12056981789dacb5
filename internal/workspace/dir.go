package workspace

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// How deep and how long a path may be. What lies deeper is refused by name: no
// program could open it by its path (PATH_MAX), and a walk holds two descriptors
// for each directory that it is in.
const (
	maxDepth = 200
	maxPath  = 3900
	slack    = 100 // for the name of the staging directory
)

// beneath is how every name of a workspace is resolved: not through a link, not
// out of the directory, not into what is mounted there (openat2(2)).
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

// A dir is an open directory. Everything in a workspace is reached from one.
type dir struct{ fd int }

// openDir opens a directory that the caller of this package names, a root.
func openDir(name string) (dir, error) {
	fd, err := retry(func() (int, error) {
		return unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return dir{-1}, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return dir{fd}, nil
}

func (d dir) close() {
	if d.fd >= 0 {
		unix.Close(d.fd)
	}
}

// retry repeats what a signal interrupted; openat2 also answers EAGAIN when a
// rename elsewhere kept it from being sure.
func retry(f func() (int, error)) (int, error) {
	for tries := 0; ; tries++ {
		n, err := f()
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) && tries < 100 {
			continue
		}
		return n, err
	}
}

// open opens something below the directory. name may have several components.
func (d dir) open(name string, flags uint64) (int, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: beneath}
	if flags&unix.O_CREAT != 0 {
		how.Mode = 0o600
	}
	return retry(func() (int, error) { return unix.Openat2(d.fd, name, &how) })
}

// child opens a directory below this one; "." is the directory itself, again.
func (d dir) child(name string) (dir, error) {
	fd, err := d.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return dir{-1}, err
	}
	return dir{fd}, nil
}

// file opens a regular file for reading. What is none, is not waited for: a FIFO
// would hold the reader until somebody writes.
func (d dir) file(name string) (*os.File, error) {
	fd, err := d.open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errNoFile
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), quote(name)), nil
}

// stat looks at a name without following it. found is false where nothing is.
func (d dir) stat(name string) (st unix.Stat_t, found bool, err error) {
	err = unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return st, false, nil
	}
	return st, err == nil, err
}

// names lists the directory in the order of bytes.
func (d dir) names() ([]string, error) {
	fd, err := d.open(".", unix.O_RDONLY|unix.O_DIRECTORY) // a read position of our own
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), ".")
	defer f.Close()
	list, err := f.Readdirnames(-1)
	slices.Sort(list)
	return list, err
}

func (d dir) readlink(name string) (string, error) {
	buf := make([]byte, 4096+1)
	n, err := unix.Readlinkat(d.fd, name, buf)
	if err == nil && n == len(buf) {
		err = unix.ENAMETOOLONG
	}
	return string(buf[:max(n, 0)]), err
}

// parent opens the directory that a path lies in, and gives the last component.
func (d dir) parent(name string) (dir, string, error) {
	if err := checkName(name); err != nil {
		return dir{-1}, "", err
	}
	up, base := path.Split(name)
	at, err := d.child(cmpOr(strings.TrimSuffix(up, "/"), "."))
	return at, base, err
}

func cmpOr(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

// checkName accepts what the walk makes: components with one slash between.
func checkName(name string) error {
	if len(name) > maxPath+slack {
		return fmt.Errorf("%.40s…: the path is longer than %d bytes", quote(name), maxPath)
	}
	for _, part := range strings.Split(name, "/") {
		if part == "" || part == "." || part == ".." || len(part) > 255 || strings.ContainsRune(part, 0) {
			return fmt.Errorf("%s is not a path below the workspace", quote(name))
		}
	}
	return nil
}

// gone reports that a path leads nowhere, be it because something on the way is no
// directory any more.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// quote writes a name as git does: plain where it can, otherwise in C's syntax.
func quote(name string) string {
	plain := func(c byte) bool { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' }
	if !slices.ContainsFunc([]byte(name), func(c byte) bool { return !plain(c) }) {
		return name
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(name) {
		c := name[i]
		switch {
		case plain(c):
			b.WriteByte(c)
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c >= 7 && c <= 13:
			b.WriteByte('\\')
			b.WriteByte("abtnvfr"[c-7])
		default:
			fmt.Fprintf(&b, `\%03o`, c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
