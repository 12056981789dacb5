package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// ledgerDir lies in the directory of the logs.
const ledgerDir = "shipped"

// A record is what the ledger has of one file: NAME.json.
type record struct {
	Version int     `json:"v"`
	Name    string  `json:"name"`
	Size    int64   `json:"size"`
	SHA256  string  `json:"sha256"`
	Changed int64   `json:"changed"` // of the inode, in nanoseconds; while it is this, the file need not be read again
	Shipped []entry `json:"shipped"`
}

// An entry is one archive of a file. Without a time, it may or may not have it.
type entry struct {
	Destination string     `json:"destination"`
	Begun       *time.Time `json:"begun,omitempty"`
	Time        *time.Time `json:"time,omitempty"`
}

func now() *time.Time {
	t := time.Now().UTC()
	return &t
}

func (r record) entry(destination string) entry {
	for _, e := range r.Shipped {
		if e.Destination == destination {
			return e
		}
	}
	return entry{Destination: destination}
}

// taken is an entry of an archive that has the file, or the zero value.
func (r record) taken() entry {
	for _, e := range r.Shipped {
		if e.Time != nil {
			return e
		}
	}
	return entry{}
}

func (r record) is(o *object) bool { return r.Size == o.size && r.SHA256 == o.sum && o.sum != "" }

func (r record) unchanged(o *object) bool { return r.Size == o.size && r.Changed == o.changed }

// with is the record of an object with an entry. What was noted of another content is void.
func (r record) with(o *object, e entry) record {
	out := record{Version: 1, Name: o.name, Size: o.size, SHA256: o.sum, Changed: o.changed}
	if r.is(o) {
		out.Shipped = slices.DeleteFunc(slices.Clone(r.Shipped), func(old entry) bool { return old.Destination == e.Destination })
	}
	out.Shipped = append(out.Shipped, e)
	return out
}

// A ledger is open for one pass.
type ledger struct {
	root *os.Root
	lock *os.File
	dir  *os.File
	path string
	step func(string)
}

func openLedger(dir string) (*ledger, error) {
	path := filepath.Join(dir, ledgerDir)
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	l := &ledger{root: root, path: path}
	if err := l.take(); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// take makes this process the only one that ships from here, until it ends.
func (l *ledger) take() error {
	var err error
	if l.dir, err = l.root.Open("."); err != nil {
		return err
	}
	if err := alone(l.dir); err != nil {
		return err
	}
	if l.lock, err = l.root.OpenFile(".lock", os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600); err != nil {
		return err
	}
	if err := unix.Flock(int(l.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return ErrBusy
	} else if err != nil {
		return &fs.PathError{Op: "flock", Path: l.path, Err: err}
	}
	return nil
}

// alone refuses a directory in which somebody else could write that a log was shipped: it would be removed here.
func alone(dir *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return fmt.Errorf("%s must be yours, and nobody else may write to it: chmod 700", dir.Name())
	}
	return nil
}

// trusted reports whether a directory is one that alone does not refuse.
func trusted(path string) bool {
	dir, err := os.Open(path)
	if err != nil {
		return false
	}
	defer dir.Close()
	return alone(dir) == nil
}

func (l *ledger) close() {
	for _, f := range []*os.File{l.lock, l.dir} {
		if f != nil {
			f.Close()
		}
	}
	l.root.Close()
}

func (l *ledger) read(name string) record {
	return readRecord(filepath.Join(l.path, name+".json"), name)
}

// maxRecord is more than the archives of a file take.
const maxRecord = 1 << 20

// readRecord reads what is noted of a file. One that cannot be read is none: its file is asked for at the archive again.
func readRecord(path, name string) record {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return record{}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRecord))
	var r record
	if err != nil || json.Unmarshal(data, &r) != nil || r.Version != 1 || r.Name != name {
		return record{}
	}
	return r
}

// write puts a record on disk before it returns.
func (l *ledger) write(r record) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return err
	}
	name, part := r.Name+".json", r.Name+".json.new"
	if err := l.root.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a pass that was killed
		return err
	}
	err := l.create(part, b.Bytes())
	if err == nil {
		l.at("noting")
		if err = l.root.Rename(part, name); err == nil {
			return l.dir.Sync()
		}
	}
	return errors.Join(fmt.Errorf("what was shipped cannot be noted in %s: %w", l.path, err), l.remove(part))
}

func (l *ledger) create(name string, data []byte) error {
	f, err := l.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func (l *ledger) at(step string) {
	if l.step != nil {
		l.step(step)
	}
}

func (l *ledger) remove(name string) error {
	if err := l.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
