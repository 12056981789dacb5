package workspace

import (
	"cmp"
	"context"
	"path"
	"slices"

	"agentbox/internal/workspace/textdiff"
)

// Bounds of the search for renames with changed content. Beyond them only equal
// content is found, which costs no reading.
const (
	maxPairs      = 10_000
	maxComparable = 1 << 20 // bytes
	minSimilarity = 50      // percent, git's default
)

// renames joins a removed file with the added one that it became: the one that the
// overlay copied, the one of equal content, or a similar one. Joined or not, both
// paths stay part of what is approved.
func (w *Workspace) renames(ctx context.Context, changes []Change) []Change {
	var gone, came []*Change
	for i := range changes {
		c := &changes[i]
		switch {
		case c.Refused != "":
		case c.Kind == Deleted && (c.Before.Type == File && c.Before.Size > 0 || c.Before.Type == Symlink):
			gone = append(gone, c)
		case c.Kind == Added && (c.After.Type == File && c.After.Size > 0 || c.After.Type == Symlink):
			came = append(came, c)
		}
	}
	if len(gone) == 0 || len(came) == 0 {
		return changes
	}
	w.byHandle(gone, came)
	byContent(gone, came)
	w.bySimilarity(ctx, gone, came)
	return slices.DeleteFunc(changes, func(c Change) bool { return c.Kind == "" })
}

// join makes one change of two; the removed one is marked to be left out.
func join(gone, came *Change) {
	came.Kind, came.From, came.Before = Renamed, gone.Path, gone.Before
	came.Notes = append(came.Notes, gone.Notes...)
	gone.Kind = ""
}

func (w *Workspace) byHandle(gone, came []*Change) {
	for _, c := range came {
		if len(c.origin) == 0 {
			continue
		}
		for _, g := range gone {
			if g.Kind == "" || g.Before.Type != c.After.Type {
				continue
			}
			up, base, err := w.lower.parent(g.Path)
			if err != nil {
				continue
			}
			same := sameHandle(c.origin, up, base)
			up.close()
			if same {
				join(g, c)
				break
			}
		}
	}
}

func byContent(gone, came []*Change) {
	byDigest := map[string][]*Change{}
	for _, g := range gone {
		if g.Kind != "" {
			key := string(g.Before.Type) + g.Before.SHA256
			byDigest[key] = append(byDigest[key], g)
		}
	}
	for _, c := range came {
		if c.Kind != Added || c.After.SHA256 == "" {
			continue
		}
		key := string(c.After.Type) + c.After.SHA256
		same := byDigest[key]
		if len(same) == 0 {
			continue
		}
		i := max(0, slices.IndexFunc(same, func(g *Change) bool { return path.Base(g.Path) == path.Base(c.Path) }))
		join(same[i], c)
		byDigest[key] = slices.Delete(same, i, i+1)
	}
}

type pair struct {
	gone, came *Change
	percent    int
}

func (w *Workspace) bySimilarity(ctx context.Context, gone, came []*Change) {
	left := func(c *Change, s State) bool { return s.Type == File && s.Size <= maxComparable }
	gone = slices.DeleteFunc(slices.Clone(gone), func(c *Change) bool { return c.Kind == "" || !left(c, c.Before) })
	came = slices.DeleteFunc(slices.Clone(came), func(c *Change) bool { return c.Kind != Added || !left(c, c.After) })
	if len(gone) == 0 || len(came) == 0 || len(gone)*len(came) > maxPairs {
		return
	}
	texts := map[*Change][]byte{}
	var pairs []pair
	for _, g := range gone {
		for _, c := range came {
			if ctx.Err() != nil {
				return
			}
			if min(g.Before.Size, c.After.Size)*100 < max(g.Before.Size, c.After.Size)*minSimilarity {
				continue
			}
			if p := w.similarity(texts, g, c); p >= minSimilarity {
				pairs = append(pairs, pair{g, c, p})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(b.percent, a.percent) })
	for _, p := range pairs {
		if p.gone.Kind == Deleted && p.came.Kind == Added {
			join(p.gone, p.came)
		}
	}
}

func (w *Workspace) similarity(texts map[*Change][]byte, gone, came *Change) int {
	load := func(c *Change, root dir, s State) []byte {
		data, ok := texts[c]
		if !ok {
			data, _ = content(root, c.Path, s) // what cannot be read is similar to nothing
			texts[c] = data
		}
		return data
	}
	return textdiff.Similarity(load(gone, w.lower, gone.Before), load(came, w.upper, came.After))
}
