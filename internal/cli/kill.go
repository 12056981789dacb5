package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	cli "github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"agentbox/internal/session"
)

// settling is how long a supervisor may take over what is not the agent's to do.
const settling = 5 * time.Second

type killOptions struct {
	id     string
	signal unix.Signal
	grace  time.Duration
}

func newKill(c *caller) *cli.Command {
	return &cli.Command{
		Name: "kill", Usage: "end a session, or send its agent a signal", UsageText: "agentbox kill [options] [ID]",
		Description: "ID may be a unique beginning; without it, the latest session of this project is meant.\nWaits until nothing of the box is left.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "signal", Aliases: []string{"s"}, Value: "TERM", DefaultText: "TERM", Usage: "`SIGNAL` to send first, by name or number"},
			&cli.DurationFlag{Name: "grace", Value: 10 * time.Second, DefaultText: "10s", Usage: "how long the agent has before the box is ended"},
			&cli.BoolFlag{Name: "now", Usage: "end the box at once"},
		},
		Action: func(ctx *cli.Context) error {
			o, err := killOptionsFrom(ctx)
			if err != nil {
				return err
			}
			return kill(ctx.Context, o, c)
		},
	}
}

func killOptionsFrom(ctx *cli.Context) (killOptions, error) {
	o := killOptions{id: ctx.Args().First(), grace: ctx.Duration("grace")}
	if err := wantArgs(ctx, 1); err != nil {
		return o, err
	}
	var err error
	if o.signal, err = parseSignal(ctx.String("signal")); err != nil {
		return o, err
	}
	if o.grace < 0 || o.grace > time.Hour {
		return o, &usageError{msg: fmt.Sprintf("--grace %v is not between 0 and 1h", o.grace)}
	}
	if ctx.Bool("now") {
		if ctx.IsSet("signal") || ctx.IsSet("grace") {
			return o, &usageError{msg: "--now contradicts --signal and --grace", hint: "give one of them"}
		}
		o.signal = unix.SIGKILL
	}
	return o, nil
}

func parseSignal(text string) (unix.Signal, error) {
	name := strings.ToUpper(text)
	if s := unix.SignalNum("SIG" + strings.TrimPrefix(name, "SIG")); s != 0 {
		return s, nil
	}
	if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= 64 {
		return unix.Signal(n), nil
	}
	return 0, &usageError{msg: fmt.Sprintf("there is no signal %q", text), hint: "write TERM, INT, HUP, QUIT, USR1, USR2 or KILL"}
}

// ends reports whether a signal asks the agent to end, so that `kill` waits for it.
func ends(s unix.Signal) bool {
	switch s {
	case unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGKILL:
		return true
	}
	return false
}

func kill(ctx context.Context, o killOptions, c *caller) error {
	root, info, err := c.findSession(o.id)
	if err != nil {
		return err
	}
	supervisor, err := session.OpenProcess(info.PID, info.StartTicks)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer supervisor.Close()
	r := session.Request{Op: session.OpSignal, Signal: int(o.signal)}
	if ends(o.signal) && o.signal != unix.SIGKILL {
		r.Grace = max(o.grace, time.Nanosecond)
	}
	reply, err := session.Call(root, info.ID, r, settling)
	if !ends(o.signal) {
		if err == nil && !reply.OK {
			err = fmt.Errorf("session %s: %s", info.ID, reply.Error)
		}
		return err
	}
	wait := settling
	switch {
	case err != nil: // nobody answers
		wait = 0
	case o.signal != unix.SIGKILL:
		wait += o.grace
	}
	if gone(supervisor, wait) {
		return nil
	}
	if err == nil && boxGone(info) { // it looks at what the agent changed, which may take a while
		gone(supervisor, time.Hour)
		return nil
	}
	return c.endSupervisor(ctx, info.ID, supervisor)
}

// endSupervisor ends a supervisor that does not do it itself. Its box goes with it.
func (c *caller) endSupervisor(ctx context.Context, id string, supervisor *os.File) error {
	err := unix.PidfdSendSignal(int(supervisor.Fd()), unix.SIGKILL, nil, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("session %s: its supervisor does not answer: %w", id, err)
	}
	if !gone(supervisor, settling) {
		return fmt.Errorf("session %s: its supervisor does not end", id)
	}
	c.voice.notef("session %s did not answer and was ended", id)
	c.sweep(true)
	return ctx.Err()
}

// boxGone reports that the box has ended, whatever its supervisor still does.
func boxGone(info session.Info) bool {
	if info.BoxPID == 0 {
		return false
	}
	box, err := session.OpenProcess(info.BoxPID, info.BoxStartTicks)
	if err != nil {
		return errors.Is(err, os.ErrProcessDone)
	}
	defer box.Close()
	return gone(box, 0)
}

// gone waits for the end of a process.
func gone(pidfd *os.File, most time.Duration) bool {
	deadline := time.Now().Add(most)
	for {
		fds := []unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(max(0, time.Until(deadline)).Milliseconds()))
		if n > 0 {
			return true
		}
		if !errors.Is(err, unix.EINTR) {
			return false
		}
	}
}
