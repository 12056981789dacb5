package cli

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/audit"
	"agentbox/internal/session"
	"agentbox/launch"
)

// byPerson names in the log whoever used a command of agentbox: the socket lets nobody else in.
const byPerson = "person"

// freezing is how long the kernel may take to stop every process of a box.
const freezing = 10 * time.Second

// A control answers one session's control socket. Nothing that it does gives the box more than it has.
type control struct {
	box      *launch.Box
	record   *recorder
	programs *programLog
	joined   joinedCommands

	mu       sync.Mutex
	deadline *time.Timer // of a request to end
	over     bool
	asked    bool // to end the agent

	freeze sync.Mutex // one freeze or resume at a time
}

// serve answers the session's control socket until the returned function is called, which tells whether somebody asked
// there that the agent ends.
func serve(ctx context.Context, box *launch.Box, record *recorder, full *fullness, programs *programLog) (stop func() (asked bool)) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	v := &control{box: box, record: record, programs: programs}
	full.control <- v
	var serving sync.WaitGroup
	// Without the socket the box is as safe, and `kill` falls back to ending this process.
	serving.Go(func() {
		_ = box.Session().Serve(ctx, func(r session.Request) session.Reply { return v.handle(ctx, r) })
	})
	return func() bool {
		v.mu.Lock()
		v.over = true
		if v.deadline != nil {
			v.deadline.Stop()
		}
		v.mu.Unlock()
		cancel()
		serving.Wait()
		return v.asked
	}
}

func (v *control) handle(ctx context.Context, r session.Request) session.Reply {
	var err error
	switch r.Op {
	case session.OpInfo:
		info := v.box.Session().Info()
		info.Usage = usage(v.box.Usage())
		return session.Reply{OK: true, Info: &info}
	case session.OpRedact:
		reply := session.Reply{OK: true}
		for _, text := range r.Texts {
			reply.Texts = append(reply.Texts, []byte(v.record.secrets.Redact(string(text))))
		}
		return reply
	case session.OpExec:
		if v.state() == session.Frozen {
			return session.Reply{Error: errFrozen}
		}
		number := v.joined.next()
		if err = v.record.commit(&audit.Exec{UID: os.Getuid(), Argv: audit.Texts(r.Argv), Joined: number}); err == nil {
			return session.Reply{OK: true, Joined: number}
		}
	case session.OpPrograms:
		err = v.listens(r)
	case session.OpFreeze:
		if err = v.record.commit(&audit.Freeze{By: byPerson}); err == nil {
			err = v.freezeBox(ctx)
		}
	case session.OpResume:
		if err = v.record.commit(&audit.Resume{By: byPerson}); err == nil {
			err = v.resumeBox()
		}
	default:
		if err = v.record.commit(&audit.Kill{By: byPerson, Signal: audit.Text(signalName(unix.Signal(r.Signal)))}); err == nil {
			err = v.signal(r)
		}
		if err != nil && v.record.lost() && ends(unix.Signal(r.Signal)) {
			err = v.end() // that nothing can be recorded must not keep it alive
		}
	}
	if err != nil {
		return session.Reply{Error: err.Error()}
	}
	return session.Reply{OK: true}
}

// errFrozen is for a command that would run in a frozen box, where nothing stops it: the stop signals were sent before.
const errFrozen = "the box is frozen"

// listens serves the filter of a joined command. That is in the box by then, so that a freeze which comes later stops it.
func (v *control) listens(r session.Request) error {
	v.freeze.Lock()
	defer v.freeze.Unlock()
	if v.state() == session.Frozen {
		return errors.New(errFrozen)
	}
	return v.joined.listens(v.programs, r.File, r.Joined)
}

// signal passes a signal on. A frozen box that is asked to end is resumed, or it could not.
func (v *control) signal(r session.Request) error {
	s := unix.Signal(r.Signal)
	if err := v.box.Signal(s); err != nil {
		return err
	}
	v.mu.Lock()
	v.asked = v.asked || ends(s)
	if r.Grace > 0 && v.deadline == nil && !v.over {
		v.deadline = time.AfterFunc(r.Grace, func() { _ = v.box.Kill() })
	}
	v.mu.Unlock()
	if ends(s) && s != unix.SIGKILL {
		return v.resumeBox()
	}
	return nil
}

// end ends the box at once.
func (v *control) end() error {
	v.mu.Lock()
	v.asked = true
	v.mu.Unlock()
	return v.box.Kill()
}

// A thawing box is one that can be asked to end while it is frozen.
type thawing struct {
	*launch.Box
	full   *fullness
	tools  *toolCalls
	record *recorder
}

// Signal passes a signal on. A frozen box that is asked to end is resumed, or it could not; one that was frozen because
// nobody knows what it did gets no time.
func (t thawing) Signal(s unix.Signal) error {
	if !ends(s) || t.Session().Info().State != session.Frozen {
		return t.Box.Signal(s)
	}
	if t.tools.stopped() || t.record.lost() {
		return t.Kill()
	}
	err := t.Box.Signal(s)
	if v := t.full.take(); v != nil {
		err = errors.Join(err, v.resumeBox())
	}
	if t.record.lost() { // meanwhile
		return t.Kill()
	}
	return err
}

// freezeBox stops the box, or leaves it as it was.
func (v *control) freezeBox(ctx context.Context) error {
	v.freeze.Lock()
	defer v.freeze.Unlock()
	if v.state() == session.Frozen {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, freezing)
	defer cancel()
	err := v.box.Freeze(ctx)
	if err == nil {
		err = v.setState(session.Frozen)
	}
	if err != nil {
		_ = v.box.Resume()
	}
	return err
}

// resumeBox lets the box go on. One whose log was lost since somebody asked for it stays: the freeze that follows such a
// loss finds it frozen, and leaves it at that.
func (v *control) resumeBox() error {
	v.freeze.Lock()
	defer v.freeze.Unlock()
	if v.state() != session.Frozen {
		return nil
	}
	if v.record.lost() {
		return errors.New("the log cannot be written any more, and the box does not go on without")
	}
	if err := v.box.Resume(); err != nil {
		return err
	}
	return v.setState(session.Running)
}

func (v *control) state() string { return v.box.Session().Info().State }

func (v *control) setState(state string) error {
	return v.box.Session().Update(func(i *session.Info) { i.State = state })
}

// usage says what a box uses in the words of its session.
func usage(u launch.Usage) *session.Usage {
	out := &session.Usage{Memory: u.Memory, Peak: u.Peak, CPUSeconds: u.CPU.Seconds(), Pids: u.Pids}
	for _, h := range u.Held {
		out.Limits = append(out.Limits, session.Limit{Name: h.Name, Value: h.Value, State: string(h.State), By: h.By})
	}
	return out
}
