package audit

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrTampered says that a log is not as it was written, so that nothing may follow in it.
var ErrTampered = errors.New("somebody changed the log")

// ErrBusy says that another process writes the log.
var ErrBusy = errors.New("another process writes the log")

// Continue opens the log of a session that has ended for a further part: what people decide about it afterwards. The
// part begins with a record of the type log.continue, which binds to the last whole record before, and gets a seal of
// its own. What was verified to be broken is not continued. Where there is no log, the part is its beginning, and
// verification says what is missing.
//
// The chain has one key: with another than that of the records before, the part is not signed, see Signs.
func Continue(dir string, o Options, first Continued) (*Log, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	f, err := openLog(dir, o.Session)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = createFile(dir, o.Session)
	}
	if err != nil {
		return nil, err
	}
	v, err := f.resume(o.Session)
	if err != nil {
		f.Close()
		return nil, err
	}
	before := v.report
	if before.Key != "" && o.Key != nil && before.Key != hex.EncodeToString(o.Key[ed25519.PublicKeySize:]) {
		o.Key = nil
	}
	l := newLog(Path(dir, o.Session), f, o)
	l.seq, l.synced, l.signed, l.size = before.Records, before.Records, before.Records, before.Offset
	if _, err := hex.Decode(l.last[:], []byte(v.last)); err != nil {
		f.Close()
		return nil, err
	}
	l.begin()
	first.Records, first.Sealed, first.Torn = before.Records, v.sealed, before.Torn
	if err := l.Append(&first); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Signs reports whether the log's seal will be signed.
func (l *Log) Signs() bool { return l.options.Key != nil }

// openLog opens a log that exists, to add to it.
func openLog(dir, session string) (*logFile, error) {
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	if err := checkDir(d); err != nil {
		d.Close()
		return nil, err
	}
	const flags = unix.O_RDWR | unix.O_APPEND | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	path := Path(dir, session)
	fd, err := unix.Openat(int(d.Fd()), filepath.Base(path), flags, 0)
	if err != nil {
		d.Close()
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &logFile{File: os.NewFile(uintptr(fd), path), dir: d}, nil
}

// resume verifies what is there and cuts off what was not written to its end.
func (f *logFile) resume(session string) (*verifier, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", f.Name())
	}
	if err := f.lock(); err != nil {
		return nil, err
	}
	v, err := examine(f, Expected{})
	if err != nil {
		return nil, err
	}
	switch r := v.report; {
	case r.Verdict == Broken:
		return nil, fmt.Errorf("%s: %w: it is %s", f.Name(), ErrTampered, r)
	case r.Records > 0 && r.Session != session:
		return nil, fmt.Errorf("%s: %w: it is of session %q", f.Name(), ErrTampered, r.Session)
	case r.Torn > 0:
		err = f.Truncate(r.Offset)
	}
	return v, err
}

// lock keeps a second writer away as long as the file is open.
func (f *logFile) lock() error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return fmt.Errorf("%s: %w", f.Name(), ErrBusy)
	case errors.Is(err, unix.ENOLCK) || errors.Is(err, unix.EOPNOTSUPP):
		return nil // a network's disk; the session has its own lock
	}
	return err
}
