package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	cli "github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"agentbox/internal/session"
	"agentbox/launch"
)

func newLogs(c *caller) *cli.Command {
	return &cli.Command{
		Name: "logs", Usage: "print what a detached session wrote", UsageText: "agentbox logs [-f] [ID]",
		Description: "The agent's output goes to the output, its errors to the errors. A terminal gets no control sequence that the agent's own\n" +
			"terminal would not. Of each session the first mebibyte and the last seven are kept; \"agentbox ps --all\" lists the sessions.",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on until the session ends"}},
		Action: func(ctx *cli.Context) error {
			if err := wantArgs(ctx, 1); err != nil {
				return err
			}
			return logs(ctx.Context, ctx.Args().First(), ctx.Bool("follow"), c)
		},
	}
}

func logs(ctx context.Context, prefix string, follow bool, c *caller) error {
	k, err := c.findKept(prefix)
	if err != nil {
		return err
	}
	s := c.show(nil)
	defer s.close()
	if follow && k.Info.State == session.Running {
		err = c.follow(k.Info.ID, s)
	} else {
		err = c.printKept(ctx, k.Info.ID, s)
	}
	if errors.Is(err, unix.EPIPE) { // the reader wants no more
		return exitStatus(exitSignal + int(unix.SIGPIPE))
	}
	return err
}

func (c *caller) printKept(ctx context.Context, id string, s *shown) error {
	root, err := recordsDir()
	if err != nil {
		return err
	}
	output, err := session.OpenOutput(root, id)
	if err != nil {
		return err
	}
	defer output.Close()
	for {
		f, err := output.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = s.frame(f)
		}
		if err != nil {
			return err
		}
	}
}

// follow reads everything from the supervisor, which knows when there is no more.
func (c *caller) follow(id string, s *shown) error {
	root, err := session.Root()
	if err != nil {
		return err
	}
	conn, _, err := session.Attach(root, id, session.Greeting{Replay: -1})
	if err != nil {
		if c.endsMeanwhile(id) {
			return c.printKept(context.Background(), id, s)
		}
		return err
	}
	defer conn.Close()
	for {
		f, err := conn.Receive()
		switch {
		case err != nil && c.endsMeanwhile(id):
			return &plainError{err: fmt.Errorf("session %s ended before its output was read", id), hint: fmt.Sprintf(`"agentbox logs %s" prints what was kept`, id)}
		case err != nil:
			return fmt.Errorf("the supervisor of session %s was killed, and its box with it", id)
		}
		if f.Kind == session.Exit {
			return nil
		}
		if err := s.frame(f); err != nil {
			return err
		}
	}
}

// endsMeanwhile reports whether a session that does not answer is one that has its result, or is about to.
func (c *caller) endsMeanwhile(id string) bool {
	deadline := time.NewTimer(settling)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		k, err := c.findKept(id)
		if err != nil || k.Info.State != session.Running {
			return err == nil && k.Info.State == session.Ended
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return false
		}
	}
}

// shown is where an agent's output goes: terminals get it filtered, everything else as it is.
type shown struct {
	c        *caller
	out, err io.Writer
	viewers  []*launch.Viewer
}

func (c *caller) show(allow []string) *shown {
	s := &shown{c: c, out: c.out, err: c.err}
	if isTerminal(c.out) {
		v := launch.NewViewer(c.in, c.out, allow)
		s.out, s.viewers = v, append(s.viewers, v)
	}
	if isTerminal(c.err) {
		v := launch.NewViewer(nil, c.err, allow)
		s.err, s.viewers = v, append(s.viewers, v)
	}
	return s
}

// raw hands the keys to the agent; the output must be a terminal.
func (s *shown) raw() error {
	s.c.voice.newline = "\r\n"
	return s.viewers[0].Raw()
}

func (s *shown) size() (rows, columns uint16, ok bool) {
	if !isTerminal(s.c.out) {
		return 0, 0, false
	}
	return s.viewers[0].Size()
}

func (s *shown) frame(f session.Frame) error {
	var err error
	switch f.Kind {
	case session.Stdout:
		_, err = s.out.Write(f.Data)
	case session.Stderr:
		_, err = s.err.Write(f.Data)
	case session.Note:
		s.c.voice.notef("%s", string(f.Data))
	}
	return err
}

func (s *shown) close() {
	for _, v := range s.viewers {
		v.Close()
	}
	s.c.voice.newline = "\n"
}

// recordsDir is where the records are, whether or not there are any.
func recordsDir() (string, error) {
	home := os.Getenv("HOME")
	if !filepath.IsAbs(home) {
		u, err := user.LookupId(strconv.Itoa(os.Geteuid()))
		if err != nil {
			return "", fmt.Errorf("the home directory is not known: %w", err)
		}
		home = u.HomeDir
	}
	return filepath.Join(stateDir(os.Getenv, home), "sessions"), nil
}

// findKept finds a session whose output is kept, alive or not.
func (c *caller) findKept(prefix string) (session.Kept, error) {
	root, err := recordsDir()
	if err != nil {
		return session.Kept{}, err
	}
	list, err := session.Records(root)
	if err != nil {
		c.voice.warnf("%s", err)
	}
	var infos []session.Info
	for _, k := range list {
		if k.Info.Detached || prefix != "" { // of others no output is kept
			infos = append(infos, k.Info)
		}
	}
	dir, err := os.Getwd()
	if err != nil {
		return session.Kept{}, err
	}
	info, err := session.Pick(infos, prefix, dir)
	for _, k := range list {
		if err == nil && k.Info.ID == info.ID {
			return k, nil
		}
	}
	if prefix == "" {
		err = fmt.Errorf("%w: no output of one is kept for %s", session.ErrNotFound, dir)
	}
	return session.Kept{}, &plainError{err: err, hint: `"agentbox ps --all" lists what "agentbox run --detach" has kept`}
}

// endedResult is what is read again of a result.
type endedResult struct {
	Cause    string    `json:"cause"`
	ExitCode int       `json:"exit_code"`
	Signal   string    `json:"signal,omitempty"`
	Error    string    `json:"error,omitempty"`
	Limit    string    `json:"limit,omitempty"`
	Reached  []string  `json:"reached,omitempty"`
	Ended    time.Time `json:"ended"`
}
