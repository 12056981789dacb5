package workspace

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentbox/internal/boxtest"
)

// live opens a workspace whose agent still writes.
func (x *fixture) live() *Roots {
	r := &Roots{project: x.open()}
	r.Live()
	return r
}

func TestAnAgentThatStillWrites(t *testing.T) {
	boxtest.Need(t, boxtest.UsernsOverlay)
	x := newFixture(t, User)
	x.host("echo 1 >a; echo 1 >b; echo 1 >c")
	x.agent("echo 2 >>a; echo 2 >>b; echo 2 >>c")
	upper := LayersOf(x.session).Upper
	w := x.live()
	review, err := w.Review(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(upper, "a"), []byte("3\n"), 0o644), os.Remove(filepath.Join(upper, "b"))); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"(not shown: it changed while it was read)\n", "(not shown: it changed while it was read)\n", "+2\n"} {
		d, err := w.FileDiff(&review.Changes[i])
		if err != nil {
			t.Fatal(err)
		}
		if text := string(d.Header) + strings.Join(texts(d.Hunks), ""); !strings.HasSuffix(text, want) {
			t.Errorf("%s does not end with %q", text, want)
		}
	}
	if _, err := w.Plan(review, Selection{All: true}); !errors.Is(err, errLive) {
		t.Errorf("a plan of changes that are not at an end: %v", err)
	}
	if _, err := x.open().FileDiff(&review.Changes[0]); !errors.Is(err, errChanged) {
		t.Errorf("without an agent that writes, a change is %v", err)
	}
}

func texts(parts [][]byte) []string {
	var out []string
	for _, p := range parts {
		out = append(out, string(p))
	}
	return out
}

// The agent makes, fills and removes files and directories as fast as it can.
func TestAReviewGetsThroughWhileAnAgentWrites(t *testing.T) {
	boxtest.Need(t, boxtest.UsernsOverlay)
	x := newFixture(t, User)
	x.host("mkdir d; echo 1 >d/a; echo 1 >b")
	x.agent("echo 2 >>d/a; mkdir n")
	upper := LayersOf(x.session).Upper
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			at := filepath.Join(upper, "n", string(rune('a'+i%20)))
			os.RemoveAll(at)
			switch i % 3 {
			case 0:
				os.Mkdir(at, 0o755)
				os.WriteFile(at+"/f", []byte("x"), 0o644)
			case 1:
				os.WriteFile(at, []byte(strings.Repeat("line\n", i%100)), 0o644)
			case 2:
				os.Symlink("a", at)
			}
		}
	}()
	w := x.live()
	for range 200 {
		review, err := w.Review(context.Background())
		if err == nil {
			err = w.Diff(new(strings.Builder), review)
		}
		if err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	<-done
}
