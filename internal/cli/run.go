package cli

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	cli "github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"agentbox/internal/session"
	"agentbox/launch"
)

type runOptions struct {
	planOptions
	result  string
	verbose bool
}

func newRun(c *caller) *cli.Command {
	flags := append(runFlags(), dirFlag())
	flags = append(flags, terminalFlags()...)
	flags = append(flags,
		&cli.StringFlag{Name: "result", Usage: "write how the session ended to `FILE`, as JSON"},
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "say what the box is also where there is no terminal"})
	return &cli.Command{
		Name: "run", Usage: "run a command in a box", UsageText: "agentbox run [options] -- COMMAND [ARGUMENTS]",
		Description: "Starts COMMAND, or the profile's agent.command, in a box and ends with its exit code.\n" + exitText(),
		Flags:       flags,
		Action: func(ctx *cli.Context) error {
			o, err := runOptionsFrom(ctx, c)
			if err != nil {
				return notStarted(err)
			}
			return run(ctx.Context, o, c)
		},
	}
}

func runOptionsFrom(ctx *cli.Context, c *caller) (runOptions, error) {
	var o runOptions
	var err error
	if o.planOptions, err = planOptionsFrom(ctx); err != nil {
		return o, err
	}
	if o.terminal, err = terminalFrom(ctx, c); err != nil {
		return o, err
	}
	o.verbose = ctx.Bool("verbose")
	o.result, err = value(ctx, "result")
	return o, err
}

// run starts the box, waits for its end and writes the result; its error is the exit code.
func run(ctx context.Context, o runOptions, c *caller) error {
	r, err := newResult(o.result, o.command)
	if err != nil {
		return notStarted(err)
	}
	err = notStarted(supervise(ctx, o, c, r))
	if werr := r.write(err); werr != nil {
		c.voice.failf("%s", werr)
	}
	return err
}

func supervise(ctx context.Context, o runOptions, c *caller, r *result) error {
	ctx, signals := newCourier(ctx, o.terminal)
	defer signals.stop()
	loud := o.verbose || c.voice.talks()
	c.sweep(loud)
	p, err := decide(o.planOptions)
	if err != nil {
		return err
	}
	if len(p.plan.Command) == 0 {
		return &usageError{msg: "there is no command to run", hint: `write it after "--", or set agent.command in the profile`}
	}
	r.Command = p.plan.Command
	for _, d := range p.plan.Degraded {
		r.Degraded = append(r.Degraded, d.Layer)
	}
	if loud {
		c.voice.findings(p.warnings)
	}
	box, err := launch.Start(ctx, p.plan, launch.Streams{In: c.in, Out: c.out, Err: c.err}, p.name)
	if err != nil {
		return startFailure(ctx, err, p.plan)
	}
	r.Session = box.ID()
	if loud {
		c.announce(box.ID(), p)
	}
	signals.deliverTo(box)
	stop := serve(ctx, box)
	end := box.Wait()
	stop()
	c.reached(end)
	return r.end(end)
}

// sweep takes away what a dead supervisor left. A start does not depend on it.
func (c *caller) sweep(loud bool) {
	if err := launch.Sweep(); err != nil && loud {
		c.voice.warnf("what an earlier session left could not be removed: %s", err)
	}
}

// announce prints the one line about the box. The terminal is in raw mode by then.
func (c *caller) announce(id string, p policy) {
	line := []string{"box " + id, "profile " + p.name, fmt.Sprintf("workspace %s (%s)", p.plan.Workspace, p.effective.Profile.Workspace.Mode),
		"network " + p.effective.Profile.Network.Mode}
	var degraded []string
	for _, d := range p.plan.Degraded {
		degraded = append(degraded, d.Layer)
	}
	if degraded != nil {
		line = append(line, "degraded: "+strings.Join(degraded, ", "))
	}
	if watched := p.plan.Limits.Watched(); watched != nil {
		line = append(line, "watched, not enforced: "+strings.Join(watched, ", "))
	}
	if p.plan.Terminal {
		c.voice.newline = "\r\n"
		defer func() { c.voice.newline = "\n" }()
	}
	c.voice.notef("%s", strings.Join(line, " · "))
}

// reached says which limits the agent ran into, and which one ended it.
func (c *caller) reached(end launch.Result) {
	for _, limit := range end.Reached {
		if limit.Ended {
			c.voice.failf("%s", limit)
		} else {
			c.voice.warnf("%s", limit)
		}
	}
}

// end takes over how the agent ended; its error carries the exit code.
func (r *result) end(end launch.Result) error {
	r.Cause, r.ExitCode = causeExited, end.ExitCode
	if end.Signal != 0 {
		r.Cause, r.Signal = causeSignaled, signalName(end.Signal)
	}
	if end.Killed {
		r.Cause = causeKilled
	}
	if end.Limit != "" {
		r.Cause, r.Limit = causeLimit, end.Limit
	}
	for _, limit := range end.Reached {
		r.Reached = append(r.Reached, limit.String())
	}
	return exitStatus(end.ExitCode)
}

// notStarted marks an error that came before the agent: nothing of it ran.
func notStarted(err error) error {
	var status exitStatus
	var start *startError
	if err == nil || errors.As(err, &status) || errors.As(err, &start) {
		return err
	}
	return &startError{err: err}
}

// startFailure says why there is no agent.
func startFailure(ctx context.Context, err error, plan launch.Plan) error {
	if s := interruption(ctx); s != nil {
		return s
	}
	var command *launch.CommandError
	if errors.As(err, &command) {
		return &startError{err: err, hint: whereIs(command, plan)}
	}
	return err
}

// whereIs helps with a command that the box does not have or cannot execute.
func whereIs(e *launch.CommandError, plan launch.Plan) string {
	if !e.NotFound() {
		if e.Err == unix.ENOEXEC {
			return "it is neither a program for this machine nor a script that begins with #!"
		}
		return "it must be a file that everybody may execute"
	}
	host, err := exec.LookPath(e.Name)
	if err == nil {
		if host, err = filepath.Abs(host); err == nil {
			if strings.Contains(e.Name, "/") && inside(host, plan.Workspace) {
				return "the interpreter that its first line names is not in the box"
			}
			return fmt.Sprintf("it is at %s on the host, but that directory is not shown: --expose %s", host, filepath.Dir(host))
		}
	}
	if strings.Contains(e.Name, "/") {
		return ""
	}
	return "PATH in the box is " + strings.Join(e.Path, ":")
}

// serve answers the session's control socket until the returned function is called.
func serve(ctx context.Context, box *launch.Box) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var deadline *time.Timer
	var mu sync.Mutex
	var serving sync.WaitGroup
	handler := func(r session.Request) session.Reply {
		if r.Op == session.OpInfo {
			info := box.Session().Info()
			return session.Reply{OK: true, Info: &info}
		}
		if err := box.Signal(unix.Signal(r.Signal)); err != nil {
			return session.Reply{Error: err.Error()}
		}
		mu.Lock()
		defer mu.Unlock()
		if r.Grace > 0 && deadline == nil && ctx.Err() == nil {
			deadline = time.AfterFunc(r.Grace, func() { _ = box.Kill() })
		}
		return session.Reply{OK: true}
	}
	// Without the socket the box is as safe, and `kill` falls back to ending this process.
	serving.Go(func() { _ = box.Session().Serve(ctx, handler) })
	return func() {
		cancel()
		serving.Wait()
		mu.Lock()
		defer mu.Unlock()
		if deadline != nil {
			deadline.Stop()
		}
	}
}
