package audit

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A file is what a log is written to.
type file interface {
	Write([]byte) (int, error)
	Sync() error
	Truncate(size int64) error
	Close() error
}

var errKey = errors.New("the log's key is not an ed25519 key")

// Create makes the file, which only its owner may read, and which must not exist. The directory must belong to this
// user, and nobody else may write to it, or they could exchange the log.
func Create(dir string, o Options) (*Log, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	for _, name := range []string{closedName(o.Session, 1), packedName(o.Session, 1)} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return nil, &os.PathError{Op: "create", Path: Path(dir, o.Session), Err: fs.ErrExist}
		}
	}
	f, err := createFile(dir, o.Session)
	if err != nil {
		return nil, err
	}
	return start(Path(dir, o.Session), f, o), nil
}

func (o Options) check() error {
	if o.Session == "" || strings.ContainsAny(o.Session, "./\x00") {
		return fmt.Errorf("%q cannot be the name of a log", o.Session)
	}
	if o.Key != nil && len(o.Key) != ed25519.PrivateKeySize {
		return errKey
	}
	return nil
}

func start(path string, f file, o Options) *Log {
	l := newLog(path, f, o)
	l.begin()
	return l
}

// newLog makes a log whose writer does not run yet.
func newLog(path string, f file, o Options) *Log {
	if o.Secrets == nil {
		o.Secrets = &Redactor{}
	}
	l := &Log{options: o, path: path, file: f, encoder: encoder{secrets: o.Secrets}, opened: time.Now(), at: time.Now(),
		number: 1, wake: make(chan struct{}, 1), done: make(chan struct{})}
	if real, ok := f.(*logFile); ok {
		real.store.step = o.step
	} else {
		l.options.Rotate = 0
	}
	l.changed = sync.NewCond(&l.mu)
	return l
}

// createFile makes the file that is written, which nobody else writes from then on.
func createFile(dir, session string) (*logFile, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s, err := openStore(dir)
	if err != nil {
		return nil, err
	}
	f, err := s.begin(session)
	if err != nil {
		s.close()
	}
	return f, err
}

func (s *store) begin(session string) (*logFile, error) {
	f, err := s.create(filepath.Base(Path("", session)))
	if err != nil {
		return nil, err
	}
	s.at("made")
	if err := lockNew(f); err != nil {
		f.Close()
		return nil, err
	}
	return &logFile{File: f, store: s, session: session}, nil
}

// lockNew locks a file that this process has made. Who looks whether the session is over holds it for a moment, if it comes
// between: that must not end the log.
func lockNew(f *os.File) (err error) {
	for range 100 {
		if err = lock(f); !errors.Is(err, ErrBusy) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

func checkDir(d *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(d.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: d.Name(), Err: err}
	}
	if int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, who could exchange the log", d.Name(), st.Uid)
	}
	if st.Mode&0o022 != 0 {
		return fmt.Errorf("%s may be written by other users, who could exchange the log; run chmod go-w on it", d.Name())
	}
	return nil
}

// A logFile brings its name to disk with its first bytes: Create need not wait for that.
type logFile struct {
	*os.File
	store   *store // nil: another file has it
	session string
	named   bool // its name is on disk
}

// Sync leaves out what reading the file does not need, such as the time of change.
func (f *logFile) Sync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == unix.EINTR {
			continue
		}
		if err != nil || f.named {
			return err
		}
		break
	}
	err := f.store.dir.Sync()
	f.named = err == nil
	return err
}

// Close gives both descriptors back.
func (f *logFile) Close() error {
	if f.store != nil {
		f.store.close()
	}
	return f.File.Close()
}
