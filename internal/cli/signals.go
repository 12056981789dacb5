package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A target is a running box, or a command that joined one.
type target interface {
	Signal(unix.Signal) error
	Resize()
}

// forwarded are the signals that reach the agent.
var forwarded = []os.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH}

// Three requests to end within this time end the box whatever the agent makes of them.
const (
	impatience = 3
	patience   = 5 * time.Second
)

// A courier takes the signals of this process to the agent. Before there is one, a signal that would have ended this
// process cancels the start instead, so that nothing of a half-made box is left.
type courier struct {
	incoming chan os.Signal
	boxes    chan target
	done     chan struct{}
	cancel   context.CancelCauseFunc
	ended    sync.WaitGroup
	asked    []time.Time
	urged    unix.Signal // the last that asked the agent to end, or 0; for after stop
}

// newCourier returns the context that such a signal cancels. With terminal set, a stop of this process's job is the
// agent's to take, as Ctrl-Z in its own terminal would be.
func newCourier(ctx context.Context, terminal bool) (context.Context, *courier) {
	ctx, cancel := context.WithCancelCause(ctx)
	c := &courier{incoming: make(chan os.Signal, 64), boxes: make(chan target), done: make(chan struct{}), cancel: cancel}
	for _, s := range forwarded {
		if !signal.Ignored(s) { // nohup(1)
			signal.Notify(c.incoming, s)
		}
	}
	if terminal {
		signal.Notify(c.incoming, unix.SIGTSTP, unix.SIGCONT)
	}
	// A reader of our output that left is the agent's business: it gets the SIGPIPE. With a channel, not ignored, so
	// that no child process inherits the ignoring.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	c.ended.Go(func() { c.work(ctx) })
	return ctx, c
}

// deliverTo hands over the agent that signals are for from now on.
func (c *courier) deliverTo(t target) {
	select {
	case c.boxes <- t:
	case <-c.done:
	}
}

// stop ends the forwarding. The signals stay caught: what is left to do is to write the result and to end with the
// agent's code, and a late SIGTERM must prevent neither.
func (c *courier) stop() {
	close(c.done)
	c.ended.Wait()
	c.cancel(nil)
}

func (c *courier) work(ctx context.Context) {
	var box target
	var held []unix.Signal
	for {
		select {
		case <-c.done:
			return
		case box = <-c.boxes:
			if s := interruption(ctx); s != nil { // it came after the last moment at which the start could be cancelled
				held = append([]unix.Signal{s.signal}, held...)
			}
			for _, s := range held {
				c.deliver(box, s)
			}
		case got := <-c.incoming:
			s, ok := got.(syscall.Signal)
			switch {
			case !ok:
			case box != nil:
				c.deliver(box, s)
			case s == unix.SIGUSR1 || s == unix.SIGUSR2:
				held = append(held, s)
			case s != unix.SIGWINCH && s != unix.SIGCONT && s != unix.SIGTSTP:
				c.cancel(&interruptedError{s})
			}
		}
	}
}

func (c *courier) deliver(box target, s unix.Signal) {
	switch s {
	case unix.SIGWINCH:
		box.Resize()
		return
	case unix.SIGCONT:
		signal.Notify(c.incoming, unix.SIGTSTP) // a stop takes this handler away, or it would not be one
		box.Resize()
		return
	case unix.SIGINT, unix.SIGTERM:
		if c.impatient(time.Now()) {
			s = unix.SIGKILL
		}
	}
	if ends(s) {
		c.urged = s
	}
	_ = box.Signal(s) // an agent that has ended needs it no more
}

// impatient reports whether this is the third request to end in a short time.
func (c *courier) impatient(now time.Time) bool {
	recent := c.asked[:0]
	for _, t := range c.asked {
		if now.Sub(t) < patience {
			recent = append(recent, t)
		}
	}
	c.asked = append(recent, now)
	return len(c.asked) >= impatience
}

// interruption returns the signal that cancelled a start, or nil.
func interruption(ctx context.Context) *interruptedError {
	var s *interruptedError
	if errors.As(context.Cause(ctx), &s) {
		return s
	}
	return nil
}
