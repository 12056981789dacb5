package workspace

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A stager writes what a plan needs into the staging directory, and notes the ops
// that will put it in place.
type stager struct {
	ctx   context.Context
	w     *Workspace
	root  dir
	ops   []op
	tops  map[string]string // directories that are staged whole, and their slots
	links map[linkKey]string
	files int // how many need an fsync
	buf   []byte
}

// linkKey tells the names that the agent gave one file, where apply treats them
// alike.
type linkKey struct {
	dev, ino uint64
	mode     uint32
	sha      string
}

// stage prepares one item that leaves something at its path.
func (s *stager) stage(item *Item) error {
	name := item.Change.Path
	if item.Change.Kind == Remoded || item.Change.Kind == Modified && item.After.Type == Dir {
		return nil // changed in place
	}
	top := s.above(name)
	slot := fmt.Sprintf("new-%d", len(s.ops))
	if top != "" {
		slot = s.tops[top] + name[len(top):]
	}
	at, base, err := s.root.parent(slot)
	if err != nil {
		return err
	}
	defer at.close()
	if err := s.make(at, base, item, slot); err != nil {
		return err
	}
	if top != "" {
		return nil
	}
	st, _, err := at.stat(base)
	if err != nil {
		return err
	}
	o := op{Do: opGive, Path: []byte(name), Slot: slot, New: markOf(&st)}
	if before := item.Change.Before; before.Type != None && item.Change.Kind != Renamed {
		o.Do, o.Old, o.Dir = opSwap, before.id.mark(before.Type), before.Type == Dir
	}
	s.ops = append(s.ops, o)
	if item.After.Type == Dir {
		s.tops[name] = slot
	}
	return nil
}

// above finds the staged directory that a path belongs into.
func (s *stager) above(name string) string {
	for i, c := range name {
		if c == '/' && s.tops[name[:i]] != "" {
			return name[:i]
		}
	}
	return ""
}

func (s *stager) make(at dir, base string, item *Item, slot string) error {
	switch item.After.Type {
	case Dir:
		return s.w.hand.mkdir(at, base, 0o700)
	case Symlink:
		return s.link(at, base, item)
	case File:
		return s.file(at, base, item, slot)
	}
	return fmt.Errorf("a %s cannot be written", item.After.Type)
}

func (s *stager) link(at dir, base string, item *Item) error {
	if err := s.w.unchanged(&item.Change); err != nil {
		return err
	}
	if err := s.w.hand.symlink(item.After.Link, at, base); err != nil {
		return err
	}
	if err := s.own(at, base); err != nil {
		return err
	}
	return s.w.hand.times(at, base, item.After.MTime)
}

// file stages one file's content, or another name for a file that is staged.
func (s *stager) file(at dir, base string, item *Item, slot string) error {
	if twin := item.Change.twin; twin != nil && item.content == nil {
		return s.second(at, base, twin)
	}
	key := linkKey{item.After.id.Dev, item.After.id.Ino, item.After.Mode, item.After.SHA256}
	if item.After.id.Links > 1 && item.content == nil {
		if first, ok := s.links[key]; ok {
			from, old, err := s.root.parent(first)
			if err != nil {
				return err
			}
			defer from.close()
			return s.w.hand.link(from, old, at, base)
		}
		s.links[key] = slot
	}
	f, err := s.w.hand.create(at, base)
	if err != nil {
		return err
	}
	defer f.Close()
	if item.content != nil {
		err = s.w.hand.write(f, item.content)
	} else {
		err = s.copy(f, item)
	}
	if err != nil {
		return err
	}
	if err := s.own(at, base); err != nil {
		return err
	}
	if err := s.dress(f, item); err != nil {
		return err
	}
	if err := s.w.hand.times(at, base, item.After.MTime); err != nil {
		return err
	}
	if s.files++; s.files <= fewFiles {
		return s.w.hand.fsync(int(f.Fd()))
	}
	return nil
}

// second makes another name for a file of the host's that is as it was reviewed.
func (s *stager) second(at dir, base string, twin *Change) error {
	if err := s.w.unchanged(twin); err != nil {
		return err
	}
	up, old, err := s.w.lower.parent(twin.Path)
	if err != nil {
		return err
	}
	defer up.close()
	return s.w.hand.link(up, old, at, base)
}

