// Package session keeps what is known about running boxes on disk: IDs, locks,
// control sockets, and the sweep of what a dead supervisor left.
//
// A session is a directory named by its ID below a root that only this user can
// write. Its supervisor holds a write lock on the file "lock" for as long as it
// lives, so a session is alive exactly while the lock is held; a process ID is
// never taken as a sign of life. The lock is an open-file-description lock
// (fcntl(2), F_OFD_SETLK): the kernel drops it however the holder ends, and
// others can ask about it without taking it.
//
// Nothing here follows a symbolic link, enters a directory that another user
// owns or may write, or crosses a mount point while deleting. Nothing is synced
// to disk: this is state of the running system and does not outlive a reboot.
// The package defends against other users, not against processes of the same
// user that can write the root; those are kept out by the box.
package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Names of a session's files and directories. RootFS and State are made by
// whoever starts the box; everything below the session is removed with it.
const (
	LockFile   = "lock"
	InfoFile   = "session.json"
	SocketFile = "control.sock"
	AttachFile = "attach.sock"
	RootFSDir  = "rootfs"
	StateDir   = "state"
)

// States of a session.
const (
	Starting   = "starting"
	Running    = "running"
	Frozen     = "frozen"     // stopped by OpFreeze, until OpResume
	Unreadable = "unreadable" // alive, but its session.json says nothing usable
	Ended      = "ended"      // of a Record: with a result
	Lost       = "lost"       // of a Record: its supervisor ended without a result, as when it is killed
)

// Errors that callers tell apart with errors.Is.
var (
	ErrNotFound  = errors.New("no such session")
	ErrAmbiguous = errors.New("ambiguous session ID")
	ErrRunning   = errors.New("session is running")
	ErrExists    = errors.New("session exists already")
)

// errSwept says that a sweep took a directory before its maker had locked it.
var errSwept = errors.New("directory was swept")

// createAttempts bounds how often Create starts over after losing to a sweep.
const createAttempts = 1000

// A Session is one locked session directory. Its methods may be called from
// several goroutines.
type Session struct {
	id   string
	root dir
	dir  dir

	mu       sync.Mutex
	lock     int // -1 when closed
	info     Info
	listener *net.UnixListener
	attach   *net.UnixListener
}

// Create makes the directory of a new session, locks it and writes what is known
// about it. An empty info.ID is replaced by a new one; PID, StartTicks, Started
// and State are filled in when zero. The session becomes visible under its ID
// only when it is locked and complete.
func Create(root string, info Info) (*Session, error) {
	if info.ID != "" && !ValidID(info.ID) {
		return nil, fmt.Errorf("%q is not a session ID", info.ID)
	}
	if err := info.complete(); err != nil {
		return nil, err
	}
	anyID := info.ID == ""
	for range createAttempts {
		if anyID {
			info.ID = NewID()
		}
		s, err := create(root, info)
		if errors.Is(err, errSwept) || anyID && errors.Is(err, ErrExists) {
			continue
		}
		return s, err
	}
	return nil, fmt.Errorf("session %s: another process keeps removing its directory", info.ID)
}

func create(root string, info Info) (*Session, error) {
	r, err := openDir(root)
	if err != nil {
		return nil, fmt.Errorf("session directory: %w", err)
	}
	// A sweep may take an unlocked directory at any moment; it does so by the
	// same lock, so whoever loses notices and starts over with another name.
	name := partPrefix + NewID()
	s, err := lockNew(r, name)
	if err != nil {
		r.close()
		return nil, fmt.Errorf("session %s: %w", info.ID, err)
	}
	s.id, s.info = info.ID, info
	if err := s.publish(name); err != nil {
		s.id = name // what Close has to remove
		return nil, errors.Join(fmt.Errorf("session %s: %w", info.ID, err), s.Close())
	}
	return s, nil
}

func lockNew(r dir, name string) (*Session, error) {
	if err := unix.Mkdirat(r.fd, name, 0o700); err != nil {
		return nil, &os.PathError{Op: "mkdir", Path: filepath.Join(r.path, name), Err: err}
	}
	d, err := r.open(name)
	if errors.Is(err, unix.ENOENT) {
		return nil, errSwept
	}
	if err != nil {
		return nil, err
	}
	lock, err := takeLock(d)
	if err != nil {
		d.close()
		if errors.Is(err, ErrRunning) || errors.Is(err, unix.ENOENT) {
			return nil, errSwept
		}
		return nil, err
	}
	return &Session{root: r, dir: d, lock: lock}, nil
}

