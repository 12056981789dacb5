package workspace

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// A walker goes through the upper directory and looks at the same names below.
type walker struct {
	ctx     context.Context
	flavour Flavour
	changes []Change
	notes   []string
	limit   int
	live    bool // what vanishes meanwhile is left out
}

// place is a directory that the walk is in: the agent's, and the host's, which is
// absent where the host has none.
type place struct {
	upper, lower dir
	name         string
	hidden       bool // nothing of the host's shows through
	files        bool // regular files with a mark are whiteouts here
	depth        int
}

var noDir = dir{-1}

func (p place) path(base string) string {
	if p.name == "" {
		return base
	}
	return p.name + "/" + base
}

// enter lists what changed in one directory.
func (k *walker) enter(p place) error {
	if err := k.ctx.Err(); err != nil {
		return err
	}
	names, err := p.upper.names()
	if err != nil {
		return fmt.Errorf("%s: %w", quote(cmpOr(p.name, "the upper directory")), err)
	}
	for _, base := range names {
		if err := k.entry(p, base); err != nil && !(k.live && passing(err)) {
			return err
		}
	}
	if !p.hidden || p.lower == noDir {
		return nil
	}
	below, err := p.lower.names()
	if err != nil {
		return fmt.Errorf("%s: %w", quote(p.name), err)
	}
	for _, base := range below {
		if _, shown := slices.BinarySearch(names, base); !shown {
			if err := k.vanish(p.lower, base, p.path(base), p.depth+1); err != nil && !(k.live && passing(err)) {
				return err
			}
		}
	}
	return nil
}

// entry compares one name of the upper directory with the host's.
func (k *walker) entry(p place, base string) error {
	c := Change{Path: p.path(base)}
	st, found, err := p.upper.stat(base)
	if err == nil && !found {
		err = errVanished
	}
	if err == nil {
		c.Before, err = k.host(p.lower, base)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", quote(c.Path), err)
	}
	if isWhiteout(&st) {
		return k.vanishKnown(p.lower, base, c.Path, p.depth+1, c.Before)
	}
	c.After = stateOf(&st)
	var m marks
	if c.After.Type == File || c.After.Type == Dir {
		c.After.attr, err = p.upper.xattrsOf(base)
		if errors.Is(err, unix.EACCES) {
			c.Refused, err = unreadable(c.After), nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", quote(c.Path), err)
		}
		m = overlayMarks(c.After.attr, k.flavour)
		c.After.Attrs = carried(c.After.attr)
	}
	if m.whiteout && p.files && c.After.Type == File && st.Size == 0 {
		return k.vanishKnown(p.lower, base, c.Path, p.depth+1, c.Before)
	}
	c.copied, c.origin = m.copied, m.origin
	if m.foreign != "" || m.whiteout {
		c.Refused = fmt.Sprintf("it carries the attribute %s, which these overlays do not make", quote(cmpOr(m.foreign, k.flavour.prefix()+"whiteout")))
	}
	if c.After.Type == Symlink {
		if c.After.Link, err = p.upper.readlink(base); err != nil {
			return fmt.Errorf("%s: %w", quote(c.Path), err)
		}
	}
	return k.compare(p, base, c, m)
}

// isWhiteout is the kernel's own test: a character device of number 0.
func isWhiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

// host gives what the host has at a name, with None for nothing.
func (k *walker) host(lower dir, base string) (State, error) {
	if lower == noDir {
		return State{}, nil
	}
	st, found, err := lower.stat(base)
	if err != nil || !found {
		return State{}, err
	}
	s := stateOf(&st)
	switch s.Type {
	case File, Dir:
		s.attr, err = lower.xattrsOf(base)
		switch {
		case errors.Is(err, unix.EXDEV):
			s.what, err = "a mount point of the host", nil
		case errors.Is(err, unix.EACCES):
			s.what, err = "a file that this user may not read", nil
		}
		s.Attrs = carried(s.attr)
	case Symlink:
		s.Link, err = lower.readlink(base)
	}
	return s, err
}

