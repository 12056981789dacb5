package workspace

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// backward takes one op back, or finds that it was not carried out. left is true
// when the host changed the path after the op: its version stays.
func (w *Workspace) backward(o *op, staging dir, since int64) (left bool, err error) {
	at, base, err := w.lower.parent(string(o.Path))
	if gone(err) {
		// The directory went after the op; what was taken from it waits in staging.
		_, taken, err := staging.stat(o.Slot)
		return o.Do == opTake && taken, err
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", quote(string(o.Path)), err)
	}
	defer at.close()
	switch o.Do {
	case opTake:
		left, err = w.untake(staging, o.Slot, at, base)
	case opGive:
		left, err = w.ungive(o, at, base, staging, since)
	case opSwap:
		left, err = w.unswap(o, at, base, staging, since)
	case opChmod:
		back := op{Do: opChmod, Path: o.Path, Old: o.Old, From: o.To, To: o.From}
		err = w.inPlace(&back, at, base, func(fd int) error { return w.hand.chmodAt(fd, back.To) })
	case opAttrs:
		err = w.inPlace(o, at, base, func(fd int) error { return w.hand.replaceAttrs(fd, o.ToAttrs, o.FromAttrs) })
	}
	var changed *ChangedError
	if errors.As(err, &changed) {
		return true, nil
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", quote(string(o.Path)), err)
	}
	return left, err
}

func (w *Workspace) untake(staging dir, slot string, at dir, base string) (left bool, err error) {
	if _, taken, err := staging.stat(slot); err != nil || !taken {
		return false, err
	}
	err = w.hand.move(staging, slot, at, base)
	if errors.Is(err, unix.EEXIST) {
		return true, nil
	}
	return false, err
}

func (w *Workspace) ungive(o *op, at dir, base string, staging dir, since int64) (left bool, err error) {
	if _, waits, err := staging.stat(o.Slot); err != nil || waits {
		if err == nil && sameFile(staging, o.Slot, at, base) { // linked, and not yet unlinked
			err = w.hand.unlink(at, base)
		}
		return false, err
	}
	if ours, err := w.ours(o, at, base, since); err != nil || !ours {
		return true, err
	}
	return false, w.hand.move(at, base, staging, o.Slot)
}

func (w *Workspace) unswap(o *op, at dir, base string, staging dir, since int64) (left bool, err error) {
	st, inSlot, err := staging.stat(o.Slot)
	if err != nil {
		return false, err
	}
	_, aside, err := staging.stat(asideSlot(o))
	if err != nil {
		return false, err
	}
	switch {
	case inSlot && aside: // the old one is aside; the new one was not given, or only half
		if sameFile(staging, o.Slot, at, base) {
			if err := w.hand.unlink(at, base); err != nil {
				return false, err
			}
		}
		return w.untake(staging, asideSlot(o), at, base)
	case inSlot && st.Ino == o.New.Ino:
		return false, nil
	}
	if ours, err := w.ours(o, at, base, since); err != nil || !ours {
		return true, err
	}
	if inSlot {
		return false, w.hand.rename(staging, o.Slot, at, base, unix.RENAME_EXCHANGE)
	}
	if err := w.hand.move(at, base, staging, o.Slot); err != nil {
		return false, err
	}
	return w.untake(staging, asideSlot(o), at, base)
}

// ours reports that a path still holds what apply put there: the same file, and in
// a directory nothing that is newer than the journal.
func (w *Workspace) ours(o *op, at dir, base string, since int64) (bool, error) {
	st, found, err := at.stat(base)
	if err != nil || !found || markOf(&st) != o.New {
		return false, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return true, nil
	}
	d, err := at.child(base)
	if err != nil {
		return false, err
	}
	defer d.close()
	count, newest, err := census(d, 0)
	return err == nil && count == o.Count && newest <= since, err
}

// census counts what lies below a directory, and finds the last change.
func census(d dir, depth int) (count int, newest int64, err error) {
	if depth > maxDepth {
		return 0, 0, errors.New("its directories lie too deep")
	}
	names, err := d.names()
	if err != nil {
		return 0, 0, err
	}
	for _, name := range names {
		st, found, err := d.stat(name)
		if err != nil || !found {
			return 0, 0, errors.Join(err, errChanged)
		}
		count, newest = count+1, max(newest, st.Ctim.Nano())
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		child, err := d.child(name)
		if err != nil {
			return 0, 0, err
		}
		n, last, err := census(child, depth+1)
		child.close()
		if err != nil {
			return 0, 0, err
		}
		count, newest = count+n, max(newest, last)
	}
	return count, newest, nil
}
