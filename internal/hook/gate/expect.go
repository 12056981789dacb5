package gate

import (
	"time"

	"golang.org/x/sys/unix"
)

// toConnect is how long a hook may take from its start to its question. One that has ended cannot ask any more; but what
// it asked may still wait to be taken.
const (
	toConnect = 10 * time.Second
	toTake    = time.Second
)

// Expect says that a process is about to become a hook. It has not asked when it has ended, or too much time has passed: it
// was killed or stopped, and the agent may take that for a yes.
func (g *Gate) Expect(pid int) {
	if g == nil {
		return
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it has ended before it could become one
	}
	asks := make(chan struct{})
	g.mu.Lock()
	g.expected[pid] = asks
	g.mu.Unlock()
	g.serving.Go(func() {
		defer unix.Close(fd)
		why := g.await(&peer{pidfd: fd}, asks)
		g.mu.Lock()
		if g.expected[pid] == asks {
			delete(g.expected, pid)
		}
		g.mu.Unlock()
		if why != "" && g.ctx.Err() == nil {
			g.options.Broken(Caller{PID: pid}, why)
		}
	})
}

func (g *Gate) await(p *peer, asks <-chan struct{}) (why string) {
	deadline := time.NewTimer(toConnect)
	defer deadline.Stop()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-asks:
			return ""
		case <-g.ctx.Done():
			return ""
		case <-deadline.C:
			return "it was stopped before it had asked"
		case <-look.C:
		}
		if !p.ended() {
			continue
		}
		select {
		case <-asks:
			return ""
		case <-g.ctx.Done():
			return ""
		case <-time.After(toTake):
			return "it ended before it had asked"
		}
	}
}

// met takes note that a process asks.
func (g *Gate) met(pid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if asks := g.expected[pid]; asks != nil {
		close(asks)
		delete(g.expected, pid)
	}
}
