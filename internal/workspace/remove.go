package workspace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// discardedName is where an upper directory waits for its removal, so that what is
// left of it after a cut is never taken for a review.
const discardedName = "discarded"

// Discard removes what the agent wrote, and the overlay's own directory. The host's
// files are not touched. A box that still runs on it must be ended before.
//
// Files that belong to other ids of a user namespace can only be removed inside
// one: elsewhere is called with the directory then, and must remove it with
// Remove. It may be nil.
func Discard(session string, elsewhere func(directory string) error) error {
	l := LayersOf(session)
	grave := filepath.Join(session, discardedName)
	if err := removeOrAsk(grave, elsewhere); err != nil {
		return err
	}
	err := os.Rename(l.Upper, grave)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the upper directory: %w", err)
	}
	return errors.Join(removeOrAsk(grave, elsewhere), removeOrAsk(l.Work, elsewhere))
}

func removeOrAsk(name string, elsewhere func(string) error) error {
	err := Remove(name)
	if elsewhere != nil && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)) {
		return elsewhere(name)
	}
	return err
}

// Remove deletes a directory of any size, depth and permissions; that it is not
// there is no error. It follows no link and enters no mount.
func Remove(name string) error {
	up, base := filepath.Split(filepath.Clean(name))
	d, err := openDir(cmpOr(up, "."))
	if err != nil {
		return err
	}
	defer d.close()
	if err := (hand{}).removeAll(d, base); err != nil {
		return fmt.Errorf("remove %s: %w", quote(name), err)
	}
	return nil
}

// removeAll deletes a name and what lies below it.
func (h hand) removeAll(d dir, name string) error {
	for {
		deep, err := h.remove(d, dir{-1}, name, 0)
		if err != nil || !deep {
			return err
		}
	}
}

// maxOpen is how deep one round of a removal goes. What lies deeper is moved up to
// the top and removed in the next round, so that any depth needs few descriptors.
const maxOpen = 100

// remove deletes one name. top is the directory that deep ones are moved to; deep
// reports that there were some.
func (h hand) remove(d, top dir, name string, depth int) (deep bool, err error) {
	err = h.unlink(d, name)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if !errors.Is(err, unix.EISDIR) {
		return false, err
	}
	child, err := h.unlocked(d, name)
	if err != nil {
		return false, err
	}
	defer child.close()
	if top.fd < 0 {
		top = child
	}
	names, err := child.names()
	if err != nil {
		return false, err
	}
	for i, one := range names {
		if depth >= maxOpen && h.isDir(child, one) {
			if err := h.raise(child, one, top, fmt.Sprintf("deep-%d-%d", child.fd, i)); err != nil {
				return deep, err
			}
			deep = true
			continue
		}
		below, err := h.remove(child, top, one, depth+1)
		if err != nil {
			return deep, err
		}
		deep = deep || below
	}
	if deep && child == top {
		return true, nil
	}
	return deep, h.rmdir(d, name)
}

// raise moves a directory to the top under a name that is free there.
func (h hand) raise(from dir, name string, top dir, as string) error {
	if child, err := h.unlocked(from, name); err == nil {
		child.close() // to be moved, it must let its ".." be written
	}
	for n := 0; ; n++ {
		err := h.rename(from, name, top, fmt.Sprintf("%s-%d", as, n), unix.RENAME_NOREPLACE)
		if !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
}

func (h hand) isDir(d dir, name string) bool {
	st, found, err := d.stat(name)
	return err == nil && found && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// unlocked opens a directory that is about to be emptied, whatever its permissions.
func (h hand) unlocked(d dir, name string) (dir, error) {
	st, found, err := d.stat(name)
	if err != nil || !found {
		return dir{-1}, errors.Join(err, unix.ENOENT)
	}
	if os.Geteuid() != 0 && st.Mode&0o700 != 0o700 {
		fd, err := d.open(name, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return dir{-1}, err
		}
		err = h.chmodAt(fd, 0o700)
		unix.Close(fd)
		if err != nil {
			return dir{-1}, err
		}
	}
	return d.child(name)
}
