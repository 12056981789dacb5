package session

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// takeLock locks a session's directory for this process, or returns ErrRunning.
// The lock is taken on a file that is still in place: whoever deletes it holds
// it, so a link count of zero means that the directory is gone or going.
func takeLock(d dir) (int, error) {
	fd, err := d.file(LockFile, unix.O_RDWR|unix.O_CREAT)
	if err != nil {
		return -1, err
	}
	if err := tryLock(fd); err != nil {
		unix.Close(fd)
		return -1, lockError(d, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Nlink == 0 {
		unix.Close(fd)
		return -1, ErrRunning
	}
	return fd, nil
}

func lockError(d dir, err error) error {
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrRunning
	}
	return fmt.Errorf("lock %s: %w", filepath.Join(d.path, LockFile), err)
}

// lockHeld says whether a process holds the session's lock, without taking it.
func lockHeld(d dir) (bool, error) {
	fd, err := d.file(LockFile, unix.O_RDONLY)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	query := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &query); err != nil {
		return false, fmt.Errorf("lock %s: %w", filepath.Join(d.path, LockFile), err)
	}
	return query.Type != unix.F_UNLCK, nil
}

func tryLock(fd int) error {
	return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
}