// publish writes session.json and gives the directory its final name.
func (s *Session) publish(name string) error {
	data, err := json.Marshal(s.info)
	if err != nil {
		return err
	}
	if err := s.dir.writeFile(InfoFile, data); err != nil {
		return err
	}
	// Rename replaces an empty directory only, and a session is never empty: its
	// lock is there first and goes last.
	err = unix.Renameat(s.root.fd, name, s.root.fd, s.id)
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTEMPTY) {
		return ErrExists
	}
	if err != nil {
		return &os.PathError{Op: "rename", Path: s.dir.path, Err: err}
	}
	s.dir.path = filepath.Join(s.root.path, s.id)
	return nil
}

// Claim takes over what a dead supervisor left. Until Close removes it, no other
// sweep touches it. The name is one that Stale returned. A session that is alive
// gives ErrRunning.
func Claim(root, name string) (*Session, error) {
	if !validName(name) {
		return nil, fmt.Errorf("%q is not a session ID", name)
	}
	r, err := openDir(root)
	if err != nil {
		return nil, fmt.Errorf("session directory: %w", err)
	}
	d, err := r.open(name)
	if err != nil {
		r.close()
		return nil, fmt.Errorf("session %s: %w", name, missing(err))
	}
	lock, err := takeLock(d)
	if err != nil {
		d.close()
		r.close()
		return nil, fmt.Errorf("session %s: %w", name, missing(err))
	}
	s := &Session{id: name, root: r, dir: d, lock: lock}
	s.info, err = readInfo(d, name)
	if err != nil {
		s.info = Info{ID: name, State: Unreadable}
	}
	return s, nil
}

// missing turns "no such file" into ErrNotFound.
func missing(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return ErrNotFound
	}
	return err
}

// Remove deletes what a dead supervisor left under name. A session that is alive
// gives ErrRunning and stays as it is.
func Remove(root, name string) error {
	s, err := Claim(root, name)
	if err != nil {
		return err
	}
	return s.Close()
}

// ID returns the session's ID.
func (s *Session) ID() string { return s.id }

// Dir returns the path of the session's directory.
func (s *Session) Dir() string { return s.dir.path }

// Info returns what was last written about the session.
func (s *Session) Info() Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.info.clone()
}

// Update changes what is known about the session. Readers see the old or the new
// text, never a part of it. The ID cannot change.
func (s *Session) Update(change func(*Info)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock < 0 {
		return fmt.Errorf("session %s is closed", s.id)
	}
	next := s.info.clone()
	change(&next)
	next.ID = s.info.ID
	next.Started = next.Started.Round(0)
	data, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("session %s: %w", s.id, err)
	}
	if err := s.dir.replaceFile(InfoFile, data); err != nil {
		return fmt.Errorf("session %s: %w", s.id, err)
	}
	s.info = next
	return nil
}

// Close removes the session's directory and releases its lock. It stops Serve
// from taking further connections. What cannot be removed, such as a directory
// with something still mounted on it, is named in the error and is left for a
// later sweep. A second Close does nothing.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock < 0 {
		return nil
	}
	for _, l := range []*net.UnixListener{s.listener, s.attach} {
		if l != nil {
			l.Close()
		}
	}
	err := s.remove()
	unix.Close(s.lock)
	s.lock = -1
	s.dir.close()
	s.root.close()
	if err != nil {
		return fmt.Errorf("session %s: %w", s.id, err)
	}
	return nil
}

func (s *Session) remove() error {
	// First the text, so that listings stop showing the session; the lock last,
	// so that nobody claims a directory that is being emptied.
	if err := s.dir.remove(InfoFile); err != nil {
		return err
	}
	for {
		if err := s.dir.empty(LockFile); err != nil {
			return err
		}
		if err := s.dir.remove(LockFile); err != nil {
			return err
		}
		err := unix.Unlinkat(s.root.fd, s.id, unix.AT_REMOVEDIR)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.ENOTEMPTY) {
			return &os.PathError{Op: "rmdir", Path: s.dir.path, Err: err}
		}
		// Somebody made a new lock between the two calls. If it is held, the
		// directory is theirs now.
		lock, err := takeLock(s.dir)
		if errors.Is(err, ErrRunning) || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return err
		}
		unix.Close(s.lock)
		s.lock = lock
	}
}

// now is the time as it is written to disk: without a monotonic reading.
func now() time.Time { return time.Now().Round(0) }
