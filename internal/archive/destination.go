package archive

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"agentbox/internal/outside"
	"agentbox/internal/secret"
	"agentbox/profile"
)

// An Access is what an archive needs beside its name.
type Access struct {
	Place outside.Place  // where a program runs
	Token *secret.Source // nil: none is shown
	Roots *x509.CertPool // nil: the host's
}

// A Destination is an archive that files can be sent to.
type Destination struct {
	name     string
	store    store
	patience patience
	step     func(string) // nil, but in tests
}

// presence is what an archive says about a name. The zero value is that it does not.
type presence int

const (
	unknown presence = iota
	absent
	same
	other
)

// A store is one kind of archive. An error that can be of no matter when it is tried again is an *Error that says so.
type store interface {
	// find says whether the archive has the object.
	find(ctx context.Context, o *object) (presence, error)
	// put sends it. When something is there under its name, it returns errThere and has changed nothing.
	put(ctx context.Context, o *object) error
}

// errThere is that a name is taken, by whatever.
var errThere = errors.New("the archive has something under this name, and does not say what")

// New makes a destination of what audit.archive says. A directory's path must be without "~".
func New(a profile.Archive, access Access) (*Destination, error) {
	d := &Destination{name: a.String(), patience: usualPatience}
	switch a.Kind {
	case profile.ArchiveDir:
		d.store = &directory{path: a.Path}
	case profile.ArchiveCommand:
		d.store = &command{argv: a.Argv, place: access.Place, time: commandTime}
	case profile.ArchiveHTTP:
		d.store = &server{web: newWeb(access, d.patience), base: a.URL}
	case profile.ArchiveS3:
		if access.Token == nil {
			return nil, &Error{Err: errors.New("a bucket wants a key"), Hint: "name it in audit.archive_token, or with --token"}
		}
		d.store = newBucket(a, newWeb(access, d.patience))
	default:
		return nil, errors.New("no archive is named")
	}
	return d, nil
}

// String names the archive, in the ledger as well. It holds no secret.
func (d *Destination) String() string { return d.name }

// An Error is a failure with what to do about it, or after which to try again.
type Error struct {
	Err  error
	Hint string

	again bool          // it may go away by itself
	after time.Duration // before which the archive wants to hear nothing
	all   bool          // no other file would fare better
}

// Error is the failure's text.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap is the failure.
func (e *Error) Unwrap() error { return e.Err }

// patience is how often and for how long an archive is tried.
type patience struct {
	tries       int
	first, most time.Duration // before the second attempt, which doubles; and at the most
	stall       time.Duration // without a byte in either direction
}

var usualPatience = patience{tries: 5, first: 500 * time.Millisecond, most: 30 * time.Second, stall: time.Minute}

// wait is how long to wait after so many attempts: half of it by chance, so that machines that failed together do not come
// back together.
func (p patience) wait(attempts int, after time.Duration) time.Duration {
	d := p.most
	if attempts < 16 {
		d = min(d, p.first<<(attempts-1))
	}
	d = d/2 + rand.N(d/2+1)
	return min(max(d, after), max(p.most, d))
}

// deliver brings an object to the archive, or finds it there.
func (d *Destination) deliver(ctx context.Context, o *object) (Outcome, error) {
	for attempt := 1; ; attempt++ {
		outcome, err := d.attempt(ctx, o)
		if ctx.Err() != nil && err != nil {
			return Failed, context.Cause(ctx)
		}
		var e *Error
		if err == nil || !errors.As(err, &e) || !e.again {
			return outcome, err
		}
		if attempt >= d.patience.tries {
			e.all = true
			return Failed, fmt.Errorf("%w (%d attempts)", err, attempt)
		}
		o.retry = true
		pause := time.NewTimer(d.patience.wait(attempt, e.after))
		select {
		case <-ctx.Done():
			pause.Stop()
			return Failed, context.Cause(ctx)
		case <-pause.C:
		}
	}
}

func (d *Destination) attempt(ctx context.Context, o *object) (Outcome, error) {
	found, err := d.store.find(ctx, o)
	if err != nil || found == same || found == other {
		return judged(found, err)
	}
	o.at("put")
	err = d.store.put(ctx, o)
	if !errors.Is(err, errThere) {
		return Sent, err
	}
	if found, err = d.store.find(ctx, o); err == nil && found == absent {
		return Failed, &Error{Err: errors.New("the archive refused the name as taken, and has nothing under it"), again: true}
	} else if err == nil && found == unknown {
		return Failed, &Error{Err: errThere, Hint: "let the archive's token read what it wrote, so that it can be compared"}
	}
	return judged(found, err)
}

func judged(found presence, err error) (Outcome, error) {
	switch {
	case err != nil:
		return Failed, err
	case found == same:
		return There, nil
	}
	return Failed, &Error{Err: errOther, Hint: "compare the two, and move one of them away"}
}
