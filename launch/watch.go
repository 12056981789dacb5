package launch

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/limits"
)

// A Reached limit, and what is known of the moment.
type Reached struct {
	Name   string `json:"name"`             // as its key in the profile ends: "memory"
	Value  string `json:"value"`            // "2 GiB"
	Detail string `json:"detail,omitempty"` // "largest process node, 1.9 GiB"
	Ended  bool   `json:"ended"`            // the box ended because of it
}

// words name the limits for people.
var words = map[string]string{limits.Memory: "memory limit", limits.Pids: "process limit", limits.Timeout: "timeout", limits.Disk: "disk limit", limits.Execs: "limit of programs", Budget: "budget of"}

// Budget is the name of the limit that nobody here holds: what the agent may spend.
const Budget = "budget"

func (r Reached) String() string {
	s := words[r.Name] + " " + r.Value + " reached"
	if r.Detail != "" {
		s += "; " + r.Detail
	}
	return s
}

// Periods of the watch. Memory can grow by gibibytes a second, and a look costs a millisecond for some hundreds of
// processes on the host; the number of processes only serves a message.
const (
	memoryPeriod = 100 * time.Millisecond
	pidsPeriod   = time.Second
)

// A watch looks after the limits while the box runs.
type watch struct {
	box      *Box
	mu       sync.Mutex
	reached  []Reached
	memoryBy held   // when it was last looked for
	charged  uint64 // at that time, by the control group
	cancel   context.CancelFunc
	done     sync.WaitGroup
	stopOOM  func()
}

// startWatch begins when the agent runs.
func (b *Box) startWatch() error {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{box: b, cancel: cancel}
	var err error
	if w.stopOOM, err = b.group.OnOOM(func() { w.outOfMemory() }); err != nil {
		cancel()
		return &MissingError{Layer: "memory limit", Err: err}
	}
	b.watch = w
	if err := w.startDisk(ctx); err != nil {
		return err
	}
	l := b.plan.Limits
	if l.Timeout > 0 {
		w.done.Go(func() { w.clock(ctx, l.Timeout, l.Grace) })
	}
	if limit := w.memoryLimit(); limit > 0 {
		w.done.Go(func() { w.every(ctx, memoryPeriod, func() { w.memory(limit) }) })
	}
	if l.Watch.Pids > 0 {
		w.done.Go(func() { w.every(ctx, pidsPeriod, w.pids) })
	}
	return nil
}

func (w *watch) memoryLimit() uint64 {
	if m := w.box.plan.Limits.Watch.Memory; m > 0 {
		return m
	}
	return w.box.plan.Limits.Bytes
}

func (w *watch) every(ctx context.Context, period time.Duration, look func()) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			look()
		}
	}
}

// clock asks the agent to end, and after the grace makes it.
func (w *watch) clock(ctx context.Context, timeout, grace time.Duration) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(timeout):
	}
	w.reach(Reached{Name: limits.Timeout, Ended: true})
	_ = w.box.Signal(unix.SIGTERM)
	_ = w.box.Signal(unix.SIGCONT) // one that is stopped would not hear
	select {
	case <-ctx.Done():
	case <-time.After(grace):
		_ = w.box.Kill()
	}
}

// memory ends a box whose memory is only watched. In one whose memory the kernel limits it remembers the largest
// process while memory grows: afterwards nobody can tell.
func (w *watch) memory(limit uint64) {
	held := w.box.plan.Limits.Watch.Memory == 0
	if held {
		charged := w.box.group.Charged()
		if charged < limit/2 || charged < w.charged+limit/16 && w.charged < charged+limit/16 {
			return
		}
		w.charged = charged
	}
	by := w.box.memory(w.box.processes())
	if by.String() != "" { // the box may end meanwhile
		w.mu.Lock()
		w.memoryBy = by
		w.mu.Unlock()
	}
	if !held && by.processes+by.files > limit {
		w.outOfMemory()
	}
}

func (w *watch) outOfMemory() {
	w.mu.Lock()
	r := Reached{Name: limits.Memory, Detail: w.memoryBy.String(), Ended: true}
	w.mu.Unlock()
	w.reach(r)
	_ = w.box.Kill()
}

func (w *watch) pids() {
	if uint64(w.box.tasks(w.box.processes())) >= w.box.plan.Limits.Watch.Pids {
		w.reach(Reached{Name: limits.Pids})
	}
}

// reach notes a limit once.
func (w *watch) reach(r Reached) {
	r.Value = w.box.plan.Limits.Value(r.Name)
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, known := range w.reached {
		if known.Name == r.Name {
			w.reached[i].Ended = known.Ended || r.Ended
			return
		}
	}
	w.reached = append(w.reached, r)
}

// died looks at how the agent ended. The control group of a box in a scope is gone by then, and what is left to ask is
// the slice: somebody in it was ended by the kernel, and nobody but the kernel ended the agent.
func (w *watch) died(r Result) {
	if r.Signal == unix.SIGKILL && !r.Killed && w.box.group.KillsAround() > 0 {
		w.outOfMemory()
	}
}

// stop ends the watch and tells what was reached. The kernel's own counters are asked last, while the group is there.
func (w *watch) stop() []Reached {
	if w == nil {
		return nil
	}
	w.cancel()
	w.done.Wait()
	w.stopOOM()
	u := w.box.group.Usage()
	if u.OOMKills > 0 {
		w.outOfMemory()
	}
	if u.Refused > 0 {
		w.reach(Reached{Name: limits.Pids, Detail: fmt.Sprintf("%d forks were refused", u.Refused)})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reached
}
