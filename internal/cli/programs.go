package cli

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"agentbox/internal/audit"
	"agentbox/internal/programs"
	"agentbox/launch"
	"agentbox/limits"
)

// programLog puts the programs of one box on the record, and counts them against limits.execs.
type programLog struct {
	record *recorder
	watch  *programs.Watch
	held   *heldBack
	limit  int64 // 0: none
	count  atomic.Int64
	over   atomic.Bool
	hook   func(programs.Start) // hears of each
	once   sync.Once            // of close
}

// joinedCommands are those that `exec` has announced.
type joinedCommands struct {
	mu       sync.Mutex
	last     int
	expected map[int]bool // and not heard of yet
}

// programs prepares the record of programs; nil where the box has none.
func (c *caller) programs(p policy, record *recorder, full *fullness, hook func(programs.Start)) (*programLog, error) {
	if !p.plan.Programs {
		return nil, nil
	}
	l := &programLog{record: record, limit: p.effective.Profile.Limits.Execs, held: &heldBack{c: c, terminal: full.terminal}, hook: hook}
	var err error
	l.watch, err = programs.New(programs.Options{Started: l.started, Ended: l.ended})
	return l, err
}

// serve is for launch.Label.
func (l *programLog) serve(listener *os.File) error { return l.watch.Add(listener, 0) }

// next gives the next joined command its number.
func (l *joinedCommands) next() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	if l.expected == nil {
		l.expected = map[int]bool{}
	}
	l.expected[l.last] = true
	return l.last
}

// listens serves the filter of a joined command that was announced, once.
func (l *joinedCommands) listens(programs *programLog, listener *os.File, number int) error {
	l.mu.Lock()
	expected := l.expected[number]
	delete(l.expected, number)
	l.mu.Unlock()
	switch {
	case programs == nil:
		return errors.New("the programs of this session are not on the record")
	case !expected:
		return fmt.Errorf("no command with the number %d is about to join", number)
	}
	return programs.watch.Add(listener, number)
}

// close ends it when nothing of the box runs any more.
func (l *programLog) close() {
	if l != nil {
		l.once.Do(l.watch.Close)
		l.held.flush()
	}
}

// started puts a program on the record. What cannot be recorded does not run, unless the profile lets the log go.
func (l *programLog) started(s programs.Start) unix.Errno {
	e := &audit.ProgramStart{PID: s.PID, Parent: s.Parent, Joined: s.Joined, UID: s.UID, Path: audit.Text(s.Path), Argv: audit.Texts(s.Argv), Cut: s.Cut,
		Dir: audit.Text(s.Dir), Missing: s.Missing}
	var errno unix.Errno
	if !s.Missing && l.limit > 0 && l.count.Add(1) > l.limit {
		errno, e.Refused = unix.EAGAIN, "limits.execs"
	}
	if err := l.write(e, (*audit.Log).Through); err != nil { // so that who kills us in a moment has it all the same
		return unix.EPERM
	}
	if errno != 0 {
		if !l.over.Swap(true) {
			l.reached()
		}
		return errno
	}
	if l.hook != nil {
		l.hook(s)
	}
	return 0
}

// reached says so once; every further program is refused.
func (l *programLog) reached() {
	r := launch.Reached{Name: limits.Execs, Value: strconv.FormatInt(l.limit, 10)}
	_ = l.append(&audit.LimitReached{Name: audit.Text(r.Name), Value: audit.Text(r.Value)})
	l.held.say(fmt.Sprintf("%s; no further program starts", r))
}

func (l *programLog) ended(e programs.End) {
	end := &audit.ProgramEnd{PID: e.PID, Joined: e.Joined, Path: audit.Text(e.Path), Microseconds: e.Ran.Microseconds()}
	switch {
	case !e.Known:
		end.How = "unknown"
	case e.Status.Signaled():
		end.How, end.Signal = "signaled", audit.Text(signalName(e.Status.Signal()))
	default:
		end.How, end.ExitCode = "exited", e.Status.ExitStatus()
	}
	_ = l.append(end)
}

func (l *programLog) append(e audit.Event) error { return l.write(e, (*audit.Log).Append) }

func (l *programLog) write(e audit.Event, how func(*audit.Log, audit.Event) error) error {
	if l.record.log == nil {
		return nil
	}
	if err := how(l.record.log, e); err != nil && !l.record.goesOn {
		return err
	}
	return nil
}
