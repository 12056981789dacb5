package cli

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"agentbox/internal/session"
	"agentbox/launch"
)

// A background stands in for the caller of a detached session: it keeps what the agent writes, and joins those who
// attach with the agent's input and output. All of them read what was kept, so none can hold up the agent.
type background struct {
	report  *os.File // a socket to the command that waits for the start
	record  *session.Record
	streams launch.Streams // the box's side
	sources []source       // ours, of its output
	input   *os.File       // ours, of its input; nil: it has none
	box     *launch.Box
	plan    launch.Plan
	resumes string      // the session whose overlay this one took over
	result  []byte      // set before the record ends
	asked   atomic.Bool // somebody who is attached asked the agent to end

	collecting, serving sync.WaitGroup
	stop                context.CancelFunc // nil until began
}

// A source is a stream that the agent writes.
type source struct {
	kind session.Kind
	from *os.File
}

// prepare makes everything that can fail without a box.
func (b *background) prepare(o runOptions, p policy) (launch.Streams, error) {
	root, err := session.RecordRoot(stateDir(os.Getenv, p.host.Files.Home)) // which no workspace may hold
	if err != nil {
		return launch.Streams{}, err
	}
	if b.record, err = session.NewRecord(root); err != nil {
		return launch.Streams{}, err
	}
	if err := b.record.KeepOutput(); err != nil {
		return launch.Streams{}, err
	}
	b.plan = p.plan
	if p.plan.Terminal {
		err = b.makeTerminal()
	} else {
		err = b.makePipes(o.interactive)
	}
	return b.streams, err
}

func (b *background) makeTerminal() error {
	master, slave, err := openPTY()
	if err != nil {
		return err
	}
	b.streams = launch.Streams{In: slave, Out: slave, Err: slave}
	b.sources, b.input = []source{{session.Stdout, master}}, master
	return nil
}

func (b *background) makePipes(input bool) error {
	out, outBox, err := os.Pipe()
	if err != nil {
		return err
	}
	errs, errsBox, err := os.Pipe()
	if err != nil {
		return err
	}
	b.streams = launch.Streams{Out: outBox, Err: errsBox} // no In: the agent reads from /dev/null
	b.sources = []source{{session.Stdout, out}, {session.Stderr, errs}}
	if input {
		b.streams.In, b.input, err = os.Pipe()
	}
	return err
}

// began publishes a session whose agent runs and lets the waiting command go. An error here ends the box.
func (b *background) began(ctx context.Context, box *launch.Box, c *caller) error {
	if b == nil {
		return nil
	}
	b.box = box
	s := box.Session()
	err := s.Update(func(i *session.Info) {
		i.Detached, i.Terminal, i.Input, i.Resumes = true, b.plan.Terminal, b.input != nil, b.resumes
	})
	if err == nil {
		err = s.Listen() // or a `kill` that comes at once would find nobody
	}
	if err == nil {
		err = s.ListenAttach()
	}
	if err == nil {
		err = b.record.Publish(s.Info())
	}
	if err != nil {
		return err
	}
	ctx, b.stop = context.WithCancel(context.WithoutCancel(ctx))
	for _, s := range b.sources {
		b.collecting.Go(func() { b.collect(s) })
	}
	b.serving.Go(func() { _ = s.ServeAttach(ctx, b.attached) })
	if err := letGo(c.err); err != nil {
		return err
	}
	go b.tell()
	return nil
}

// tell lets the waiting command go. When it does not answer that it has passed the ID on, nobody knows the session.
func (b *background) tell() {
	_, err := b.report.WriteString(b.box.ID() + "\n")
	if err == nil {
		_, err = b.report.Read(make([]byte, 1))
	}
	b.report.Close()
	if err != nil {
		_ = b.box.Kill()
	}
}

// letGo puts /dev/null in the place of the caller's file for errors, which may be a terminal.
func letGo(f *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	return unix.Dup3(int(null.Fd()), int(f.Fd()), 0)
}

// collect keeps a stream until finish.
func (b *background) collect(s source) {
	buf := make([]byte, 32<<10)
	for {
		n, err := s.from.Read(buf)
		if n > 0 {
			b.record.Append(s.kind, buf[:n])
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			b.rest(s, buf)
		}
		if err != nil {
			return
		}
	}
}

// rest keeps what is in the stream, and waits for no more: all of the box has ended.
func (b *background) rest(s source, buf []byte) {
	raw, err := s.from.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		for {
			n, err := unix.Read(int(fd), buf)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil || n <= 0 {
				return
			}
			b.record.Append(s.kind, buf[:n])
		}
	})
}

// finish keeps the result of a session that is over behind its output and a note, and gives those who are attached a
// moment to read the rest. Of one that did not start nothing is left.
func (b *background) finish(result []byte, note string) error {
	if b == nil || b.record == nil {
		return nil
	}
	if b.stop == nil {
		return b.record.Discard()
	}
	for _, s := range b.sources {
		_ = s.from.SetReadDeadline(past())
	}
	b.collecting.Wait()
	if note != "" {
		b.record.Append(session.Note, []byte(note))
	}
	b.result = result
	err := b.record.End(result)
	if b.input != nil {
		b.input.Close()
	}
	b.stop()
	b.serving.Wait()
	b.record.Close()
	return err
}

// urged reports whether somebody who is attached asked the agent to end.
func (b *background) urged() bool { return b != nil && b.asked.Load() }
