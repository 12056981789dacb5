package audit

import (
	"context"
	"errors"
	"io/fs"
	"os"
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
		if log.live() && u.closes(log) {
			closed, err := u.shut(s, log)
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

// closes reports whether it is time to close a log. On a disk without locks one that is written looks as if nobody had it.
func (u Upkeep) closes(log Stored) bool {
	if u.Prompt {
		return u.Runs == nil || !u.Runs(log.Session)
	}
	return time.Since(log.Changed) > closeAfter && !u.keeps(log.Session)
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
	f, err := s.openToLock(plain)
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

// shut closes the last file of a session that is over. Where its last record was not written to its end, that is cut off
// first, which a part of the log says.
func (u Upkeep) shut(s *store, log Stored) ([]File, error) {
	f, whole, err := s.over(log)
	if f != nil && !whole {
		f.File.Close()
		if err = u.mend(log.Session); err == nil {
			f, whole, err = s.over(log)
		}
	}
	switch {
	case errors.Is(err, ErrBusy) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, ErrTampered) || errors.Is(err, errUnsigned):
		return nil, nil // it goes on, is another user's, or must stay as it is
	case err != nil || f == nil:
		return nil, err
	}
	defer f.File.Close()
	if !whole {
		return nil, nil
	}
	if log, err = s.find(log.Session); err != nil { // as it is now that nobody adds to it: others may have closed files since it was listed
		return nil, err
	}
	name := closedName(log.Session, log.last()+1)
	if err := s.shelve(filepath.Base(Path("", log.Session)), name); err != nil {
		return nil, err
	}
	s.at("shut")
	return []File{{Name: name, Number: log.last() + 1}}, nil
}

// over opens the last file of a session that is over, which nobody adds to then; whole is that it ends with a record. An
// empty file is none.
func (s *store) over(log Stored) (f *logFile, whole bool, err error) {
	if f, err = s.reopen(log.Session); err != nil {
		return nil, false, err
	}
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		f.File.Close()
		return nil, false, err
	}
	end := make([]byte, 1)
	if _, err := f.ReadAt(end, st.Size()-1); err != nil {
		f.File.Close()
		return nil, false, err
	}
	return f, end[0] == '\n', nil
}

// mend cuts off what a writer that was killed left of a record. The log stays unsealed for ever.
func (u Upkeep) mend(session string) error {
	l, err := Continue(u.Dir, Options{Session: session, Key: u.Key, signs: true}, Continued{Agentbox: Text(u.Agentbox), UID: os.Getuid(), PID: os.Getpid()})
	if err != nil {
		return err
	}
	return l.Close()
}
