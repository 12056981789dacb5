package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// A damagedError is of a compressed file that cannot be read back: it is not what was written.
type damagedError struct {
	name string
	err  error
}

func (e *damagedError) Error() string {
	return fmt.Sprintf("%s cannot be decompressed: %s", e.name, e.err)
}
func (e *damagedError) Unwrap() error { return e.err }

// OpenAll opens the whole log that path names, to read it from its first record to its last: all files of the session,
// closed and compressed ones among them, in their order. path may be any of these; Path is the usual one. What has no
// name of a log's is read by itself.
func OpenAll(path string) (io.ReadCloser, error) { return openAllFiles(path) }

// VerifyAll verifies the whole log that path names.
func VerifyAll(path string, want Expected) (Report, error) {
	w, err := openAllFiles(path)
	if err != nil {
		return Report{}, err
	}
	defer w.Close()
	r, err := Verify(w, want)
	if len(w.names) > 1 {
		r.Files = len(w.names)
		if r.Verdict == Broken {
			r.File = w.at(r.Offset)
		}
	}
	return r, err
}

// An allFiles is a log's files, read one after the other. A file that is compressed meanwhile stays the same to it.
type allFiles struct {
	dir    string
	names  []string
	begins []int64 // of the files that were opened
	live   *os.File
	now    io.ReadCloser
	read   int64
}

func openAllFiles(path string) (*allFiles, error) {
	dir, base := filepath.Split(path)
	session, _, _, ok := parseName(base)
	if !ok {
		f, err := Open(path)
		if err != nil {
			return nil, err
		}
		return &allFiles{dir: dir, names: []string{base}, live: f}, nil
	}
	for {
		before, err := find(dir, session)
		if err != nil {
			return nil, err
		}
		live, err := Open(Path(dir, session))
		if errors.Is(err, fs.ErrNotExist) && len(before.Files) > 0 {
			live, err = nil, nil
		}
		if err != nil {
			return nil, err
		}
		after, err := find(dir, session)
		if err == nil && before.last() == after.last() && before.live() == after.live() {
			return newAllFiles(dir, before, live), nil
		}
		if live != nil {
			live.Close() // it was closed meanwhile, and another one begun
		}
		if err != nil {
			return nil, err
		}
	}
}

// newAllFiles reads the closed files of a log and then the one that is written.
func newAllFiles(dir string, s Stored, live *os.File) *allFiles {
	w := &allFiles{dir: dir, live: live}
	for _, f := range s.Files {
		if f.Number > 0 {
			w.names = append(w.names, closedName(s.Session, f.Number))
		}
	}
	if live != nil {
		w.names = append(w.names, filepath.Base(Path(dir, s.Session)))
	}
	return w
}

// Read goes on with the next file where one ends.
func (w *allFiles) Read(p []byte) (int, error) {
	for {
		if w.now == nil {
			if len(w.begins) == len(w.names) {
				return 0, io.EOF
			}
			if err := w.next(); err != nil {
				return 0, err
			}
		}
		n, err := w.now.Read(p)
		w.read += int64(n)
		if errors.Is(err, io.EOF) {
			w.now.Close()
			w.now, err = nil, nil
			if n == 0 {
				continue
			}
		}
		return n, err
	}
}

func (w *allFiles) next() (err error) {
	n := len(w.begins)
	if w.live != nil && n == len(w.names)-1 {
		w.now, w.live = w.live, nil
	} else if w.now, err = openClosed(w.dir, w.names[n]); err != nil {
		w.now = nil
		return err
	}
	w.begins = append(w.begins, w.read)
	return nil
}

// at is the file in which a byte of the whole stands.
func (w *allFiles) at(offset int64) string {
	i, found := slices.BinarySearch(w.begins, offset)
	for found && i+1 < len(w.begins) && w.begins[i+1] == offset {
		i++ // an empty file
	}
	if !found {
		i--
	}
	if i < 0 {
		return ""
	}
	return w.names[i]
}

// Close gives the descriptors back.
func (w *allFiles) Close() error {
	var errs [2]error
	if w.now != nil {
		errs[0] = w.now.Close()
	}
	if w.live != nil {
		errs[1] = w.live.Close()
	}
	return errors.Join(errs[:]...)
}

// openClosed opens a closed file by its plain name, in whichever form it is there.
func openClosed(dir, name string) (io.ReadCloser, error) {
	f, err := Open(filepath.Join(dir, name))
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	packed := packedForm(name)
	if f, err = Open(filepath.Join(dir, packed)); err != nil {
		return nil, err
	}
	return unpack(f, packed)
}