// dress gives a staged file its attributes and permissions. The host's access list
// stays with the path; it is set before the permissions, which are the last word.
func (s *stager) dress(f *os.File, item *Item) error {
	fd := int(f.Fd())
	const list = "system.posix_acl_access"
	if acl, ok := item.Change.Before.attr[list]; ok && item.Change.Kind != Renamed {
		if err := s.w.hand.attrs(fd, map[string][]byte{list: acl}); err != nil {
			return err
		}
	}
	err := s.w.hand.attrs(fd, item.After.Attrs)
	if errors.Is(err, unix.ENOTSUP) {
		err = fmt.Errorf("the workspace's filesystem keeps no such attributes: %w", err)
	}
	if err != nil {
		return err
	}
	return s.w.hand.chmod(fd, item.After.Mode&permissions)
}

func (s *stager) own(at dir, base string) error {
	if s.w.config.Owner == nil {
		return nil
	}
	return s.w.hand.chown(at, base, *s.w.config.Owner)
}

// copy writes the agent's file, holes included, and refuses it when it is not what
// was reviewed.
func (s *stager) copy(to *os.File, item *Item) error {
	from, err := s.w.upper.file(item.Change.Path)
	if err != nil {
		return err
	}
	defer from.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(from.Fd()), &st); err != nil {
		return err
	}
	sparse := st.Blocks*512 < st.Size
	h := sha256.New()
	var at int64
	for {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(from, s.buf)
		h.Write(s.buf[:n])
		if at += int64(n); at > item.Change.After.Size {
			return errChanged
		}
		if err := s.put(to, s.buf[:n], sparse); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if sparse {
		if err := s.w.hand.truncate(to, at); err != nil {
			return err
		}
	}
	if hex.EncodeToString(h.Sum(nil)) != item.Change.After.SHA256 {
		return errChanged
	}
	return nil
}

// put writes a piece; of a file with holes, zeros are left out.
func (s *stager) put(to *os.File, piece []byte, sparse bool) error {
	if !sparse {
		if len(piece) == 0 {
			return nil
		}
		return s.w.hand.write(to, piece)
	}
	const block = 4096
	for part := range slices.Chunk(piece, block) {
		var err error
		if strings.Trim(string(part), "\x00") == "" {
			_, err = to.Seek(int64(len(part)), io.SeekCurrent)
		} else {
			err = s.w.hand.write(to, part)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// finish gives the staged directories their attributes, permissions and times, the
// inner ones first. One that is renamed into its place keeps the permission to
// write until then, because a rename of a directory changes its "..".
func (s *stager) finish(items []Item) error {
	for i := len(items) - 1; i >= 0; i-- {
		item := &items[i]
		name := item.Change.Path
		if item.After.Type != Dir || item.Change.Kind != Added && item.Change.Kind != Retyped {
			continue
		}
		slot, top := s.tops[name], true
		if slot == "" {
			up := s.above(name)
			slot, top = s.tops[up]+name[len(up):], false
		}
		if err := s.dressDir(slot, item, top); err != nil {
			return fmt.Errorf("%s: %w", quote(name), err)
		}
	}
	return nil
}

func (s *stager) dressDir(slot string, item *Item, top bool) error {
	at, base, err := s.root.parent(slot)
	if err != nil {
		return err
	}
	defer at.close()
	d, err := at.child(base)
	if err != nil {
		return err
	}
	defer d.close()
	if err := s.own(at, base); err != nil {
		return err
	}
	if err := s.w.hand.attrs(d.fd, item.After.Attrs); err != nil {
		return err
	}
	mode := item.After.Mode & permissions
	if writable := mode | 0o700; top && mode != writable {
		s.ops = append(s.ops, op{Do: opChmod, Path: []byte(item.Change.Path), From: writable, To: mode, Dir: true})
		mode = writable
	}
	if err := s.w.hand.chmod(d.fd, mode); err != nil {
		return err
	}
	return s.w.hand.times(at, base, item.After.MTime)
}
