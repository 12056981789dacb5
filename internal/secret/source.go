package secret

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	lookEvery  = time.Second      // a file is looked at no more often
	earlyBy    = time.Minute      // before its end a secret is read again, or at
	earlyAt    = 0.8              // of its life, if that is earlier, but not before
	earlyLeast = 0.5              // of it, or one that lives for a minute would be read without end
	retryEvery = 10 * time.Second // after a failure, while the present one is good
	retryEnded = time.Second      // after a failure, when it is not
)

var errClosed = errors.New("the secret's source is closed")

// A Source is a reference that is read again when its secret changes or ends. It may be used by several goroutines at once.
type Source struct {
	now   func() time.Time
	read  func(context.Context) (reading, error)
	looks bool // the reference is one to look at again and again: a file

	life   context.Context
	cancel context.CancelFunc

	mu        sync.Mutex
	value     Value
	ends      time.Time // zero: never
	due       time.Time // when to read again; zero: never
	flight    chan struct{}
	failure   error // of the last reading
	onRefresh func(error)
}

// A reading is what a reference led to. One that is the same as before has no value.
type reading struct {
	value Value
	ends  time.Time
}

// Open reads a reference once, so that a secret that is missing is known at the start, and returns where to get it from then
// on. A secret with a control character inside is refused.
func (r Reader) Open(ctx context.Context, reference string) (*Source, error) {
	s := &Source{now: r.now}
	if s.now == nil {
		s.now = time.Now
	}
	switch kind, rest, _ := strings.Cut(reference, ":"); kind {
	case "file":
		s.looks = true
		s.read = (&watched{reader: r, path: r.expanded(rest)}).read
	case "command":
		s.read = func(ctx context.Context) (reading, error) {
			asked := s.clock()
			text, err := r.Read(ctx, reference)
			if err != nil {
				return reading{}, err
			}
			value, ends, err := parseToken(text, asked)
			return reading{value, ends}, err
		}
	default:
		s.read = func(ctx context.Context) (reading, error) {
			text, err := r.Read(ctx, reference)
			if err != nil {
				return reading{}, err
			}
			value, err := newValue(text)
			return reading{value: value}, err
		}
	}
	first, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	s.life, s.cancel = context.WithCancel(context.Background())
	s.take(first)
	return s, nil
}

// clock is the time without the monotonic clock, which stands still while the machine sleeps; a token's end does not.
func (s *Source) clock() time.Time { return s.now().Round(0) }

// Get returns the secret. While that is good it does not wait for a newer one, which is read meanwhile when the end is
// near; a file that has changed is read first. After the end it waits for the new one, and fails when there is none.
func (s *Source) Get(ctx context.Context) (Value, error) {
	s.mu.Lock()
	if s.life.Err() != nil {
		s.mu.Unlock()
		return Value{}, errClosed
	}
	now := s.clock()
	good := s.good(now)
	flight, mine := s.flight, false
	if flight == nil && !s.due.IsZero() && !now.Before(s.due) {
		flight, mine = s.start(), true
	}
	if good && !(mine && s.looks) {
		defer s.mu.Unlock()
		return s.value, nil
	}
	s.mu.Unlock()
	if flight != nil {
		select {
		case <-flight:
		case <-ctx.Done():
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.life.Err() != nil:
		return Value{}, errClosed
	case s.good(s.clock()):
		return s.value, nil
	case ctx.Err() != nil:
		return Value{}, ctx.Err()
	case s.failure != nil:
		return Value{}, fmt.Errorf("the secret has ended, and there is no new one: %w", s.failure)
	}
	return Value{}, errors.New("the secret has ended")
}

func (s *Source) good(now time.Time) bool { return s.ends.IsZero() || now.Before(s.ends) }

// start reads the reference again, once for all who wait. The mutex is held.
func (s *Source) start() chan struct{} {
	done := make(chan struct{})
	s.flight = done
	go func() {
		defer close(done)
		next, err := s.read(s.life)
		s.mu.Lock()
		s.flight = nil
		tell := s.onRefresh
		switch {
		case s.life.Err() != nil:
			tell = nil
		case err != nil:
			if s.looks && s.failure != nil && s.failure.Error() == err.Error() {
				tell = nil // it is looked at every second
			}
			s.fail(err)
		default:
			if next.value.IsZero() {
				tell = nil
			}
			s.take(next)
		}
		s.mu.Unlock()
		if tell != nil {
			tell(err)
		}
	}()
	return done
}

// take makes a reading the present one. The mutex is held, or nobody knows the Source yet.
func (s *Source) take(next reading) {
	now := s.clock()
	s.failure = nil
	if !next.value.IsZero() {
		s.value, s.ends = next.value, next.ends
	}
	switch {
	case s.looks:
		s.due = now.Add(lookEvery)
	case s.ends.IsZero():
		s.due = time.Time{}
	default:
		life := s.ends.Sub(now)
		early := min(time.Duration(earlyAt*float64(life)), life-earlyBy)
		s.due = now.Add(max(early, time.Duration(earlyLeast*float64(life))))
	}
}

// fail notes that there is no new secret. The mutex is held.
func (s *Source) fail(err error) {
	now := s.clock()
	s.failure = err
	switch {
	case s.looks:
		s.due = now.Add(lookEvery)
	case !s.good(now):
		s.due = now.Add(retryEnded)
	default:
		if s.due = now.Add(retryEvery); s.due.After(s.ends) {
			s.due = s.ends
		}
	}
}

// OnRefresh has f called after every reading but the first, with nil or with what went wrong, which never holds the
// secret. f is not to call the Source.
func (s *Source) OnRefresh(f func(err error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onRefresh = f
}

// Close forgets the secret and ends a reading that is under way.
func (s *Source) Close() {
	s.cancel()
	s.mu.Lock()
	flight := s.flight
	s.value = Value{}
	s.mu.Unlock()
	if flight != nil {
		<-flight
	}
}

// watched is a file that is read when it is another one, or was written to.
type watched struct {
	reader Reader
	path   string
	seen   *identity // nil: it is to be read
}

type identity struct {
	device, inode    uint64
	size             int64
	modified, change syscall.Timespec
}

// read is called by one goroutine at a time.
func (w *watched) read(ctx context.Context) (reading, error) {
	before := w.seen
	w.seen = nil
	file, _, _ := strings.Cut(w.path, "#")
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return reading{}, &missing{err.Error()}
	}
	if err != nil {
		return reading{}, err
	}
	var present *identity
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		present = &identity{st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim}
	}
	if before != nil && present != nil && *before == *present {
		w.seen = present
		return reading{}, nil
	}
	text, err := w.reader.Read(ctx, "file:"+w.path)
	if err != nil {
		return reading{}, err
	}
	value, err := newValue(text)
	if err != nil {
		return reading{}, err
	}
	w.seen = present
	return reading{value: value}, nil
}
