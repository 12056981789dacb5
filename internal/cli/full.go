package cli

import (
	"context"
	"fmt"
	"time"

	"agentbox/internal/audit"
	"agentbox/launch"
)

// A fullness answers when an agent has written more than limits.disk and nobody but the supervisor holds that limit.
type fullness struct {
	c        *caller
	record   *recorder
	attended bool // somebody is there to decide
	terminal bool // the agent has the caller's, which is in raw mode
	control  chan *control
}

// full freezes the box and says what can be done about it. Where nobody would read that, a frozen box would stay for
// ever, so it ends.
func (c *caller) full(o runOptions, p policy, record *recorder) *fullness {
	return &fullness{c: c, record: record, attended: o.background == nil && isTerminal(c.in) && c.voice.talks(),
		terminal: p.plan.Terminal, control: make(chan *control, 1)}
}

func (f *fullness) reached(ctx context.Context, r launch.Reached) bool {
	return f.stop(ctx, r, `in another terminal "agentbox diff %[1]s" shows what it wrote, "agentbox resume %[1]s" lets it write as much again, "agentbox kill %[1]s" ends it`)
}

// stop freezes a box that has reached a limit; hint says what the person can do, by the session's ID.
func (f *fullness) stop(ctx context.Context, r launch.Reached, hint string) bool {
	return f.attended && f.freeze(ctx, func() error { return f.record.frozenBy(r) }, r.String(), hint)
}

// freeze stops the box, puts why on the record and tells the person.
func (f *fullness) freeze(ctx context.Context, record func() error, why, hint string) bool {
	v := f.take()
	if v == nil || v.freezeBox(ctx) != nil || record() != nil {
		return false
	}
	if f.terminal {
		f.c.voice.newline = "\r\n"
		defer func() { f.c.voice.newline = "\n" }()
	}
	f.c.voice.warnf("%s; the box is frozen", why)
	f.c.voice.hint(fmt.Sprintf(hint, v.box.ID()))
	return true
}

// take waits for who controls the box; nil is that it was not made in time.
func (f *fullness) take() *control {
	select {
	case v := <-f.control:
		f.control <- v
		return v
	case <-time.After(freezing):
		return nil
	}
}

// frozenBy records that a limit has frozen the box.
func (r *recorder) frozenBy(limit launch.Reached) error {
	if err := r.commit(&audit.LimitReached{Name: audit.Text(limit.Name), Value: audit.Text(limit.Value), Detail: audit.Text(limit.Detail)}); err != nil {
		return err
	}
	r.mu.Lock()
	r.told = limit.Name
	r.mu.Unlock()
	return r.commit(&audit.Freeze{By: audit.Text("limits." + limit.Name)})
}
