package secret

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A clock stands still until it is told.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(0, c.at.Load()).UTC() }

// a played Source reads what the test plays.
type played struct {
	*Source
	clock *clock
	reads atomic.Int32
	plays chan reply
	told  chan error
}

type reply struct {
	text string
	life time.Duration // 0: no end
	err  error
}

func play(t *testing.T, first reply) *played {
	t.Helper()
	p := &played{clock: &clock{}, plays: make(chan reply), told: make(chan error, 16)}
	p.clock.at.Store(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	p.Source = &Source{now: p.clock.now, read: func(ctx context.Context) (reading, error) {
		p.reads.Add(1)
		select {
		case r := <-p.plays:
			return p.reading(t, r), r.err
		case <-ctx.Done():
			return reading{}, ctx.Err()
		}
	}}
	p.life, p.cancel = context.WithCancel(context.Background())
	p.take(p.reading(t, first))
	p.OnRefresh(func(err error) { p.told <- err })
	t.Cleanup(p.Close)
	return p
}

func (p *played) reading(t *testing.T, r reply) (out reading) {
	if r.err == nil {
		out.value = value(t, r.text)
	}
	if r.life != 0 {
		out.ends = p.clock.now().Add(r.life)
	}
	return out
}

func (p *played) pass(d time.Duration) { p.clock.at.Add(int64(d)) }

func (p *played) get(t *testing.T, want string) {
	t.Helper()
	v, err := p.Get(t.Context())
	if err != nil || v.Reveal() != want {
		t.Fatalf("%q, %v; not %q", v.Reveal(), err, want)
	}
}

// landed waits for the reading that is under way.
func (p *played) landed(t *testing.T, want error) {
	t.Helper()
	p.mu.Lock()
	flight := p.flight
	p.mu.Unlock()
	if err := <-p.told; !errors.Is(err, want) {
		t.Fatal(err)
	}
	if flight != nil {
		<-flight
	}
}

var errPlayed = errors.New("no token today")

func TestWhenItIsReadAgain(t *testing.T) {
	for name, tc := range map[string]struct{ life, at time.Duration }{
		"an hour, at four fifths":                  {time.Hour, 48 * time.Minute},
		"three minutes, a minute before the end":   {3 * time.Minute, 2 * time.Minute},
		"five minutes, at both":                    {5 * time.Minute, 4 * time.Minute},
		"ninety seconds, not before half of them":  {90 * time.Second, 45 * time.Second},
		"two seconds, not before half of them too": {2 * time.Second, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			p := play(t, reply{text: "one", life: tc.life})
			p.pass(tc.at - 1)
			p.get(t, "one")
			if p.reads.Load() != 0 {
				t.Fatal("it was read before")
			}
			p.pass(1)
			p.get(t, "one") // and does not wait, as nothing has been played
			p.plays <- reply{text: "two", life: tc.life}
			p.landed(t, nil)
			p.get(t, "two")
			if n := p.reads.Load(); n != 1 {
				t.Errorf("%d readings", n)
			}
		})
	}
}

func TestOneThatHasNoEndIsNotReadAgain(t *testing.T) {
	p := play(t, reply{text: "one"})
	p.pass(1000 * time.Hour)
	p.get(t, "one")
	if p.reads.Load() != 0 {
		t.Error("it was")
	}
}

func TestAfterTheEndAllWaitForOneReading(t *testing.T) {
	p := play(t, reply{text: "one", life: time.Hour})
	p.pass(time.Hour)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if v, err := p.Get(context.Background()); err != nil || v.Reveal() != "two" {
				t.Errorf("%q, %v", v.Reveal(), err)
			}
		})
	}
	p.plays <- reply{text: "two", life: time.Hour}
	wg.Wait()
	if n := p.reads.Load(); n != 1 {
		t.Errorf("%d readings", n)
	}
}

