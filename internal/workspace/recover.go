package workspace

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A Recovery says what became of an apply that was cut off.
type Recovery struct {
	Receipt *Receipt // it was finished
	Undone  bool     // it was taken back, or had not begun to write
	Left    []string // paths that the host changed after the cut, and that stay as the host left them
}

// lock keeps two applies apart: of one session, and of two on one project.
func (w *Workspace) lock() (unlock func(), err error) {
	var held []int
	unlock = func() {
		for _, fd := range held {
			unix.Flock(fd, unix.LOCK_UN)
		}
	}
	for _, d := range []dir{w.state, w.lower} {
		err := unix.Flock(d.fd, unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EWOULDBLOCK):
			err = errors.New("another agentbox is applying changes to this workspace")
		case d == w.lower && (errors.Is(err, unix.EBADF) || errors.Is(err, unix.ENOLCK) || errors.Is(err, unix.EOPNOTSUPP)):
			continue // NFS and others lock no directory; the session's is locked
		}
		if err != nil {
			unlock()
			return nil, err
		}
		held = append(held, d.fd)
	}
	return unlock, nil
}

// pending names the state that an apply was left in, or nothing.
func (w *Workspace) pending() string {
	for _, name := range []string{doneName, undoName, journalName, beginName} {
		if _, found, err := w.state.stat(name); found || err != nil {
			return name
		}
	}
	return ""
}

// Pending reports that an apply was cut off and needs Recover.
func (w *Workspace) Pending() bool { return w.pending() != "" }

// Recover finishes an apply that was cut off, or takes it back, so that the project
// is as before it or as after it. With nothing to do it returns nil.
func (w *Workspace) Recover(record func(Receipt) error) (*Recovery, error) {
	unlock, err := w.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return w.repair(record)
}

// repair is Recover under the lock.
func (w *Workspace) repair(record func(Receipt) error) (*Recovery, error) {
	var j journal
	state := w.pending()
	switch state {
	case "": // perhaps cut off in its very first step
		if err := w.hand.unlink(w.state, beginName+".next"); err != nil && !errors.Is(err, unix.ENOENT) {
			return nil, err
		}
		return nil, nil
	case beginName:
		if _, err := readJSON(w.state, beginName, &j); err != nil {
			return nil, err
		}
		return &Recovery{Undone: true}, w.clean(&j, beginName)
	}
	if err := w.readJournal(state, &j); err != nil {
		return nil, err
	}
	switch state {
	case undoName:
		left, err := w.takeBack(&j)
		return &Recovery{Undone: true, Left: left}, err
	case doneName:
		receipt, err := w.settle(&j, record)
		return &Recovery{Receipt: receipt}, err
	}
	receipt, err := w.carryOut(&j, record)
	if receipt != nil {
		return &Recovery{Receipt: receipt}, err
	}
	var undone *UndoneError
	if errors.As(err, &undone) {
		return &Recovery{Undone: true, Left: undone.Left}, nil
	}
	return nil, err
}

func (w *Workspace) readJournal(state string, j *journal) error {
	if _, err := readJSON(w.state, state, j); err != nil {
		return err
	}
	if j.Version != 1 {
		return fmt.Errorf("the journal is of version %d, which this agentbox does not know", j.Version)
	}
	return nil
}

// An UndoneError is why an apply was taken back after it had begun.
type UndoneError struct {
	Err  error
	Left []string // paths that the host changed meanwhile, and that stay as they are
}

func (e *UndoneError) Error() string { return e.Err.Error() }

func (e *UndoneError) Unwrap() error { return e.Err }

// carryOut does what a journal says. What cannot be done is taken back.
func (w *Workspace) carryOut(j *journal, record func(Receipt) error) (*Receipt, error) {
	err := w.perform(j)
	if err == nil {
		err = w.pass(journalName, doneName)
	}
	if err == nil {
		return w.settle(j, record)
	}
	if back := w.pass(journalName, undoName); back != nil {
		return nil, errors.Join(err, back)
	}
	left, back := w.takeBack(j)
	if back != nil {
		return nil, errors.Join(err, back)
	}
	return nil, &UndoneError{err, left}
}

func (w *Workspace) perform(j *journal) error {
	staging, err := w.lower.child(j.Staging)
	if err != nil {
		return fmt.Errorf("%s: %w", j.Staging, err)
	}
	defer staging.close()
	for i := range j.Ops {
		if err := w.forward(&j.Ops[i], staging); err != nil {
			return err
		}
	}
	return w.syncDirs(j)
}

