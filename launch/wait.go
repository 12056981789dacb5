package launch

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxinit"
	"agentbox/internal/session"
	"agentbox/limits"
)

// A Result is how the agent ended.
type Result struct {
	ExitCode int         // what the caller's shell is to see: the agent's own, or 128 plus the signal
	Signal   unix.Signal // that ended the agent, or 0
	Killed   bool        // the box was ended from outside before the agent did
	Limit    string      // the limit that ended the box, or ""
	Reached  []Reached   // every limit that was reached

	PeakMemory uint64        // bytes, where a control group counts them
	CPU        time.Duration // of processor time that the box took
	Lost       error         // why not all that the agent wrote could be passed on, or nil
	Unkept     error         // why what it wrote in an overlay is gone, or nil
}

// ID is the session's.
func (b *Box) ID() string { return b.session.ID() }

// PID is the box's PID 1 on the host, or 0.
func (b *Box) PID() int {
	pid, err := b.process.Pid()
	if err != nil {
		return 0
	}
	return pid
}

// publish says in the session's directory that the box runs, and which process is its first.
func (b *Box) publish() error {
	first := b.PID()
	ticks, err := session.StartTicks(first)
	if err != nil { // it has ended already
		first = 0
	}
	return b.session.Update(func(i *session.Info) { i.State, i.BoxPID, i.BoxStartTicks = session.Running, first, ticks })
}

// Session is the box's place on disk.
func (b *Box) Session() *session.Session { return b.session }

// Signal sends a signal to the agent. What a terminal would send goes to its whole process group. A box that is frozen by
// stop signals gets no SIGCONT: Resume alone lets it go on.
func (b *Box) Signal(s unix.Signal) error {
	if s == unix.SIGKILL {
		return b.Kill()
	}
	if s == unix.SIGCONT && !b.group.Freezes() && b.session.Info().State == session.Frozen {
		return nil
	}
	to := boxinit.ToAgent
	if forJob(s) {
		to = boxinit.ToGroup
	}
	return b.control.Signal(s, to)
}

// forJob reports whether a terminal sends this signal to all of its foreground job.
func forJob(s unix.Signal) bool {
	return s == unix.SIGINT || s == unix.SIGQUIT || s == unix.SIGTSTP || s == unix.SIGCONT || s == unix.SIGWINCH
}

// Resize tells the agent of the caller's new window size. A WINCH without one, or without a terminal, is a signal
// like others.
func (b *Box) Resize() {
	if b.term == nil || !b.term.resize() {
		_ = b.Signal(unix.SIGWINCH)
	}
}

// Kill ends the box and all that runs in it.
func (b *Box) Kill() error {
	if !b.group.Freezes() {
		return b.process.Signal(unix.SIGKILL)
	}
	if b.session.Info().State == session.Frozen {
		b.killFrozen()
	}
	err := b.process.Signal(unix.SIGKILL)
	_ = b.group.Thaw() // a frozen process of cgroup v1 does not even die
	return err
}

// Wait returns when the agent has ended, all that it wrote has been passed on, and nothing of the box is left.
func (b *Box) Wait() (r Result) {
	defer func() {
		b.cleanup()
		r.Lost, r.Unkept = b.lost, b.unkept
		if r.CPU == 0 {
			r.CPU = b.cpu
		}
	}()
	r = b.wait()
	b.watch.died(r)
	r.Reached = b.watch.stop()
	used := b.group.Usage()
	r.PeakMemory, r.CPU = used.MemoryPeak, used.CPU
	for _, limit := range r.Reached {
		if limit.Ended && r.Limit == "" {
			r.Limit = limit.Name
			if limit.Name == limits.Timeout {
				r.ExitCode = exitTimeout
			}
		}
	}
	return r
}

// exitTimeout is what timeout(1) ends with.
const exitTimeout = 124

func (b *Box) wait() Result {
	killed := Result{ExitCode: 128 + int(unix.SIGKILL), Signal: unix.SIGKILL, Killed: true}
	for {
		m, err := b.control.Receive()
		switch {
		case err == nil && m.Kind == boxinit.Exited:
			return result(m.Status())
		case err == nil && m.Kind == boxinit.Stopped:
			b.stopped(unix.Signal(m.Value))
		case err != nil && !errors.Is(err, unix.EINTR):
			return killed
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
	_ = b.control.Signal(unix.SIGCONT, boxinit.ToGroup)
}

func result(w syscall.WaitStatus) Result {
	if w.Signaled() {
		return Result{ExitCode: 128 + int(w.Signal()), Signal: unix.Signal(w.Signal())}
	}
	return Result{ExitCode: w.ExitStatus()}
}