// compare decides what kind of change a name has, and goes on below directories.
// Whether a file's content differs is decided later, when it is read.
func (k *walker) compare(p place, base string, c Change, m marks) error {
	switch {
	case c.Before.Type == None:
		c.Kind = Added
	case c.Before.Type != c.After.Type:
		c.Kind = Retyped
	case c.After.Type == Dir && c.Before.Mode&permissions != c.After.Mode&permissions:
		c.Kind = Remoded
	case c.After.Type == Dir && !sameAttrs(c.Before.Attrs, c.After.Attrs):
		c.Kind = Modified
	case c.After.Type == Symlink && c.Before.Link != c.After.Link, c.After.Type == Special:
		c.Kind = Modified
	case c.After.Type == File:
		c.Kind = Modified // until read says otherwise
	}
	k.refuse(&c)
	if c.Refused != "" && c.Kind == "" {
		c.Kind = Modified
	}
	if c.Kind != "" {
		if err := k.add(c); err != nil {
			return err
		}
	}
	if c.Before.Type == Dir && c.After.Type != Dir {
		return k.below(p.lower, base, c.Path, p.depth+1)
	}
	if c.After.Type != Dir || c.Refused != "" {
		return nil
	}
	return k.descend(p, base, c, m)
}

func (k *walker) descend(p place, base string, c Change, m marks) error {
	next := place{lower: noDir, name: c.Path, hidden: p.hidden || m.opaque == "y", files: m.opaque == "x", depth: p.depth + 1}
	if next.depth > maxDepth || len(next.name) > maxPath {
		c.Refused = fmt.Sprintf("it lies deeper than %d directories or %d bytes", maxDepth, maxPath)
		k.drop(c.Path)
		return k.add(c)
	}
	var err error
	if next.upper, err = p.upper.child(base); errors.Is(err, unix.EACCES) {
		c.Refused = unreadable(c.After)
		k.drop(c.Path)
		return k.add(c)
	}
	if err == nil && c.Before.Type == Dir {
		next.lower, err = p.lower.child(base)
	}
	defer next.upper.close()
	defer next.lower.close()
	if err != nil {
		return fmt.Errorf("%s: %w", quote(c.Path), err)
	}
	return k.enter(next)
}

func unreadable(s State) string {
	return fmt.Sprintf("its mode %04o keeps this user from reading it", s.Mode)
}

// drop takes a directory out again that was added just before, to say more of it.
func (k *walker) drop(path string) {
	if n := len(k.changes); n > 0 && k.changes[n-1].Path == path {
		k.changes = k.changes[:n-1]
	}
}

func (k *walker) add(c Change) error {
	if k.changes = append(k.changes, c); len(k.changes) > k.limit {
		return fmt.Errorf("more than %d paths changed; this is the most that is reviewed at once", k.limit)
	}
	return nil
}

// vanish lists a name of the host's that the agent removed, and all below it.
func (k *walker) vanish(lower dir, base, path string, depth int) error {
	before, err := k.host(lower, base)
	if err != nil {
		return fmt.Errorf("%s: %w", quote(path), err)
	}
	return k.vanishKnown(lower, base, path, depth, before)
}

func (k *walker) vanishKnown(lower dir, base, path string, depth int, before State) error {
	if before.Type == None {
		return nil
	}
	c := Change{Path: path, Kind: Deleted, Before: before}
	k.refuse(&c)
	if err := k.add(c); err != nil || before.Type != Dir || c.Refused != "" {
		return err
	}
	return k.below(lower, base, path, depth)
}

func (k *walker) below(lower dir, base, path string, depth int) error {
	if err := k.ctx.Err(); err != nil {
		return err
	}
	if depth > maxDepth || len(path) > maxPath {
		return fmt.Errorf("%.60s…: the host's directories lie deeper than %d", quote(path), maxDepth)
	}
	d, err := lower.child(base)
	if err != nil {
		return fmt.Errorf("%s: %w", quote(path), err)
	}
	defer d.close()
	names, err := d.names()
	if err != nil {
		return fmt.Errorf("%s: %w", quote(path), err)
	}
	for _, name := range names {
		if err := k.vanish(d, name, path+"/"+name, depth+1); err != nil {
			return err
		}
	}
	return nil
}
