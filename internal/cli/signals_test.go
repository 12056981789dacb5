package cli

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// A fakeTarget tells what it is sent.
type fakeTarget chan string

func (f fakeTarget) Signal(s unix.Signal) error { f <- unix.SignalName(s); return nil }
func (f fakeTarget) Resize()                    { f <- "resize" }

func TestSignalsReachTheAgent(t *testing.T) {
	_, c := newCourier(t.Context(), true)
	defer c.stop()
	box := make(fakeTarget, 16)
	c.deliverTo(box)
	var got []string
	sent := []unix.Signal{unix.SIGUSR1, unix.SIGUSR2, unix.SIGHUP, unix.SIGQUIT, unix.SIGWINCH, unix.SIGTSTP}
	for _, s := range sent {
		if err := unix.Kill(os.Getpid(), s); err != nil {
			t.Fatal(err)
		}
		got = append(got, <-box)
	}
	want := []string{"SIGUSR1", "SIGUSR2", "SIGHUP", "SIGQUIT", "resize", "SIGTSTP"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestTheThirdRequestEndsTheBox(t *testing.T) {
	_, c := newCourier(t.Context(), false)
	defer c.stop()
	box := make(fakeTarget, 4)
	c.deliverTo(box)
	var got []string
	for range 3 {
		c.incoming <- unix.SIGINT
		got = append(got, <-box)
	}
	if diff := cmp.Diff([]string{"SIGINT", "SIGINT", "SIGKILL"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestRequestsFarApartDoNot(t *testing.T) {
	c := &courier{}
	at := time.Unix(0, 0)
	for i := range 10 {
		if c.impatient(at.Add(time.Duration(i) * 3 * time.Second)) {
			t.Fatalf("request %d counts as the third", i)
		}
	}
}

func TestASignalBeforeTheBoxCancelsTheStart(t *testing.T) {
	ctx, c := newCourier(t.Context(), false)
	defer c.stop()
	c.incoming <- unix.SIGINT
	<-ctx.Done()
	s := interruption(ctx)
	if s == nil || judge(s).code != 130 {
		t.Fatalf("got %v", context.Cause(ctx))
	}
	// The start had gone too far to be cancelled: the agent is told.
	box := make(fakeTarget, 1)
	c.deliverTo(box)
	if got := <-box; got != "SIGINT" {
		t.Errorf("the agent got %s", got)
	}
}

func TestASignalBeforeTheBoxThatEndsNothingWaits(t *testing.T) {
	ctx, c := newCourier(t.Context(), true)
	c.incoming <- unix.SIGWINCH
	c.incoming <- unix.SIGUSR1
	box := make(fakeTarget, 2)
	c.deliverTo(box)
	for got := ""; got != "SIGUSR1"; got = <-box { // a resize that is told twice does no harm
	}
	if ctx.Err() != nil {
		t.Error("it cancelled the start")
	}
	c.stop()
	if interruption(ctx) != nil {
		t.Error("the end counts as an interruption")
	}
}
