package workspace

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// A ChangedError is a path that is not as the review saw it. Nothing was written.
type ChangedError struct{ Path, Why string }

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s: %s; nothing was applied, look at the changes again", quote(e.Path), e.Why)
}

func moved(name []byte, why string) error { return &ChangedError{string(name), why} }

// forward carries out one op, or finds that it was carried out.
func (w *Workspace) forward(o *op, staging dir) error {
	at, base, err := w.lower.parent(string(o.Path))
	if gone(err) && (o.Do == opChmod || o.Do == opAttrs) {
		return nil // taken away by a later op
	}
	if gone(err) {
		return moved(o.Path, "its directory is gone")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", quote(string(o.Path)), err)
	}
	defer at.close()
	switch o.Do {
	case opTake:
		err = w.takeOp(o, at, base, staging)
	case opGive:
		err = w.giveOp(o, at, base, staging)
	case opSwap:
		err = w.swapOp(o, at, base, staging)
	case opChmod:
		err = w.inPlace(o, at, base, func(fd int) error { return w.hand.chmodAt(fd, o.To) })
	case opAttrs:
		err = w.inPlace(o, at, base, func(fd int) error { return w.hand.replaceAttrs(fd, o.FromAttrs, o.ToAttrs) })
	default:
		err = fmt.Errorf("step %q of the journal is not known", o.Do)
	}
	var changed *ChangedError
	if err == nil || errors.As(err, &changed) {
		return err
	}
	return fmt.Errorf("%s: %w", quote(string(o.Path)), err)
}

// takeOp moves the host's file away, and looks again at what it got: only then is
// it sure that it was the one that was reviewed.
func (w *Workspace) takeOp(o *op, at dir, base string, staging dir) error {
	if _, done, err := staging.stat(o.Slot); err != nil || done {
		if err == nil && sameFile(staging, o.Slot, at, base) { // linked, and not yet unlinked
			err = w.hand.unlink(at, base)
		}
		return errors.Join(err, w.checkTaken(o, staging, o.Slot))
	}
	if err := w.expect(o, at, base); err != nil {
		return err
	}
	if err := w.hand.move(at, base, staging, o.Slot); err != nil {
		return err
	}
	return w.checkTaken(o, staging, o.Slot)
}

func (w *Workspace) expect(o *op, at dir, base string) error {
	st, found, err := at.stat(base)
	switch {
	case err != nil:
		return err
	case !found:
		return moved(o.Path, "the host removed it")
	case markOf(&st) != o.Old:
		return moved(o.Path, "the host changed it")
	}
	return nil
}

func (w *Workspace) checkTaken(o *op, staging dir, slot string) error {
	st, found, err := staging.stat(slot)
	if err != nil || !found {
		return err
	}
	if markOf(&st) != o.Old {
		return moved(o.Path, "the host changed it meanwhile")
	}
	if !o.Dir {
		return nil
	}
	d, err := staging.child(slot)
	if err != nil {
		return err
	}
	defer d.close()
	names, err := d.names()
	if err == nil && len(names) > 0 {
		err = moved([]byte(path.Join(string(o.Path), names[0])), "the host made it meanwhile")
	}
	return err
}

func (w *Workspace) giveOp(o *op, at dir, base string, staging dir) error {
	if _, waits, err := staging.stat(o.Slot); err != nil || !waits {
		return err
	}
	err := w.hand.move(staging, o.Slot, at, base)
	if errors.Is(err, unix.EEXIST) {
		return moved(o.Path, "the host made it meanwhile")
	}
	return err
}

// asideSlot is where the old file lies on a filesystem that cannot exchange two.
func asideSlot(o *op) string { return o.Slot + ".old" }

// swapOp exchanges two files in one step. Where the filesystem cannot, the old one
// goes aside first, so that nothing is replaced that was not looked at.
func (w *Workspace) swapOp(o *op, at dir, base string, staging dir) error {
	st, waits, err := staging.stat(o.Slot)
	if err != nil {
		return err
	}
	_, aside, err := staging.stat(asideSlot(o))
	if err != nil {
		return err
	}
	switch {
	case !waits: // done, the long way
		return w.checkTaken(o, staging, asideSlot(o))
	case aside:
		if sameFile(staging, asideSlot(o), at, base) {
			if err := w.hand.unlink(at, base); err != nil {
				return err
			}
		}
		return w.giveOp(o, at, base, staging)
	case st.Ino != o.New.Ino: // done by an exchange
		return w.checkTaken(o, staging, o.Slot)
	}
	if err := w.expect(o, at, base); err != nil {
		return err
	}
	err = w.hand.rename(staging, o.Slot, at, base, unix.RENAME_EXCHANGE)
	if err == nil {
		return w.checkTaken(o, staging, o.Slot)
	}
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	if err := w.hand.move(at, base, staging, asideSlot(o)); err != nil {
		return err
	}
	if err := w.checkTaken(o, staging, asideSlot(o)); err != nil {
		return err
	}
	return w.giveOp(o, at, base, staging)
}

// inPlace changes what lies at a path, if it is what it was.
func (w *Workspace) inPlace(o *op, at dir, base string, change func(fd int) error) error {
	fd, err := at.open(base, unix.O_PATH)
	if errors.Is(err, unix.ENOENT) {
		return nil // taken away by a later op
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if o.Old.Ino != 0 && st.Ino != o.Old.Ino {
		return moved(o.Path, "the host replaced it")
	}
	if o.Do == opChmod {
		switch st.Mode & 0o7777 {
		case o.To:
			return nil
		case o.From:
		default:
			return moved(o.Path, "the host changed its permissions")
		}
	}
	return change(fd)
}
