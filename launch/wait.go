package launch

import (
	"errors"
	"io"
	"syscall"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxinit"
	"agentbox/internal/session"
)

// A Result is how the agent ended.
type Result struct {
	ExitCode int         // what the caller's shell is to see: the agent's own, or 128 plus the signal
	Signal   unix.Signal // that ended the agent, or 0
	Killed   bool        // the box was ended from outside before the agent did
}

// ID is the session's.
func (b *Box) ID() string { return b.session.ID() }

// Session is the box's place on disk.
func (b *Box) Session() *session.Session { return b.session }

// Signal sends a signal to the agent. What a terminal would send goes to its whole process group.
func (b *Box) Signal(s unix.Signal) error {
	if s == unix.SIGKILL {
		return b.Kill()
	}
	group := s == unix.SIGINT || s == unix.SIGQUIT || s == unix.SIGTSTP || s == unix.SIGCONT
	return b.control.Signal(s, group)
}

// Resize tells the agent of the caller's new window size.
func (b *Box) Resize() {
	if b.term != nil {
		b.term.resize()
	}
}

// Kill ends the box and all that runs in it.
func (b *Box) Kill() error { return b.process.Signal(unix.SIGKILL) }

// Wait returns when the agent has ended, all that it wrote has been passed on, and nothing of the box is left.
func (b *Box) Wait() Result {
	defer b.cleanup()
	for {
		m, err := b.control.Receive()
		switch {
		case err == nil && m.Kind == boxinit.Exited:
			return result(m.Status())
		case err == nil && m.Kind == boxinit.Stopped:
			b.stopped(unix.Signal(m.Value))
		case errors.Is(err, io.EOF):
			return Result{ExitCode: 128 + int(unix.SIGKILL), Signal: unix.SIGKILL, Killed: true}
		case err != nil && !errors.Is(err, unix.EINTR):
			return Result{ExitCode: 128 + int(unix.SIGKILL), Signal: unix.SIGKILL, Killed: true}
		}
	}
}

// stopped passes a stop by the terminal on to the caller's job, and the caller's "fg" back to the agent. Without a
// terminal the agent stays stopped until somebody sends SIGCONT, which is passed on.
func (b *Box) stopped(s unix.Signal) {
	if b.term == nil || s != unix.SIGTSTP && s != unix.SIGTTIN && s != unix.SIGTTOU {
		return
	}
	suspend(b.term)
	_ = b.control.Signal(unix.SIGCONT, true)
}

func result(w syscall.WaitStatus) Result {
	if w.Signaled() {
		return Result{ExitCode: 128 + int(w.Signal()), Signal: unix.Signal(w.Signal())}
	}
	return Result{ExitCode: w.ExitStatus()}
}