func TestWhoDoesNotWaitLongEnoughGetsNothing(t *testing.T) {
	p := play(t, reply{text: "one", life: time.Hour})
	p.pass(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v, err := p.Get(ctx); !errors.Is(err, context.Canceled) || !v.IsZero() {
		t.Errorf("%v", err)
	}
	p.plays <- reply{text: "two", life: time.Hour} // the reading goes on
	p.landed(t, nil)
	p.get(t, "two")
}

func TestAReadingThatFails(t *testing.T) {
	p := play(t, reply{text: "one", life: time.Hour})
	p.pass(50 * time.Minute)
	p.get(t, "one")
	p.plays <- reply{err: errPlayed}
	p.landed(t, errPlayed)
	p.pass(retryEvery - 1)
	p.get(t, "one")
	if p.reads.Load() != 1 {
		t.Error("it was tried again at once")
	}
	p.pass(1)
	p.get(t, "one")
	p.plays <- reply{err: errPlayed}
	p.landed(t, errPlayed)

	p.pass(10 * time.Minute)
	ended := func() {
		t.Helper()
		if v, err := p.Get(t.Context()); !errors.Is(err, errPlayed) || !v.IsZero() {
			t.Fatalf("after the end: %q, %v", v.Reveal(), err)
		}
	}
	go func() { p.plays <- reply{err: errPlayed} }()
	ended()
	<-p.told
	ended() // without another reading, which nothing is played for
	p.pass(retryEnded)
	go func() { p.plays <- reply{text: "two", life: time.Hour} }()
	p.get(t, "two")
}

func TestCloseEndsAReading(t *testing.T) {
	p := play(t, reply{text: "one", life: time.Hour})
	p.pass(50 * time.Minute)
	p.get(t, "one")
	p.Close()
	if v, err := p.Get(t.Context()); !errors.Is(err, errClosed) || !v.IsZero() {
		t.Errorf("%v", err)
	}
	if len(p.told) != 0 {
		t.Error("the end was told as a failure")
	}
}

func TestOpen(t *testing.T) {
	r := reader(t)
	script(t, r, "json", `echo '{"token": "s3cret", "expires_in": 3600}'`)
	script(t, r, "lines", `printf 's3cret\nX: y'`)
	for name, tc := range map[string]struct{ reference, want, err string }{
		"a variable":              {"env:KEY", "s3cret", ""},
		"a variable with a break": {"env:LINES", "", "control character"},
		"a file":                  {"file:~/key", "s3cret", ""},
		"no file":                 {"file:~/none", "", "no such file"},
		"a command":               {"command:json", "s3cret", ""},
		"a command of more lines": {"command:lines", "", "control character"},
		"a command that fails":    {"command:fails", "", "fails: exit status 3"},
		"nothing known":           {"s3cret", "", "it is not"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := r.Open(t.Context(), tc.reference)
			if tc.err != "" {
				if err == nil || s != nil || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "s3cret") {
					t.Fatalf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if v, err := s.Get(t.Context()); err != nil || v.Reveal() != tc.want {
				t.Errorf("%q, %v", v.Reveal(), err)
			}
		})
	}
}

func TestACommandIsRunAgain(t *testing.T) {
	r, c := reader(t), &clock{}
	c.at.Store(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	r.now, r.Path = c.now, append(r.Path, "/bin", "/usr/bin")
	script(t, r, "counts", `echo >>runs; echo "{\"token\": \"run $(wc -l <runs)\", \"expires_in\": 600}"`)
	s, err := r.Open(t.Context(), "command:counts")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	told := make(chan error, 1)
	s.OnRefresh(func(err error) { told <- err })
	want := func(want string) {
		t.Helper()
		if v, err := s.Get(t.Context()); err != nil || v.Reveal() != want {
			t.Fatalf("%q, %v", v.Reveal(), err)
		}
	}
	want("run 1")
	c.at.Add(int64(9 * time.Minute))
	want("run 1")
	if err := <-told; err != nil {
		t.Fatal(err)
	}
	want("run 2")
	c.at.Add(int64(time.Hour))
	want("run 3")
}

func TestAFileIsReadAgain(t *testing.T) {
	r, c := reader(t), &clock{}
	r.now = c.now
	path := filepath.Join(r.Home, "key")
	s, err := r.Open(t.Context(), "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var told []string
	s.OnRefresh(func(err error) { told = append(told, fmt.Sprint(err)) })
	want := func(want string) {
		t.Helper()
		if v, err := s.Get(t.Context()); err != nil || v.Reveal() != want {
			t.Fatalf("%q, %v", v.Reveal(), err)
		}
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	second := func() { c.at.Add(int64(lookEvery)) }

	write("second\n")
	want("s3cret") // it was looked at just now
	second()
	want("second")
	second()
	want("second")
	if len(told) != 1 {
		t.Errorf("told %q", told)
	}
	write("a\nb")
	second()
	want("second")
	second()
	want("second")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second()
	want("second")
	write("third!\n")
	second()
	want("third!")
	if len(told) != 4 || !strings.Contains(told[1], "control character") || !strings.Contains(told[2], "no such file") || told[3] != "<nil>" {
		t.Errorf("told %q", told)
	}
}
