package audit

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// closeAfter is how long the log of a session that has ended stays as it is, for those who look at it then.
const closeAfter = 24 * time.Hour

// Why a log was removed.
const (
	ByAge   = "age"
	BySize  = "size"
	ByAsked = "asked"
)

// An Upkeep keeps a directory of logs in order: it closes and compresses, finishes what was cut off, and removes what is
// too old or too much. It removes whole logs only, and never one of a session that runs, or that Keep or Shipped holds. Two
// at a time do not get into each other's way: the second one gets ErrBusy.
type Upkeep struct {
	Dir      string
	Retain   time.Duration                 // how long a log is kept after its last record; 0: for ever
	MaxSize  int64                         // bytes of the logs of sessions that have ended; 0: no bound
	Keep     func(session string) bool     // a session whose log stays; nil: none
	Runs     func(session string) bool     // a session that runs, also where no file can be locked; nil: the locks say so
	Shipped  func(name string) bool        // a file that is elsewhere, too, so that it may go; nil: all are
	Prompt   bool                          // closes a log as soon as its session is over: an archive takes closed files
	Key      ed25519.PrivateKey            // signs the record of what was removed; nil: no signature
	Agentbox string                        // the version of the program
	Removed  func(log Candidate, as error) // is told of each log that was removed, or could not be; nil: nobody is

	step func(string) // see store
}

// A Candidate is a log that is to be removed.
type Candidate struct {
	Stored
	Why string // ByAge, BySize or ByAsked
}

// A standing is what the choice goes by.
type standing struct {
	Stored
	runs, kept bool
}

// Run does all that there is to do, until ctx ends: what is left then is done next time.
func (u Upkeep) Run(ctx context.Context) error {
	s, err := u.hold()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // there are no logs
	}
	if err != nil {
		return err
	}
	defer s.close()
	entries, err := os.ReadDir(s.dir.Name())
	if err != nil {
		return err
	}
	logs := sessionLogs(entries)
	finished := u.finish(ctx, s, logs)
	chosen, err := u.choose(ctx, s, logs)
	if err == nil {
		err = u.remove(ctx, s, chosen)
	}
	return errors.Join(finished, err, u.tidy(ctx, s, entries, logs))
}

// Choose lists the logs that are too old, or too much, now; nothing is removed.
func (u Upkeep) Choose(ctx context.Context) ([]Candidate, error) {
	s, err := u.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer s.close()
	logs, err := Logs(s.dir.Name())
	if err != nil {
		return nil, err
	}
	return u.choose(ctx, s, logs)
}

// Remove removes logs, whatever their age, and says for each what became of it. It goes on behind one that cannot be
// removed, but not without a record.
func (u Upkeep) Remove(ctx context.Context, logs []Candidate) error {
	s, err := u.hold()
	if err != nil {
		return err
	}
	defer s.close()
	return u.remove(ctx, s, logs)
}

func (u Upkeep) open() (*store, error) {
	s, err := openStore(u.Dir)
	if err == nil {
		s.step = u.step
	}
	return s, err
}

