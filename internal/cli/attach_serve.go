package cli

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"agentbox/internal/session"
)

// attached serves one client until it leaves or the session is over.
func (b *background) attached(ctx context.Context, conn *session.Conn, g session.Greeting) {
	output, err := b.record.Reader()
	if err == nil {
		defer output.Close()
		err = output.SkipTo(g.Replay)
	}
	if err != nil {
		_ = conn.Send(session.Refused, []byte(err.Error()))
		return
	}
	r := session.Reception{Terminal: b.plan.Terminal, Input: b.input != nil, Allow: b.plan.Allow}
	if conn.SendJSON(session.Welcome, r) != nil {
		return
	}
	// What is left to read is read to its end: a deadline of the connection sees to it that this does not take long.
	ctx, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	b.serving.Go(func() {
		defer leave()
		b.listen(conn, g.Input)
	})
	b.show(ctx, conn, output)
}

// show passes on what was kept, and the result behind it.
func (b *background) show(ctx context.Context, conn *session.Conn, output *session.Reader) {
	for {
		f, err := output.Next(ctx)
		if errors.Is(err, io.EOF) {
			_ = conn.Send(session.Exit, b.result)
			return
		}
		if err != nil || conn.Send(f.Kind, f.Data) != nil {
			return
		}
	}
}

// listen does what a client asks, until it leaves.
func (b *background) listen(conn *session.Conn, input bool) {
	for {
		f, err := conn.Receive()
		if err != nil {
			return
		}
		switch f.Kind {
		case session.Input:
			if !input || b.input == nil {
				return
			}
			_, _ = b.input.Write(f.Data) // an agent that reads no more is no reason to leave
		case session.EOF:
			if input && b.input != nil && !b.plan.Terminal {
				b.input.Close()
			}
		case session.Resize:
			if rows, columns, ok := f.Size(); ok && b.plan.Terminal && setSize(b.input, rows, columns) == nil {
				b.box.Resize()
			}
		case session.Signal:
			if len(f.Data) == 1 && f.Data[0] >= 1 && f.Data[0] <= 64 {
				s := unix.Signal(f.Data[0])
				if ends(s) {
					b.asked.Store(true)
				}
				_ = b.box.Signal(s)
			}
		default:
			return
		}
	}
}
