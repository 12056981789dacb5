package audit

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A Snapshot is a whole log as it lies in its directory at one moment, for somebody who copies it. Its files stay what they
// are, whatever is closed, compressed or removed meanwhile.
type Snapshot struct {
	Files []SnapshotFile // in the order of their records
}

// A SnapshotFile is one of a log's, as far as it had been written.
type SnapshotFile struct {
	Name string
	Size int64
	file *os.File
}

// Bytes reads the file as it lies there.
func (f SnapshotFile) Bytes() io.Reader { return io.NewSectionReader(f.file, 0, f.Size) }

// Take opens every file of the log that path names.
func Take(path string) (*Snapshot, error) {
	dir, base := filepath.Split(path)
	session, _, _, ok := parseName(base)
	for ok {
		before, err := find(dir, session)
		if err != nil {
			return nil, err
		}
		if len(before.Files) == 0 {
			break
		}
		s := &Snapshot{}
		for _, f := range before.Files {
			if err = s.add(dir, f.Name); err != nil {
				break
			}
		}
		if after, lookErr := find(dir, session); err == nil && lookErr == nil && before.last() == after.last() && before.live() == after.live() {
			return s, nil
		}
		s.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // which one is that was closed or compressed meanwhile
			return nil, err
		}
	}
	s := &Snapshot{}
	return s, s.add(dir, base)
}

func (s *Snapshot) add(dir, name string) error {
	f, err := Open(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	s.Files = append(s.Files, SnapshotFile{Name: name, Size: st.Size(), file: f})
	return nil
}

// Reader reads the log's records, from the first file to the last.
func (s *Snapshot) Reader() (io.Reader, error) {
	var all []io.Reader
	for _, f := range s.Files {
		if _, _, packed, ok := parseName(f.Name); ok && packed {
			r, err := unpack(io.NopCloser(f.Bytes()), f.Name)
			if err != nil {
				return nil, err
			}
			all = append(all, r)
			continue
		}
		all = append(all, f.Bytes())
	}
	return io.MultiReader(all...), nil
}

// Close gives the descriptors back.
func (s *Snapshot) Close() {
	if s == nil {
		return
	}
	for _, f := range s.Files {
		f.file.Close()
	}
}
