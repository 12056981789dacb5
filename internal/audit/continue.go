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

// errUnsigned says that a log is signed, and the key for a further part is not there.
var errUnsigned = errors.New("the log is signed, and its key is not there")

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
		f, err = beginAfter(dir, o.Session)
	}
	if err != nil {
		return nil, err
	}
	v, number, err := f.resume()
	if err != nil {
		f.Close()
		return nil, err
	}
	before := v.report
	if before.Key != "" && (o.Key == nil || before.Key != hex.EncodeToString(o.Key[ed25519.PublicKeySize:])) {
		if o.signs {
			f.Close()
			return nil, errUnsigned
		}
		o.Key = nil
	}
	if before.Torn > 0 {
		if err := f.Truncate(v.size); err != nil {
			f.Close()
			return nil, err
		}
	}
	l := newLog(Path(dir, o.Session), f, o)
	l.seq, l.synced, l.signed, l.size = before.Records, before.Records, before.Records, v.size
	l.number, l.chained = number, v.size
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

// openLog opens the file that is written, of a log that exists, to add to it.
func openLog(dir, session string) (*logFile, error) {
	s, err := openStore(dir)
	if err != nil {
		return nil, err
	}
	f, err := s.reopen(session)
	if err != nil {
		s.close()
	}
	return f, err
}

func (s *store) reopen(session string) (*logFile, error) {
	name := filepath.Base(Path("", session))
	f, err := s.openat("open", name, unix.O_RDWR|unix.O_APPEND)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", f.Name())
	}
	if err == nil {
		err = lock(f)
	}
	if err == nil {
		if same, nerr := s.names(name, f); nerr != nil || !same { // it was closed or removed before the lock was ours
			err = errors.Join(nerr, fmt.Errorf("%s: %w", f.Name(), ErrBusy))
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &logFile{File: f, store: s, session: session}, nil
}

// beginAfter makes another file of a log of which all files are closed, or the only one of a log that is lost. Who
// removes the log holds its last file.
func beginAfter(dir, session string) (*logFile, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s, err := openStore(dir)
	if err != nil {
		return nil, err
	}
	f, err := s.beginBehind(session)
	if err != nil {
		s.close()
	}
	return f, err
}

func (s *store) beginBehind(session string) (*logFile, error) {
	files, err := s.find(session)
	if err != nil {
		return nil, err
	}
	if n := len(files.Files); n > 0 {
		held, err := s.hold(files.Files[n-1].Name)
		if err != nil {
			return nil, err
		}
		defer held.Close()
	}
	return s.begin(session)
}

// hold locks a file of a log, so that nobody adds to the log or removes it.
func (s *store) hold(name string) (*os.File, error) {
	f, err := s.openToLock(name)
	if err != nil {
		return nil, err
	}
	err = lock(f)
	if err == nil {
		if same, nerr := s.names(name, f); nerr != nil || !same {
			err = errors.Join(nerr, fmt.Errorf("%s: %w", f.Name(), ErrBusy))
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// resume verifies what is there, and how much of it is whole records.
func (f *logFile) resume() (v *verifier, number int, err error) {
	files, err := f.store.find(f.session)
	if err != nil {
		return nil, 0, err
	}
	again, err := f.store.open(filepath.Base(f.Name())) // it is read to its end, and closed there
	if err != nil {
		return nil, 0, err
	}
	w := newAllFiles(f.store.dir.Name(), files, again)
	defer w.Close()
	if v, err = examine(w, Expected{}); err != nil {
		return nil, 0, err
	}
	live := int64(0) // bytes of whole records in this file
	if len(w.begins) == len(w.names) {
		live = v.report.Offset - w.begins[len(w.begins)-1]
	}
	switch r := v.report; {
	case r.Verdict == Broken:
		return nil, 0, fmt.Errorf("%s: %w: it is %s", f.Name(), ErrTampered, r)
	case r.Records > 0 && r.Session != f.session:
		return nil, 0, fmt.Errorf("%s: %w: it is of session %q", f.Name(), ErrTampered, r.Session)
	case live < 0:
		return nil, 0, fmt.Errorf("%s: %w: a closed file does not end with a whole record", f.Name(), ErrTampered)
	}
	v.size = live
	return v, files.last() + 1, nil
}
