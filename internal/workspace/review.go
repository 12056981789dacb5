package workspace

import (
	"cmp"
	"context"
	"slices"
)

// maxChanges is how many paths one review lists.
const maxChanges = 2_000_000

// Review says what the agent changed. Contents are read and hashed, so that what
// is shown can be bound to what is applied.
func (w *Workspace) Review(ctx context.Context) (*Review, error) {
	if w.Pending() {
		return nil, ErrPending
	}
	changes, notes, err := w.walk(ctx)
	if err != nil {
		return nil, err
	}
	changes, err = w.read(ctx, changes)
	if err != nil {
		return nil, err
	}
	changes = slices.DeleteFunc(changes, func(c Change) bool { return w.stagesNothing(&c) })
	changes = w.renames(ctx, changes)
	for i := range changes {
		c := &changes[i]
		w.mark(c)
		w.conflict(c)
		if c.After.Type == Symlink && c.Refused == "" {
			c.Refused = w.leaving(c.Path, c.After.Link)
		}
	}
	w.bareRepositories(changes)
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	return &Review{Changes: changes, Notes: notes}, nil
}

func (w *Workspace) walk(ctx context.Context) ([]Change, []string, error) {
	k := walker{ctx: ctx, flavour: w.config.Flavour, limit: maxChanges, live: w.live}
	attrs, err := w.upper.xattrsOf(".")
	if err != nil {
		return nil, nil, err
	}
	m := overlayMarks(attrs, k.flavour)
	if m.foreign != "" {
		k.notes = append(k.notes, "the upper directory carries the attribute "+quote(m.foreign)+", which these overlays do not make")
	}
	// The root of an overlay is never opaque: a new root would need a new mount.
	err = k.enter(place{upper: w.upper, lower: w.lower, files: m.opaque == "x"})
	return k.changes, k.notes, err
}

// mark says what the profile and the table of hand-off files know of a change.
func (w *Workspace) mark(c *Change) {
	for _, name := range []string{c.Path, c.From} {
		if name == "" {
			continue
		}
		isDir := c.what() == Dir
		known := w.config.As + name
		c.Masked = cmpOr(c.Masked, w.config.Rules.masked(known, isDir))
		c.Protected = cmpOr(c.Protected, w.config.Rules.protected(known, isDir))
		for _, h := range w.handoffs(known, c) {
			if !slices.Contains(c.Handoffs, h) {
				c.Handoffs = append(c.Handoffs, h)
			}
		}
	}
}
