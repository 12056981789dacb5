package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	cli "github.com/urfave/cli/v2"

	"agentbox/internal/audit"
	"agentbox/internal/workspace"
)

type applyOptions struct {
	id                   string
	paths                []string // in the words of the command line, as the next three
	theirs, ours, merge  []string
	all, interactive     bool
	allowHandoff, dryRun bool
	digest               string
	json                 bool
}

func newApply(c *caller) *cli.Command {
	return &cli.Command{
		Name: "apply", Usage: "write what an agent changed to the project", UsageText: "agentbox apply [options] [ID] [PATH...]",
		Description: "ID may be a unique beginning; without it, the latest session of this project with changes is meant. A PATH is a file, or a\n" +
			"directory with all below it, relative to the current directory, or to the project where that is elsewhere. Write ./PATH where it\n" +
			"looks like an ID. Without a PATH, --all or --interactive a terminal is asked.\n" +
			"All that was chosen is written, or nothing. Some is held back, with the reason: files that something outside the box runs or obeys\n" +
			"(hand-off files) and those that the profile masks or protects, until each is named itself; what the host changed too, until one of\n" +
			"--theirs, --ours and --merge names it. Each of the three chooses its path as well.\n" +
			"--interactive asks for each file and each part of it, as \"git add --patch\" does. q, or the end of the input, stops asking and\n" +
			"applies what was agreed to until then; Ctrl-C applies nothing.\n" +
			"Ends with 1 when something was held back; the rest was applied then. The receipt is in the session's log.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "everything that needs no yes of its own"},
			&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Usage: "ask for each change"},
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "only say what would be written, and what is held back"},
			&cli.BoolFlag{Name: "allow-handoff", Usage: "hand-off files need no naming"},
			&cli.StringSliceFlag{Name: "theirs", Usage: "of `PATH`, which both sides changed, take the agent's version"},
			&cli.StringSliceFlag{Name: "ours", Usage: "of `PATH`, which both sides changed, leave the host's version"},
			&cli.StringSliceFlag{Name: "merge", Usage: "of `PATH`, which both sides changed, write both changes; git must have the version before them"},
			&cli.StringFlag{Name: "digest", Usage: "stop unless the changes are still those with this `DIGEST`, of \"agentbox diff --json\""},
			jsonFlag(),
		},
		Action: func(ctx *cli.Context) error {
			o, err := c.applyOptionsFrom(ctx)
			if err != nil {
				return err
			}
			return apply(ctx.Context, o, c)
		},
	}
}

func (c *caller) applyOptionsFrom(ctx *cli.Context) (applyOptions, error) {
	o := applyOptions{all: ctx.Bool("all"), interactive: ctx.Bool("interactive"), allowHandoff: ctx.Bool("allow-handoff"), dryRun: ctx.Bool("dry-run"),
		theirs: ctx.StringSlice("theirs"), ours: ctx.StringSlice("ours"), merge: ctx.StringSlice("merge"), json: ctx.Bool("json")}
	var err error
	if o.digest, err = value(ctx, "digest"); err != nil {
		return o, err
	}
	if o.id, o.paths, err = c.changesArgs(ctx.Args().Slice()); err != nil {
		return o, err
	}
	switch {
	case o.all && len(o.paths) > 0:
		return o, &usageError{msg: fmt.Sprintf("--all contradicts %q", o.paths[0]), hint: "give one of them"}
	case o.json && o.interactive:
		return o, &usageError{msg: "--json contradicts --interactive", hint: "give one of them"}
	case !o.chosen() && !o.interactive && (o.json || !c.canAsk()):
		return o, &usageError{msg: "it is not said what to apply", hint: `give --all, paths or --interactive; "agentbox diff" shows the changes`}
	}
	return o, nil
}

// chosen reports whether the command line says what to apply.
func (o applyOptions) chosen() bool {
	return o.all || len(o.paths)+len(o.theirs)+len(o.ours)+len(o.merge) > 0
}

// canAsk reports whether there is somebody to answer.
func (c *caller) canAsk() bool { return isTerminal(c.in) && c.voice.talks() }

// What a command that decides leaves when it fails.
const (
	nothingApplied   = "nothing was applied"
	nothingDiscarded = "nothing was discarded"
)

func apply(ctx context.Context, o applyOptions, c *caller) error {
	ctx, signals := newCourier(ctx, false) // which catches SIGPIPE, too: an apply does not stop halfway for its reader
	defer signals.stop()
	kept, err := c.findChanges(o.id)
	if err != nil {
		return err
	}
	ch, err := c.openChanges(kept, true)
	if err != nil {
		return err
	}
	defer ch.close()
	return c.applyTo(ctx, ch, o)
}

