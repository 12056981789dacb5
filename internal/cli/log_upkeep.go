package cli

import (
	"context"
	"crypto/ed25519"
	"errors"
	"sync"
	"time"

	"agentbox/internal/audit"
	"agentbox/internal/session"
	"agentbox/profile"
)

// tending is how long a run looks after old logs when its session is over. What is left then is for the next one.
const tending = 2 * time.Second

// shippingTime is how long it sends what is closed to the archive.
const shippingTime = 10 * time.Second

// upkeep is what the profile says of a directory of logs. What its archive does not have stays; if nobody can tell, all
// does.
func upkeep(a profile.Audit, dir, home string, key ed25519.PrivateKey) audit.Upkeep {
	has, err := shipped(dir, a, home)
	if err != nil {
		has = func(string) bool { return false }
	}
	return audit.Upkeep{Dir: dir, Retain: time.Duration(a.Retain), MaxSize: int64(a.MaxSize), Keep: undecided(), Key: key, Agentbox: version,
		Shipped: has, Prompt: a.Archive != "", Runs: running()}
}

// undecided tells the sessions whose logs must stay: those that run, and those with changes that nobody has decided about.
// Where they cannot be looked up, all stay.
func undecided() func(session string) bool {
	return among(true, func(k session.Kept) bool { // one that cannot be read counts as one with changes
		return k.Workspace != "" || k.Info.State == session.Running || k.Info.State == session.Unreadable
	})
}

// running tells the sessions that run, as far as that is on record.
func running() func(session string) bool {
	return among(false, func(k session.Kept) bool { return k.Info.State == session.Running })
}

// among tells some of the sessions that are on record. They are looked up when the first one is asked about; where that fails,
// the answer is unknown.
func among(unknown bool, some func(session.Kept) bool) func(session string) bool {
	look := sync.OnceValues(func() (map[string]bool, error) {
		root, err := recordsDir()
		if err != nil {
			return nil, err
		}
		records, err := session.Records(root)
		if err != nil && len(records) == 0 {
			return nil, err
		}
		answers := map[string]bool{}
		for _, k := range records {
			answers[k.Info.ID] = some(k)
		}
		return answers, nil
	})
	return func(id string) bool {
		answers, err := look()
		if err != nil {
			return unknown
		}
		return answers[id]
	}
}

// tend looks after the logs of earlier sessions. Nothing of this one depends on it, so that a signal ends it: the rest is for
// the next run.
func (r *recorder) tend() {
	if r == nil || r.log == nil {
		return
	}
	ctx, signals := newCourier(context.Background(), false)
	defer signals.stop()
	tidying, cancel := context.WithTimeout(ctx, tending)
	defer cancel()
	look := func() error { return r.upkeep.Run(tidying) }
	err := look()
	if r.upkeep.Prompt { // another one that is at it may have begun before this log ended, which is to go to the archive
		err = again(tidying, err, audit.ErrBusy, look)
	}
	if err != nil && !errors.Is(err, audit.ErrBusy) {
		r.c.voice.warnf("old logs could not be looked after: %s", err)
	}
	sending, stop := context.WithTimeout(ctx, shippingTime)
	defer stop()
	if err := r.c.ship(sending, r.upkeep.Dir, r.policy); err != nil {
		r.c.voice.warnf("the archive: %s", err)
		r.c.voice.hint(hintOf(err))
	}
}

// busyPause is how long a run leaves alone what another process is at.
const busyPause = 50 * time.Millisecond

// again does what another process was at, until it is done or the context is over.
func again(ctx context.Context, err, busy error, do func() error) error {
	for errors.Is(err, busy) && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(busyPause):
			err = do()
		}
	}
	return err
}
