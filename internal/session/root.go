package session

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Root returns the directory that holds this user's sessions, and makes it. Root
// uses /run/agentbox. Other users get $XDG_RUNTIME_DIR/agentbox, or, where that
// directory is not theirs alone, agentbox/run below $XDG_STATE_HOME or
// ~/.local/state, as does root where /run cannot be written.
func Root() (string, error) {
	return resolveRoot(os.Geteuid(), os.Getenv, "/run")
}

func resolveRoot(uid int, getenv func(string) string, run string) (string, error) {
	if uid == 0 && ownedBy(run, uid) {
		path, err := makeBelow(run, "agentbox")
		if err == nil || !unavailable(err) {
			return path, err
		}
	}
	if base := getenv("XDG_RUNTIME_DIR"); isPrivate(base, uid) {
		return makeBelow(base, "agentbox")
	}
	base := getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(base) {
		home := getenv("HOME")
		if !filepath.IsAbs(home) {
			return "", errors.New("no place for sessions: set XDG_RUNTIME_DIR or HOME to a directory of your own")
		}
		base = filepath.Join(home, ".local", "state")
	}
	if err := os.MkdirAll(base, 0o700); err != nil {
		return "", fmt.Errorf("session directory: %w", err)
	}
	return makeBelow(base, "agentbox", "run")
}

// unavailable says that a directory cannot be made here, as opposed to one that
// exists and must not be trusted.
func unavailable(err error) bool {
	for _, e := range []error{unix.ENOENT, unix.EROFS, unix.EACCES, unix.EPERM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// ownedBy tells the machine's root from the root of a user namespace, to whom /run is somebody else's.
func ownedBy(path string, uid int) bool {
	var st unix.Stat_t
	return unix.Stat(path, &st) == nil && int(st.Uid) == uid
}

// isPrivate says whether path is what the XDG specification asks of a runtime
// directory: owned by the user, mode 0700.
func isPrivate(path string, uid int) bool {
	if !filepath.IsAbs(path) {
		return false
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return false
	}
	return st.Mode&unix.S_IFMT == unix.S_IFDIR && int(st.Uid) == uid && st.Mode&0o7777 == 0o700
}

// makeBelow makes each named directory in the one before, mode 0700, and checks
// that it is ours. Base itself may be reached through links: it is the user's
// word, or a directory of the system.
func makeBelow(base string, names ...string) (string, error) {
	fd, err := unix.Open(base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("session directory: %w", &os.PathError{Op: "open", Path: base, Err: err})
	}
	d := dir{fd, filepath.Clean(base)}
	defer func() { d.close() }()
	if err := checkBase(fd, base); err != nil {
		return "", fmt.Errorf("session directory: %w", err)
	}
	for _, name := range names {
		if err := unix.Mkdirat(d.fd, name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			path := filepath.Join(d.path, name)
			return "", fmt.Errorf("session directory: %w", &os.PathError{Op: "mkdir", Path: path, Err: err})
		}
		next, err := d.open(name)
		if err != nil {
			return "", fmt.Errorf("session directory: %w", err)
		}
		d.close()
		d = next
	}
	return d.path, nil
}

// checkBase refuses a place where another user could swap our directory for one
// of theirs.
func checkBase(fd int, path string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d", path, st.Uid)
	}
	if st.Mode&0o002 != 0 && st.Mode&unix.S_ISVTX == 0 {
		return fmt.Errorf("%s may be written by everyone", path)
	}
	return nil
}