// applyTo decides about changes that are open, and says what became of them.
func (c *caller) applyTo(ctx context.Context, ch *changes, o applyOptions) error {
	review, err := ch.Review(ctx)
	if err != nil {
		return c.left(ctx, err, nothingApplied)
	}
	if o.digest != "" && o.digest != review.Digest() {
		return c.left(ctx, &plainError{err: errors.New("the changes are no longer those of the digest"),
			hint: fmt.Sprintf(`look at them again: "agentbox diff %s"`, ch.kept.Info.ID)}, nothingApplied)
	}
	if len(review.Changes) == 0 {
		return c.nothingWaits(ch, review, o)
	}
	chosen, err := c.choose(ctx, ch, review, o)
	if err != nil {
		return c.left(ctx, err, nothingApplied)
	}
	plan, err := ch.Plan(review, chosen)
	if err != nil {
		return c.left(ctx, err, nothingApplied)
	}
	a := applied{ch: ch, review: review, plan: plan, options: o}
	if !o.dryRun && len(plan.Items) > 0 {
		if err := c.carryOut(ctx, &a); err != nil {
			return err
		}
	}
	return c.showApplied(ctx, &a)
}

// An applied is what one apply did, or would do.
type applied struct {
	ch      *changes
	review  *workspace.Review
	plan    *workspace.Plan
	options applyOptions
	receipt *workspace.Receipt // nil: nothing was written
	remain  *workspace.Review  // nil: not known
	removed bool               // nothing was left, and the session's workspace is gone
}

// carryOut writes the plan. It is on record before and after; in the end, what is left is looked at again.
func (c *caller) carryOut(ctx context.Context, a *applied) error {
	l, err := c.openLedger(a.ch)
	if err != nil {
		return c.left(ctx, err, nothingApplied)
	}
	begin := &audit.ApplyBegin{UID: os.Getuid(), Workspace: audit.Text(a.ch.kept.Info.Workspace), Digest: audit.Text(a.review.Digest()),
		Items: len(a.plan.Items)}
	if err := l.commit(begin); err != nil {
		_ = l.close() // which would say the same
		return c.left(ctx, err, nothingApplied)
	}
	a.receipt, err = a.ch.Apply(ctx, a.plan, l.receipt)
	if a.receipt == nil {
		return c.notCarriedOut(ctx, l, err)
	}
	if err != nil {
		_ = l.close()
		return c.left(context.Background(), err, fmt.Sprintf("the changes were applied, receipt %s; the next command that looks at session %s ends what is left to do",
			a.receipt.ID, a.ch.kept.Info.ID))
	}
	ctx = context.WithoutCancel(ctx)
	if a.remain, err = a.ch.Review(ctx); err == nil && len(a.remain.Changes) == 0 {
		err = c.endChanges(a.ch, l, a.remain, "nothing was left")
		a.removed = err == nil
	}
	if closed := l.close(); err == nil {
		err = closed
	}
	if err != nil {
		return c.left(ctx, err, "the changes were applied, receipt "+a.receipt.ID)
	}
	return nil
}

// notCarriedOut says why nothing was written, and records it.
func (c *caller) notCarriedOut(ctx context.Context, l *ledger, err error) error {
	e := &audit.ApplyUndone{Why: audit.Text(err.Error())}
	var undone *workspace.UndoneError
	if errors.As(err, &undone) {
		e.Left = audit.Texts(undone.Left)
		c.warnLeft(undone.Left)
	}
	l.note(e)
	if closed := l.close(); closed != nil {
		c.voice.warnf("%s", closed)
	}
	var changed *workspace.ChangedError
	if errors.As(err, &changed) {
		err = &plainError{err: fmt.Errorf("%s: %s", changed.Path, changed.Why), hint: "look at the changes again"}
	}
	state := nothingApplied
	if undone != nil {
		state = "what had been written was taken back: " + nothingApplied
	}
	return c.left(ctx, err, state)
}

// endChanges removes what the agent wrote, and is on record before.
func (c *caller) endChanges(ch *changes, l *ledger, r *workspace.Review, why string) error {
	e := &audit.Discard{UID: os.Getuid(), Workspace: audit.Text(ch.kept.Info.Workspace), Why: audit.Text(why)}
	if r != nil {
		e.Digest, e.Changes = audit.Text(r.Digest()), len(r.Changes)
	}
	if err := l.commit(e); err != nil {
		return err
	}
	return ch.remove()
}

// nothingWaits ends a session in whose overlay nothing differs from the project.
func (c *caller) nothingWaits(ch *changes, r *workspace.Review, o applyOptions) error {
	a := applied{ch: ch, review: r, plan: &workspace.Plan{}, remain: r, options: o}
	if !o.dryRun {
		l, err := c.openLedger(ch)
		if err == nil {
			err = c.endChanges(ch, l, r, "nothing was left")
			if closed := l.close(); err == nil {
				err = closed
			}
		}
		if err != nil {
			return c.left(context.Background(), err, nothingApplied)
		}
		a.removed = true
	}
	return c.showApplied(context.Background(), &a)
}

// left reports an error and what state it left behind. A signal that stopped the command is said as such.
func (c *caller) left(ctx context.Context, err error, state string) error {
	var status exitStatus
	if errors.As(err, &status) {
		return err
	}
	code := exitFailure
	if s := interruption(ctx); s != nil && errors.Is(err, context.Canceled) {
		c.voice.failf("%s", s)
		code = exitSignal + int(s.signal)
	} else {
		code = c.voice.report(err)
	}
	c.voice.notef("%s", state)
	return &saidError{err, exitStatus(code)}
}
