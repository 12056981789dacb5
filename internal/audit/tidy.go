package audit

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"time"
)

// tidy removes what cut-off compressions left, compresses closed files, and closes the logs of sessions that are over.
// What was removed since they were listed is nothing to do.
func (u Upkeep) tidy(ctx context.Context, s *store, entries []fs.DirEntry, logs []Stored) error {
	var errs []error
	var packs []string
	for _, e := range entries {
		if _, ok := isPart(e.Name()); ok {
			errs = append(errs, s.sweep(e.Name()))
		}
	}
	for _, log := range logs {
		if ctx.Err() != nil {
			break
		}
		if log.live() && time.Since(log.Changed) > closeAfter && !u.keeps(log.Session) {
			closed, err := s.shut(log)
			errs = append(errs, err)
			log.Files = append(log.Files, closed...)
		}
		for _, f := range log.Files {
			if f.Number > 0 && !f.Compressed {
				packs = append(packs, f.Name)
			}
		}
	}
	err := errors.Join(append(errs, s.packCalmly(ctx, packs))...)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // the rest is for the next one
	}
	return err
}

// packCalmly compresses files and yields to everything else that runs.
func (s *store) packCalmly(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	done := make(chan error, 1)
	go func() {
		calm()
		var errs []error
		for _, name := range names {
			errs = append(errs, s.pack(ctx, name))
		}
		done <- errors.Join(errs...)
	}()
	return <-done
}

// sweep removes what a compression left that was cut off. Who compresses holds the plain file.
func (s *store) sweep(part string) error {
	plain := part[1:len(part)-len(packedEnd)-len(partEnd)] + plainEnd
	f, err := s.open(plain)
	if errors.Is(err, fs.ErrNotExist) {
		return s.remove(part)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := lock(f); errors.Is(err, ErrBusy) {
		return nil
	} else if err != nil {
		return err
	}
	return s.remove(part)
}

// shut closes the last file of a session that is over. One whose last record was not written to its end stays as it is:
// what is decided later has to cut that off.
func (s *store) shut(log Stored) ([]File, error) {
	f, err := s.reopen(log.Session)
	if errors.Is(err, ErrBusy) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, nil // it goes on, or is another user's
	}
	if err != nil {
		return nil, err
	}
	defer f.File.Close()
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return nil, err
	}
	end := make([]byte, 1)
	if _, err := f.ReadAt(end, st.Size()-1); err != nil || end[0] != '\n' {
		return nil, err
	}
	name := closedName(log.Session, log.last()+1)
	if err := s.shelve(filepath.Base(Path("", log.Session)), name); err != nil {
		return nil, err
	}
	s.at("shut")
	return []File{{Name: name, Number: log.last() + 1}}, nil
}