// syncDirs writes the directories through in which names came and went.
func (w *Workspace) syncDirs(j *journal) error {
	if len(j.Times) > fewFiles {
		return w.hand.syncfs(w.lower.fd)
	}
	for _, one := range j.Times {
		d, err := w.dirAt(string(one.Path))
		if gone(err) {
			continue
		}
		if err != nil {
			return err
		}
		err = w.hand.fsync(d.fd)
		d.close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *Workspace) dirAt(name string) (dir, error) { return w.lower.child(name) }

// pass takes an apply from one state into the next.
func (w *Workspace) pass(from, to string) error {
	if err := w.hand.rename(w.state, from, w.state, to, 0); err != nil {
		return err
	}
	return w.hand.fsync(w.state.fd)
}

// settle ends an apply that was carried out.
func (w *Workspace) settle(j *journal, record func(Receipt) error) (*Receipt, error) {
	if err := w.remember(j.Left); err != nil {
		return &j.Receipt, err
	}
	if record != nil {
		if err := record(j.Receipt); err != nil {
			return &j.Receipt, err
		}
	}
	return &j.Receipt, w.clean(j, doneName)
}

// takeBack undoes the ops from the last to the first, and the directories' times.
func (w *Workspace) takeBack(j *journal) (left []string, err error) {
	st, _, err := w.state.stat(undoName)
	if err != nil {
		return nil, err
	}
	since := st.Mtim.Nano() // when the journal was written: a rename leaves it
	staging, err := w.lower.child(j.Staging)
	if errors.Is(err, unix.ENOENT) {
		return nil, w.clean(j, undoName)
	}
	if err != nil {
		return nil, err
	}
	defer staging.close()
	for i := range slices.Backward(j.Ops) {
		stays, err := w.backward(&j.Ops[i], staging, since)
		if err != nil {
			return left, err
		}
		if stays {
			left = append(left, string(j.Ops[i].Path))
			err = w.keepOld(&j.Ops[i], staging)
		}
		if err != nil {
			return left, err
		}
	}
	if err := w.restoreTimes(j); err != nil {
		return left, err
	}
	if err := w.syncDirs(j); err != nil {
		return left, err
	}
	_ = w.remember(j.Was) // takes space, which there may be none of; without it, what was touched looks like a conflict
	return left, w.clean(j, undoName)
}

// oldSuffix ends the name of a file that could not go back to its path, because the
// host has made another one there since.
const oldSuffix = ".agentbox-old"

// keepOld puts what apply took from a path beside it, rather than to lose it.
func (w *Workspace) keepOld(o *op, staging dir) error {
	slot := asideSlot(o)
	if _, found, err := staging.stat(slot); err != nil || !found {
		slot = o.Slot
	}
	st, found, err := staging.stat(slot)
	if err != nil || !found || st.Ino != o.Old.Ino {
		return err
	}
	at, base, err := w.lower.parent(string(o.Path))
	if gone(err) {
		return nil // the host removed the directory, and would have removed this with it
	}
	if err != nil {
		return err
	}
	defer at.close()
	err = w.hand.move(staging, slot, at, base+oldSuffix)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

func (w *Workspace) restoreTimes(j *journal) error {
	for _, one := range j.Times {
		name := string(one.Path)
		if name == "." {
			continue // the staging directory is still in it; clean does it
		}
		at, base, err := w.lower.parent(name)
		if gone(err) {
			continue
		}
		if err != nil {
			return err
		}
		err = w.hand.times(at, base, one.MTime)
		at.close()
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("%s: %w", quote(name), err)
		}
	}
	return nil
}

// clean removes what was staged, and then the marks of the apply.
func (w *Workspace) clean(j *journal, state string) error {
	if path.Base(j.Staging) != j.Staging || len(j.Staging) <= len(stagingPrefix) || !strings.HasPrefix(j.Staging, stagingPrefix) {
		return fmt.Errorf("the journal names %s, which is no staging directory", quote(j.Staging))
	}
	if err := w.hand.removeAll(w.lower, j.Staging); err != nil {
		return fmt.Errorf("%s: %w", j.Staging, err)
	}
	if state != doneName { // as if nothing had been here
		if err := w.hand.times(w.lower, ".", j.RootTime); err != nil {
			return err
		}
	}
	if err := w.hand.fsync(w.lower.fd); err != nil {
		return err
	}
	for _, name := range []string{beginName + ".next", journalName + ".next", beginName, state} {
		if err := w.hand.unlink(w.state, name); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return w.hand.fsync(w.state.fd)
}