// hold opens the directory for this upkeep alone.
func (u Upkeep) hold() (*store, error) {
	s, err := u.open()
	if err != nil {
		return nil, err
	}
	if err := lock(s.dir); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (u Upkeep) choose(ctx context.Context, s *store, logs []Stored) ([]Candidate, error) {
	now, total := time.Now(), int64(0)
	for _, log := range logs {
		total += log.Size
	}
	list := make([]standing, 0, len(logs))
	for _, log := range logs {
		if (u.MaxSize == 0 || total <= u.MaxSize) && !u.old(log, now) {
			continue // whatever it is, it stays
		}
		runs, err := s.runs(log)
		if err != nil {
			return nil, err
		}
		list = append(list, standing{Stored: log, runs: runs, kept: u.keeps(log.Session)})
	}
	return u.pick(list, now, u.shippedIn(ctx)), nil
}

// shippedIn is shipped for as long as there is time, and once in any case: it may have to read all of a log.
func (u Upkeep) shippedIn(ctx context.Context) func(Stored) bool {
	asked := false
	return func(log Stored) bool {
		if u.Shipped != nil && ctx.Err() != nil && (asked || !late(ctx)) {
			return false
		}
		asked = true
		return u.shipped(log)
	}
}

func (u Upkeep) keeps(session string) bool { return u.Keep != nil && u.Keep(session) }

func (u Upkeep) shipped(log Stored) bool {
	return u.Shipped == nil || !slices.ContainsFunc(log.Files, func(f File) bool { return !u.Shipped(f.Name) })
}

func (u Upkeep) old(log Stored, now time.Time) bool {
	return u.Retain > 0 && now.Sub(log.Changed) > u.Retain
}

// pick decides: what is too old, and then the oldest of the others until the rest is not too much. Whether a log is elsewhere
// is asked of none that stays anyway.
func (u Upkeep) pick(logs []standing, now time.Time, shipped func(Stored) bool) (chosen []Candidate) {
	logs = slices.DeleteFunc(slices.Clone(logs), func(l standing) bool { return l.runs })
	slices.SortStableFunc(logs, func(a, b standing) int { return a.Changed.Compare(b.Changed) })
	total := int64(0)
	for _, l := range logs {
		total += l.Size
	}
	for _, why := range []string{ByAge, BySize} {
		for _, l := range logs {
			wanted := u.old(l.Stored, now)
			if why == BySize {
				wanted = !wanted && u.MaxSize > 0 && total > u.MaxSize
			}
			if wanted && !l.kept && shipped(l.Stored) {
				chosen = append(chosen, Candidate{l.Stored, why})
				total -= l.Size
			}
		}
	}
	return chosen
}

// runs reports whether somebody writes a log, or has it for another reason.
func (s *store) runs(log Stored) (bool, error) {
	f, err := s.hold(log.Files[len(log.Files)-1].Name)
	if errors.Is(err, ErrBusy) {
		return true, nil
	}
	if f != nil {
		f.Close()
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return true, nil // it is being closed, or another user's: not ours to judge
	}
	return false, err
}

// finish removes what is left of logs whose removal is on record and was cut off. A record that somebody changed removes
// nothing.
func (u Upkeep) finish(ctx context.Context, s *store, logs []Stored) error {
	gone, err := u.removed(ctx)
	if err != nil {
		return err
	}
	logs = slices.DeleteFunc(slices.Clone(logs), func(log Stored) bool {
		when, ok := gone[log.Session]
		return !ok || !log.Changed.Before(when) || u.keeps(log.Session)
	})
	if len(logs) == 0 {
		return nil
	}
	path := Path(u.Dir, RetentionLog)
	if r, err := VerifyAll(path, Expected{}); err != nil {
		return err
	} else if r.Verdict == Broken {
		return fmt.Errorf("%s: %w: it is %s", path, ErrTampered, r)
	}
	for _, log := range logs {
		held, err := s.hold(log.Files[len(log.Files)-1].Name)
		if err == nil {
			err = s.erase(log, held)
		}
		if err != nil && !errors.Is(err, ErrBusy) {
			return err
		}
	}
	return nil
}

// removed are the sessions whose removal is on record, and when it was.
func (u Upkeep) removed(ctx context.Context) (map[string]time.Time, error) {
	gone := map[string]time.Time{}
	for r, err := range RemovedFrom(u.Dir) {
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, nil
		}
		if e, err := r.Event(); err == nil {
			if e, ok := e.(*Removed); ok {
				gone[string(e.Session)] = r.Time
			}
		}
	}
	return gone, nil
}

// erase removes all files of a log, whose last one is held: the youngest first. Where that is cut off, the rest reads as a
// log whose end is missing, and not as one that somebody cut something out of. The file that becomes the last one is held
// before that happens: nobody adds to what is being removed.
func (s *store) erase(log Stored, held *os.File) (err error) {
	for i, f := range slices.Backward(log.Files) {
		var before *os.File
		if i > 0 {
			if before, err = s.hold(log.Files[i-1].Name); err != nil {
				break
			}
		}
		err = s.remove(f.Name)
		if f.Number > 0 { // it may be there in both forms
			err = errors.Join(err, s.remove(packedName(log.Session, f.Number)), s.remove(closedName(log.Session, f.Number)))
		}
		held.Close()
		held = before
		if err != nil {
			break
		}
		s.at("a file removed")
	}
	if held != nil {
		held.Close()
	}
	if err != nil {
		return err
	}
	return s.dir.Sync()
}

// Stays says why a log must not be removed, or nothing.
func (u Upkeep) Stays(log Stored) (string, error) {
	s, err := u.open()
	if err != nil {
		return "", err
	}
	defer s.close()
	runs, err := s.runs(log)
	switch {
	case err != nil:
		return "", err
	case runs:
		return "its session runs, or another command adds to it", nil
	case u.keeps(log.Session):
		return "nobody has decided about the changes of its session", nil
	case !u.shipped(log):
		return "it is not in the archive yet", nil
	}
	return "", nil
}
