package workspace

import (
	"context"
	"errors"
	"slices"
)

// Two journals are one decision. It is taken when the project's is written, which is
// the later one, and taken back as long as the project's is not done. What a cut
// leaves is told by the two states:
//
//	git       project            then
//	journal   begin              not decided: take back
//	journal   journal            decided: carry both out
//	journal   done               carried out: only git's mark is missing
//	undo      journal            being taken back
//
// and else each state stands for itself.

// applyBoth applies to the project and to its git directory.
func (r *Roots) applyBoth(ctx context.Context, ours, theirs *Plan, record func(Receipt) error) (*Receipt, error) {
	unlock, err := r.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if r.Pending() {
		return nil, ErrPending
	}
	own, err := r.project.begin(ours)
	if err != nil {
		return nil, err
	}
	its, err := r.git.begin(theirs)
	if err != nil {
		return nil, errors.Join(err, r.project.clean(own, beginName))
	}
	if err := r.git.prepare(ctx, theirs, its); err != nil {
		return nil, errors.Join(r.named(err), r.git.clean(its, beginName), r.project.clean(own, beginName))
	}
	if err := r.project.prepare(ctx, ours, own); err != nil {
		back := r.git.pass(journalName, undoName)
		if back == nil {
			_, back = r.git.takeBack(its)
		}
		if back == nil {
			back = r.project.clean(own, beginName)
		}
		return nil, errors.Join(err, back)
	}
	return r.carryOut(own, its, record)
}

// lock takes the project's lock, then git's.
func (r *Roots) lock() (unlock func(), err error) {
	first, err := r.project.lock()
	if err != nil || r.git == nil {
		return first, err
	}
	second, err := r.git.lock()
	if err != nil {
		first()
		return nil, err
	}
	return func() { second(); first() }, nil
}

// carryOut does what two journals say. What cannot be done is taken back in both.
func (r *Roots) carryOut(own, its *journal, record func(Receipt) error) (*Receipt, error) {
	err := r.named(r.git.perform(its))
	if err == nil {
		err = r.project.perform(own)
	}
	if err == nil {
		err = r.project.pass(journalName, doneName)
	}
	if err != nil && r.project.pending() != doneName {
		return nil, r.takeBack(own, its, err)
	}
	joined := own.Receipt
	joined.Items = slices.Concat(its.Receipt.Items, own.Receipt.Items)
	if err != nil { // it is done, and perhaps not yet on disk
		return &joined, err
	}
	if err := r.git.pass(journalName, doneName); err != nil {
		return &joined, err
	}
	if _, err := r.git.settle(its, record); err != nil {
		return &joined, err
	}
	_, err = r.project.settle(own, record)
	return &joined, err
}

// takeBack marks both before it takes either back, because what is left of one must
// tell about the other. err is why.
func (r *Roots) takeBack(own, its *journal, err error) error {
	if back := r.git.pass(journalName, undoName); back != nil {
		return errors.Join(err, back)
	}
	if back := r.project.pass(journalName, undoName); back != nil {
		return errors.Join(err, back)
	}
	left, back := r.git.takeBack(its)
	left = r.placed(left)
	if back != nil {
		return errors.Join(err, back)
	}
	more, back := r.project.takeBack(own)
	if back != nil {
		return errors.Join(err, back)
	}
	return &UndoneError{err, append(left, more...)}
}

// Recover is Workspace.Recover of both.
func (r *Roots) Recover(record func(Receipt) error) (*Recovery, error) {
	if r.git == nil {
		return r.project.Recover(record)
	}
	unlock, err := r.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	its, own := r.git.pending(), r.project.pending()
	switch {
	case its == journalName && own == journalName:
		return r.finishBoth(record)
	case its == journalName && (own == beginName || own == undoName):
		err = r.git.pass(journalName, undoName)
	case its == journalName && own == doneName:
		err = r.git.pass(journalName, doneName)
	case its == undoName && own == journalName:
		err = r.project.pass(journalName, undoName)
	}
	if err != nil {
		return nil, err
	}
	one, err := r.git.repair(record)
	if err != nil {
		return nil, r.named(err)
	}
	if one != nil {
		one.Left = r.placed(one.Left)
	}
	other, err := r.project.repair(record)
	if err != nil {
		return nil, err
	}
	return joinRecoveries(one, other), nil
}

func (r *Roots) finishBoth(record func(Receipt) error) (*Recovery, error) {
	var own, its journal
	for _, one := range []struct {
		w    *Workspace
		into *journal
	}{{r.project, &own}, {r.git, &its}} {
		if err := one.w.readJournal(journalName, one.into); err != nil {
			return nil, err
		}
	}
	receipt, err := r.carryOut(&own, &its, record)
	var undone *UndoneError
	switch {
	case receipt != nil:
		return &Recovery{Receipt: receipt}, err
	case errors.As(err, &undone):
		return &Recovery{Undone: true, Left: undone.Left}, nil
	}
	return nil, err
}

func joinRecoveries(git, project *Recovery) *Recovery {
	if git == nil || project == nil {
		if project == nil {
			return git
		}
		return project
	}
	out := &Recovery{Receipt: project.Receipt, Undone: git.Undone && project.Undone, Left: append(git.Left, project.Left...)}
	switch {
	case out.Receipt == nil:
		out.Receipt = git.Receipt
	case git.Receipt != nil:
		joined := *out.Receipt
		joined.Items = slices.Concat(git.Receipt.Items, joined.Items)
		out.Receipt = &joined
	}
	return out
}
