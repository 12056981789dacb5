package gate

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Resolve follows the links of an absolute path as the box sees it. Of a path that does not exist it resolves what does;
// the rest is as it is written, and must not lead upwards. It opens nothing but directories on the way (O_PATH), and stays
// in the box's root (openat2(2), RESOLVE_IN_ROOT); the links of /proc lead to another process there, and are refused.
func (c Caller) Resolve(name string) (string, error) {
	if c.root == nil || !path.IsAbs(name) || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("%q cannot be resolved", name)
	}
	at, rest := strings.TrimRight(name, "/"), ""
	for {
		real, err := c.follow(at + "/.")
		if errors.Is(err, unix.ENOTDIR) {
			real, err = c.follow(at)
		}
		if err == nil {
			return path.Join(real, rest), nil
		}
		if at == "" || !errors.Is(err, unix.ENOENT) {
			return "", fmt.Errorf("%q cannot be resolved: %w", name, err)
		}
		if dangling, err := c.link(at); err != nil || dangling {
			return "", fmt.Errorf("%q leads to what does not exist", name)
		}
		dir, base := path.Split(at)
		if base == ".." {
			return "", fmt.Errorf("%q leads upwards from what does not exist", name)
		}
		at, rest = strings.TrimRight(dir, "/"), path.Join(base, rest)
	}
}

func (c Caller) follow(name string) (string, error) {
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(int(c.root.Fd()), name, how)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var b [unix.PathMax]byte
	n, err := unix.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd), b[:])
	if err != nil {
		return "", err
	}
	real := string(b[:n])
	if !path.IsAbs(real) || strings.HasSuffix(real, " (deleted)") {
		return "", unix.ESTALE
	}
	return real, nil
}

// link reports a link whose end does not exist: what is written to it appears there.
func (c Caller) link(name string) (bool, error) {
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(int(c.root.Fd()), name, how)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	return st.Mode&unix.S_IFMT == unix.S_IFLNK, err
}
