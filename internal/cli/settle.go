package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"agentbox/internal/workspace"
)

// settle says what the agent changed, as see has found it, writes the patch, and applies what the profile applies without
// a question. It comes after the end of the session's log, which goes on with what is decided here. Its error is what `run` returns.
func (k *keeper) settle(ctx context.Context, r *result, end error) error {
	if k == nil || !k.began || k.from.held() {
		return end
	}
	ctx, signals := newCourier(context.WithoutCancel(ctx), false)
	defer signals.stop()
	ch, review := k.seen, k.review
	if err := k.unseen; err != nil {
		k.c.voice.failf("what the agent changed is kept in session %s, and cannot be shown: %s", k.info.ID, err)
		k.note = fmt.Sprintf("what the agent changed is kept in session %s, and cannot be shown: %s", k.info.ID, visible(err.Error()))
		return end
	}
	defer ch.unread()
	s := review.Summary()
	r.Changes = &s
	perr := k.patch(ch, review, r)
	var err error
	switch {
	case len(review.Changes) == 0:
		err = ch.remove()
	case k.apply != "none":
		err = k.applied(ctx, ch, review, r)
	default:
		k.waits(review)
	}
	if k.note != "" {
		k.c.voice.notef("%s", k.note)
	}
	if err = errors.Join(err, perr); err == nil {
		return end
	}
	r.ExitCode, r.Error = exitFailure, err.Error()
	var said *saidError
	if perr != nil || !errors.As(err, &said) {
		k.c.voice.failf("%s", err)
	}
	return exitStatus(exitFailure)
}

func (k *keeper) look(ctx context.Context, ch *changes) (*workspace.Review, error) {
	if err := ch.open(); err != nil {
		return nil, err
	}
	review, err := ch.Review(ctx)
	if err == nil {
		return review, nil
	}
	if s := interruption(ctx); s != nil {
		err = s
	}
	ch.unread()
	return nil, err
}

// patch writes the file of --patch and says what is not in it.
func (k *keeper) patch(ch *changes, review *workspace.Review, r *result) error {
	if r.patch == nil {
		return nil
	}
	var omitted []workspace.Omission
	err := r.patch.write(func(w io.Writer) error {
		var err error
		omitted, err = ch.Patch(w, review)
		return err
	})
	if err != nil {
		return err
	}
	r.Patch = &patchResult{Path: r.patch.path, Changes: len(review.Changes), Omitted: []omissionItem{}}
	missing := map[string]bool{}
	for _, o := range omitted {
		missing[o.Path] = true
		r.Patch.Omitted = append(r.Patch.Omitted, omissionItem{Path: o.Path, PathBytes: exact(o.Path), Why: o.Why})
		k.c.voice.warnf("not in the patch: %s: %s", o.Path, o.Why)
	}
	for i := range review.Changes {
		if missing[review.Changes[i].Path] {
			r.Patch.Changes--
		}
	}
	return nil
}

// applied applies without a question what the profile says. Nobody looks before, so an agent that was ended from
// outside, perhaps in the middle of its work, does not count as done.
func (k *keeper) applied(ctx context.Context, ch *changes, review *workspace.Review, r *result) error {
	k.waits(review)
	out := &appliedResult{Policy: k.apply}
	r.Applied = out
	if r.Cause != causeExited || r.asked {
		out.Why = "the agent did not end by itself"
		k.c.voice.warnf("%s: %s", nothingApplied, out.Why)
		return nil
	}
	options := applyOptions{all: true, allowHandoff: k.apply == "all"}
	plan, err := ch.Plan(review, workspace.Selection{All: true, AllowHandoff: options.allowHandoff})
	if err == nil {
		a := &applied{ch: ch, review: review, plan: plan, options: options}
		if len(plan.Items) > 0 {
			err = k.c.carryOut(ctx, a)
		}
		k.outcome(a, r)
	}
	if err != nil {
		out.Error = err.Error()
		return fmt.Errorf("workspace.apply: %w", err)
	}
	return nil
}

// outcome notes what an apply did, and says it.
func (k *keeper) outcome(a *applied, r *result) {
	answer := a.answer()
	r.Applied.Receipt, r.Applied.Remain, r.Held = answer.Receipt, answer.Remain, answer.Held
	if a.receipt == nil && len(a.plan.Items) > 0 {
		return // it did not succeed, which has been said
	}
	r.Applied.Count = len(a.plan.Items)
	k.c.tellHeld(a)
	did := nothingApplied
	if a.receipt != nil {
		did = fmt.Sprintf("%s applied, receipt %s", counted(r.Applied.Count, "change", "changes"), a.receipt.ID)
	}
	switch {
	case a.removed:
		k.waiting, k.note = false, did
	case a.remain != nil:
		k.waits(a.remain)
		k.note = did + "; " + k.note
	default:
		k.note = did + "; " + k.note
	}
}

// waits notes what somebody has to decide about.
func (k *keeper) waits(review *workspace.Review) {
	n := len(review.Changes)
	verb := "wait"
	if n == 1 {
		verb = "waits"
	}
	k.waiting = true
	k.note = fmt.Sprintf("%s %s in session %s: %s", counted(n, "change", "changes"), verb, k.info.ID, summaryText(review.Summary()))
}
