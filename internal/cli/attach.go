package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	cli "github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"agentbox/internal/session"
)

// recent is how much of the earlier output attach shows, in bytes.
const recent = 64 << 10

type attachOptions struct {
	id    string
	keys  []byte
	input bool
}

func newAttach(c *caller) *cli.Command {
	return &cli.Command{
		Name: "attach", Usage: "join the terminal, or the input and output, of a detached session", UsageText: "agentbox attach [options] [ID]",
		Description: "Shows the latest output, then what comes. Ctrl-P Ctrl-Q leaves, and the session goes on. Ends with the agent's exit code.\n" +
			"ID may be a unique beginning; without it, the latest detached session of this project is meant.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "detach-keys", Value: defaultKeys, DefaultText: defaultKeys, Usage: "`KEYS` that leave a session with a terminal: characters and ctrl-X, with commas between, or none"},
			&cli.BoolFlag{Name: "no-input", Usage: "only look: send neither input nor signals"},
		},
		Action: func(ctx *cli.Context) error {
			o := attachOptions{id: ctx.Args().First(), input: !ctx.Bool("no-input")}
			if err := wantArgs(ctx, 1); err != nil {
				return err
			}
			keys, err := value(ctx, "detach-keys")
			if err == nil {
				o.keys, err = parseKeys(keys)
			}
			if err != nil {
				return err
			}
			return attach(ctx.Context, o, c)
		},
	}
}

// An attachment is this process's end of a session that another one supervises.
type attachment struct {
	id     string
	conn   *session.Conn
	shown  *shown
	input  bool
	ended  chan outcome // the first one counts
	finish sync.Once
}

// An outcome is why an attachment is over.
type outcome struct {
	result   []byte // the session ended
	detached bool
	signal   unix.Signal // that was for this process
}

func attach(ctx context.Context, o attachOptions, c *caller) error {
	root, info, err := c.findDetached(o.id)
	if err != nil {
		return err
	}
	raw := info.Terminal && isTerminal(c.in) && isTerminal(c.out)
	_, signals := newCourier(ctx, raw)
	defer signals.stop()
	conn, r, err := session.Attach(root, info.ID, session.Greeting{Replay: recent, Input: o.input})
	if err != nil && c.endsMeanwhile(info.ID) {
		return c.notLive(info.ID, session.ErrNotFound)
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	a := &attachment{id: info.ID, conn: conn, shown: c.show(r.Allow), input: o.input, ended: make(chan outcome, 1)}
	defer a.shown.close()
	if raw && o.input {
		if err := a.shown.raw(); err != nil {
			return err
		}
	}
	go a.output()
	if o.input && r.Input && !isNull(c.in) {
		w := &keyWatch{}
		if raw {
			w.keys = o.keys
		}
		go a.typed(c.in, w)
	}
	if raw {
		a.Resize() // also makes a program that fills the screen draw it
	}
	signals.deliverTo(a)
	end := <-a.ended
	a.shown.close()
	return c.attachEnd(info.ID, end)
}

func (a *attachment) end(o outcome) { a.finish.Do(func() { a.ended <- o }) }

// output shows what the agent writes, until the session is over.
func (a *attachment) output() {
	for {
		f, err := a.conn.Receive()
		switch {
		case err != nil:
			a.end(outcome{})
			return
		case f.Kind == session.Exit:
			a.end(outcome{result: f.Data})
			return
		}
		if err := a.shown.frame(f); err != nil { // the reader of our output has left
			a.end(outcome{detached: true, signal: unix.SIGPIPE})
			return
		}
	}
}

// typed sends input, until the keys that detach.
func (a *attachment) typed(in *os.File, w *keyWatch) {
	buf := make([]byte, 32<<10)
	for {
		n, err := in.Read(buf)
		forAgent, detach := w.feed(buf[:n])
		if len(forAgent) > 0 && a.conn.Send(session.Input, forAgent) != nil {
			return // and output knows why
		}
		if detach {
			a.end(outcome{detached: true})
			return
		}
		if err != nil {
			_ = a.conn.Send(session.EOF, nil)
			return
		}
	}
}

// Signal sends the agent what a terminal would. A request to end this process is not one to end the session.
func (a *attachment) Signal(s unix.Signal) error {
	if s == unix.SIGTERM || s == unix.SIGHUP || !a.input {
		a.end(outcome{detached: true, signal: s})
		return nil
	}
	return a.conn.Send(session.Signal, []byte{byte(s)})
}

// Resize tells the agent the size of this terminal's window.
func (a *attachment) Resize() {
	if rows, columns, ok := a.shown.size(); ok && a.input {
		_ = a.conn.SendSize(rows, columns)
	}
}

// attachEnd says how it ended; the error is the exit code.
func (c *caller) attachEnd(id string, end outcome) error {
	if end.detached {
		if end.signal == 0 {
			c.voice.notef("left session %s, which goes on", id)
			return nil
		}
		return exitStatus(exitSignal + int(end.signal))
	}
	if end.result == nil && c.endsMeanwhile(id) { // the supervisor did not wait for us
		if k, err := c.findKept(id); err == nil {
			end.result = k.Result
		}
	}
	var r endedResult
	if end.result == nil || json.Unmarshal(end.result, &r) != nil {
		c.voice.failf("the supervisor of session %s was killed, and its box with it", id)
		return exitStatus(exitSignal + int(unix.SIGKILL))
	}
	for _, limit := range r.Reached {
		c.voice.warnf("%s", limit)
	}
	if r.Error != "" {
		c.voice.failf("%s", r.Error)
	}
	return exitStatus(r.ExitCode)
}

// findDetached finds a live session that can be attached to.
func (c *caller) findDetached(prefix string) (root string, info session.Info, err error) {
	root, list, dir, err := c.liveSessions()
	if err != nil {
		return root, info, err
	}
	if prefix == "" { // one in the foreground is not meant
		var detached []session.Info
		for _, s := range list {
			if s.Detached {
				detached = append(detached, s)
			}
		}
		list = detached
	}
	info, err = session.Pick(list, prefix, dir)
	switch {
	case errors.Is(err, session.ErrNotFound) && prefix == "":
		return root, info, &plainError{err: fmt.Errorf("%w: no detached one runs in %q", session.ErrNotFound, dir), hint: `"agentbox ps --all" lists them`}
	case err != nil:
		return root, info, c.notLive(prefix, err)
	}
	if !info.Detached {
		err = &plainError{err: fmt.Errorf("session %s runs in the foreground of process %d", info.ID, info.PID), hint: `"agentbox run --detach" starts one that can be attached to`}
	}
	return root, info, err
}

// isNull reports a stream without content: closed, or /dev/null.
func isNull(f *os.File) bool {
	var st unix.Stat_t
	if f == nil || unix.Fstat(int(f.Fd()), &st) != nil {
		return true
	}
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
}

// notLive adds what is known of a session that has ended.
func (c *caller) notLive(prefix string, err error) error {
	listed := &plainError{err: err, hint: `"agentbox ps" lists the sessions`}
	if prefix == "" || !errors.Is(err, session.ErrNotFound) {
		return listed
	}
	k, kerr := c.findKept(prefix)
	if kerr != nil {
		return listed
	}
	return &plainError{err: fmt.Errorf("session %s has ended", k.Info.ID), hint: fmt.Sprintf(`"agentbox logs %s" prints what it wrote`, k.Info.ID)}
}
