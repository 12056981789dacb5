package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	cli "github.com/urfave/cli/v2"

	"agentbox/internal/workspace"
)

type discardOptions struct {
	id  string
	yes bool
}

func newDiscard(c *caller) *cli.Command {
	return &cli.Command{
		Name: "discard", Usage: "drop what an agent changed", UsageText: "agentbox discard [options] [ID]",
		Description: "The project stays as it is. ID may be a unique beginning; without it, the latest session of this project with changes is meant.\n" +
			"A terminal is asked first. Without one, the ID or --yes is needed. It is recorded in the session's log; a full disk is no\n" +
			"reason to refuse, as this makes room.",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"}},
		Action: func(ctx *cli.Context) error {
			if err := wantArgs(ctx, 1); err != nil {
				return err
			}
			o := discardOptions{id: ctx.Args().First(), yes: ctx.Bool("yes")}
			if o.id == "" && !o.yes && !c.canAsk() {
				return &usageError{msg: "there is no terminal to ask on", hint: "name the session, or give --yes"}
			}
			return discard(ctx.Context, o, c)
		},
	}
}

func discard(ctx context.Context, o discardOptions, c *caller) error {
	ctx, signals := newCourier(ctx, false)
	defer signals.stop()
	kept, err := c.findChanges(o.id)
	if err != nil {
		return err
	}
	ch, err := c.holdChanges(kept, true)
	if err != nil {
		ch.close()
		return err
	}
	defer ch.close()
	review, err := c.lastLook(ctx, ch)
	if err != nil {
		return c.left(ctx, err, nothingDiscarded)
	}
	if yes, err := c.wantsDiscard(ctx, o, ch, review); err != nil || !yes {
		return err
	}
	l, err := c.openLedgerToFree(ch)
	if err != nil {
		return c.left(ctx, err, nothingDiscarded)
	}
	err = c.endChanges(ch, l, review, "asked")
	if closed := l.close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	if review == nil {
		c.voice.notef("the changes of session %s were discarded; the project is as it was", kept.Info.ID)
	} else {
		c.voice.notef("%s of session %s discarded; the project is as it was", counted(len(review.Changes), "change", "changes"), kept.Info.ID)
	}
	return nil
}

// lastLook reads the changes that are to go. What cannot be read can be discarded all the same, unless it may hold a
// half-done apply that only it can repair; the review is nil then.
func (c *caller) lastLook(ctx context.Context, ch *changes) (*workspace.Review, error) {
	err := ch.open()
	if err != nil {
		marks, glob := filepath.Glob(filepath.Join(escapeGlob(ch.kept.Workspace), "apply.*"))
		if _, gone := os.Stat(ch.kept.Info.Workspace); glob == nil && (len(marks) == 0 || errors.Is(gone, fs.ErrNotExist)) {
			c.voice.warnf("the changes of session %s cannot be read: %s", ch.kept.Info.ID, err)
			return nil, nil
		}
		return nil, fmt.Errorf("%w: %w", workspace.ErrPending, err)
	}
	if ch.Pending() {
		if err := c.recoverApply(ch); err != nil {
			return nil, err
		}
	}
	review, err := ch.Review(ctx)
	if err != nil && ctx.Err() == nil {
		c.voice.warnf("the changes of session %s cannot be read: %s", ch.kept.Info.ID, err)
		return nil, nil
	}
	return review, err
}

// wantsDiscard asks a person, when there is one and something to lose.
func (c *caller) wantsDiscard(ctx context.Context, o discardOptions, ch *changes, r *workspace.Review) (bool, error) {
	if o.yes || !c.canAsk() || r != nil && len(r.Changes) == 0 {
		return true, nil
	}
	what := "the changes"
	if r != nil {
		c.listChanges(r)
		what = fmt.Sprintf("%s (%s)", counted(len(r.Changes), "change", "changes"), summaryText(r.Summary()))
	}
	c.voice.ask("discard %s of session %s for ever? [y/N]", what, ch.kept.Info.ID)
	answer, err := c.hear(lineReader(ctx, c.in))
	if err != nil && !errors.Is(err, io.EOF) {
		return false, c.left(ctx, err, nothingDiscarded)
	}
	if a := strings.ToLower(answer); a == "y" || a == "yes" {
		return true, nil
	}
	c.voice.notef("%s", nothingDiscarded)
	return false, exitStatus(exitFailure)
}

// escapeGlob makes a directory's name stand for itself.
func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}
