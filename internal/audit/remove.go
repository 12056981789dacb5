package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"time"
)

// unverified is the verdict of a log that was removed before all of it was read.
const unverified = "unverified"

// remove removes logs one after the other. What each was is on disk before it goes.
func (u Upkeep) remove(ctx context.Context, s *store, logs []Candidate) (err error) {
	if len(logs) == 0 {
		return nil
	}
	var ledger *Log
	defer func() {
		if ledger != nil {
			err = errors.Join(err, ledger.Close())
		}
	}()
	for i, c := range logs {
		if ctx.Err() != nil && (i > 0 || !late(ctx)) {
			return err // where time is short, one goes all the same, however long it is: it must not stop the others for ever
		}
		if ledger == nil {
			if ledger, err = u.ledger(); err != nil {
				return err
			}
		}
		gone := u.removeOne(ctx, s, ledger, c)
		if u.Removed != nil {
			u.Removed(c, gone)
		}
		err = errors.Join(err, gone)
	}
	return err
}

// ledger opens the log of what was removed.
func (u Upkeep) ledger() (*Log, error) {
	o := Options{Session: RetentionLog, Key: u.Key}
	files, err := find(u.Dir, RetentionLog)
	if err != nil {
		return nil, err
	}
	if len(files.Files) == 0 {
		return Create(u.Dir, o)
	}
	return Continue(u.Dir, o, Continued{Agentbox: Text(u.Agentbox), UID: os.Getuid(), PID: os.Getpid()})
}

func (u Upkeep) removeOne(ctx context.Context, s *store, ledger *Log, c Candidate) error {
	log, err := s.find(c.Session)
	if err != nil || len(log.Files) == 0 {
		return err
	}
	held, err := s.hold(log.Files[len(log.Files)-1].Name)
	if err != nil {
		return err
	}
	if log, err = s.find(c.Session); err == nil && (u.keeps(c.Session) || !log.Changed.Equal(c.Changed)) {
		err = fmt.Errorf("the log of session %s was added to meanwhile, or must stay", c.Session) // since it was chosen
	}
	var e *Removed
	if err == nil {
		e, err = u.describe(ctx, log, c.Why)
	}
	if err == nil {
		err = ledger.Commit(e)
	}
	if err != nil {
		held.Close()
		return err
	}
	s.at("removal on record")
	return s.erase(log, held)
}

// describe says what a log was.
func (u Upkeep) describe(ctx context.Context, log Stored, why string) (*Removed, error) {
	w, err := openAllFiles(Path(u.Dir, log.Session))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	e := &Removed{Session: Text(log.Session), Bytes: log.Size, Changed: Text(log.Changed.UTC().Format(time.RFC3339)), Why: Text(why),
		UID: os.Getuid(), Agentbox: Text(u.Agentbox)}
	for _, f := range log.Files {
		e.Files = append(e.Files, Text(f.Name))
	}
	r, err := Verify(hurried{ctx, w}, Expected{})
	switch {
	case err != nil && late(ctx):
		e.Verdict = unverified
	case err != nil:
		return nil, err
	default:
		e.Verdict, e.Detail = Text(r.Verdict), Text(r.Why)
	}
	e.Records, e.Last, e.Key = r.Records, Text(r.Last), Text(r.Key)
	return e, nil
}

// late reports whether the time is over, and nobody stopped this.
func late(ctx context.Context) bool { return errors.Is(ctx.Err(), context.DeadlineExceeded) }

// hurried is a reader that ends with its context.
type hurried struct {
	ctx context.Context
	r   io.Reader
}

func (h hurried) Read(p []byte) (int, error) {
	if err := h.ctx.Err(); err != nil {
		return 0, err
	}
	return h.r.Read(p)
}

// RemovedFrom reads what was removed from a directory, and when, the oldest first.
func RemovedFrom(dir string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		path := Path(dir, RetentionLog)
		f, err := OpenAll(path)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			yield(Record{}, err)
			return
		}
		defer f.Close()
		for r, err := range Read(f, Filter{Types: []string{(Removed{}).Type()}}) {
			if err != nil {
				err = fmt.Errorf("%s: %w", path, err)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}
