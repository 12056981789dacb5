package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	cli "github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"agentbox/internal/session"
	"agentbox/launch"
)

type runOptions struct {
	planOptions
	result      string
	patch       string
	resume      string        // the ID of the session on whose changes to go on, or ""
	from        *session.Kept // what there is of it
	decided     bool          // the command line says what becomes of the changes
	verbose     bool
	interactive bool        // only of a detached session without a terminal, see detachFlags
	background  *background // nil: the caller waits for the end
}

func newRun(c *caller) *cli.Command {
	flags := append(runFlags(), dirFlag())
	flags = append(flags, terminalFlags()...)
	flags = append(flags, detachFlags()...)
	flags = append(flags,
		&cli.StringFlag{Name: "patch", Usage: "write what the agent changed to `FILE`, for \"git apply\""},
		&cli.StringFlag{Name: "resume", Usage: "go on with the changes of the session `ID`, which has ended; without COMMAND, with its command"},
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
			if ctx.Bool("detach") {
				return detach(ctx, c)
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
	o.verbose, o.interactive = ctx.Bool("verbose"), ctx.Bool("interactive")
	o.decided = ctx.IsSet("apply")
	for name, to := range map[string]*string{"result": &o.result, "patch": &o.patch, "resume": &o.resume} {
		if *to, err = value(ctx, name); err != nil {
			return o, err
		}
	}
	return o, nil
}

// run starts the box, waits for its end, writes the result and asks what becomes of the changes; its error is the exit
// code.
func run(ctx context.Context, o runOptions, c *caller) error {
	o, unknown := c.resumed(o)
	r, err := newResult(o, ".", cmp.Or(o.workspace, "."))
	if err != nil {
		return notStarted(err)
	}
	if err = unknown; err == nil {
		err = supervise(ctx, o, c, r)
	}
	err = notStarted(err)
	r.over(err)
	r.programs.close()
	r.tools.close()
	r.network.close()
	r.record.end(r, r.agentEnd)
	r.kept.see(ctx, r.record)
	r.record.close()
	err = r.kept.settle(ctx, r, err)
	data, werr := r.encode()
	werr = errors.Join(werr, r.write(data), r.kept.end(data), o.background.finish(data, r.kept.closing()))
	if werr != nil {
		c.voice.failf("%s", werr)
		if errors.Is(err, exitStatus(0)) {
			err = exitStatus(exitFailure) // what lies in the file's place may be the agent's own
		}
	}
	r.kept.offer(ctx, o, r)
	r.record.tend()
	return err
}

func supervise(ctx context.Context, o runOptions, c *caller, r *result) error {
	ctx, signals := newCourier(ctx, o.terminal)
	defer func() {
		signals.stop()
		if r.urged = signals.urged; r.urged != 0 {
			r.asked = true
		}
	}()
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
		c.voice.findings(append(slices.Clone(p.warnings), p.tracked()...))
	}
	if why := p.plan.Files.NoGit; why != "" {
		c.voice.warnf("git in the box: %s", why)
	}
	streams := launch.Streams{In: c.in, Out: c.out, Err: c.err}
	if o.background != nil {
		if streams, err = o.background.prepare(o, p); err != nil {
			return err
		}
	}
	r.Session = session.NewID()
	if r.record, err = c.record(r.Session, p); err != nil {
		return err
	}
	if r.kept, err = c.keep(r.Session, o, p); err != nil {
		return err
	}
	full := c.full(o, p, r.record)
	r.record.full = full
	if r.network, err = c.network(ctx, p, r.record, full); err != nil {
		return err
	}
	if r.tools, err = c.tools(p, r.record, full); err != nil {
		return err
	}
	if r.programs, err = c.programs(p, r.record, full, r.tools.hears); err != nil {
		return err
	}
	p.plan.Equip(r.network.stand)
	label := launch.Label{ID: r.Session, Profile: p.name, Before: r.onDisk, Writes: r.kept.dir()}
	label.Full = full.reached
	label.Network, label.Hook, label.Programs = r.network.serve, r.tools.serve, r.programs.serve
	box, err := launch.Start(ctx, p.plan, streams, label)
	if err != nil {
		return startFailure(ctx, err, p.plan)
	}
	r.network.box <- box
	if r.network.lacks != nil {
		c.voice.warnf("connections without a proxy are not captured, and lead nowhere: %s", r.network.lacks)
	}
	r.kept.started()
	r.record.ready(box)
	if loud {
		c.announce(box.ID(), p, o.background == nil)
	}
	stop := serve(ctx, box, r.record, full, r.programs)
	signals.deliverTo(thawing{box, full, r.tools, r.record})
	unheard := o.background.began(ctx, box, c)
	if unheard != nil {
		_ = box.Kill()
	}
	if unheard == nil {
		r.kept.took()
	}
	end := box.Wait()
	r.asked = stop() || o.background.urged()
	if unheard != nil {
		return unheard
	}
	r.programs.close()
	r.tools.close()
	r.network.close() // what was open is counted then
	r.network.spent.over(r, &end)
	c.reached(end)
	c.complain(end)
	r.agentEnd = end
	r.Appeared = p.appeared()
	c.warnAppeared(r.Appeared)
	return r.end(end)
}

// sweep takes away what a dead supervisor left. A start does not depend on it.
func (c *caller) sweep(loud bool) {
	if err := launch.Sweep(); err != nil && loud {
		c.voice.warnf("what an earlier session left could not be removed: %s", err)
	}
}

// announce prints the one line about the box. The terminal of one in the foreground is in raw mode by then.
func (c *caller) announce(id string, p policy, foreground bool) {
	name := "profile " + p.name
	if p.byCommand {
		name += " (by the command's name)"
	}
	line := []string{"box " + id, name, fmt.Sprintf("workspace %s (%s)", p.plan.Workspace, p.effective.Profile.Workspace.Mode),
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
	if p.plan.Terminal && foreground {
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

// complain says that something of the agent's was lost.
func (c *caller) complain(end launch.Result) {
	if end.Lost != nil {
		c.voice.failf("what the command wrote could not all be passed on: %s", end.Lost)
	}
	if end.Unkept != nil {
		c.voice.failf("%s", end.Unkept)
	}
}

// codeOf is the agent's exit code; what was lost must not look like success.
func codeOf(end launch.Result) int {
	if (end.Lost != nil || end.Unkept != nil) && end.ExitCode == 0 {
		return exitFailure
	}
	return end.ExitCode
}

// end takes over how the agent ended; its error carries the exit code.
func (r *result) end(end launch.Result) error {
	r.Cause, r.ExitCode = causeExited, codeOf(end)
	if lost := errors.Join(end.Lost, end.Unkept); lost != nil {
		r.Error = lost.Error()
	}
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
	return exitStatus(r.ExitCode)
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
			real, err := filepath.EvalSymlinks(host)
			if err == nil && real != host && slices.Contains(e.Path, filepath.Dir(host)) {
				return fmt.Sprintf("%s leads to %s on the host, but that directory is not shown: --expose %s", host, real, filepath.Dir(real))
			}
			return fmt.Sprintf("it is at %s on the host, but that directory is not shown: --expose %s", host, filepath.Dir(host))
		}
	}
	if strings.Contains(e.Name, "/") {
		return ""
	}
	return "PATH in the box is " + strings.Join(e.Path, ":")
}
