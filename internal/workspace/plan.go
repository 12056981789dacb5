package workspace

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"agentbox/internal/workspace/textdiff"
)

// A Resolution says what becomes of a path that both sides changed. The zero value
// stops.
type Resolution uint8

// The ways out of a conflict.
const (
	Stop      Resolution = iota
	KeepHost             // leave the host's
	TakeAgent            // write the agent's over it
	Merge                // write both, where they do not touch each other
)

// A Selection is what a person approved.
type Selection struct {
	All          bool
	Paths        []string              // files, and directories with all below them
	Exact        bool                  // a directory in Paths stands for itself alone
	AllowHandoff bool                  // hand-off files need no naming
	Hunks        map[string][]int      // only these hunks of a path's diff, from 0
	Resolve      map[string]Resolution // by path
}

// named reports that a person wrote this very path. A new directory is named with
// what is in it: without one there is no place for the other.
func (s Selection) named(c *Change) bool {
	in := func(p string) bool { return strings.HasPrefix(p, c.Path+"/") }
	return slices.Contains(s.Paths, c.Path) || c.From != "" && slices.Contains(s.Paths, c.From) ||
		c.Kind == Added && c.After.Type == Dir && slices.ContainsFunc(s.Paths, in)
}

func (s Selection) has(c *Change) bool {
	below := func(name string) bool {
		return slices.ContainsFunc(s.Paths, func(p string) bool { return name == p || !s.Exact && strings.HasPrefix(name, p+"/") })
	}
	_, hunks := s.Hunks[c.Path]
	return s.All || hunks || below(c.Path) || c.From != "" && below(c.From)
}

// A Held is a selected change that is not in a plan, and why.
type Held struct {
	Change Change
	Why    string
	Need   Need // what would let it through
}

// A Need is what a held change waits for. The zero value is nothing: it is never
// applied.
type Need string

// What lets a held change through.
const (
	NeedName       Need = "name"       // it must be named
	NeedResolution Need = "resolution" // the conflict must be resolved
	NeedOthers     Need = "others"     // it needs other paths that are not in the plan
)

// An Item is one change as it will be written.
type Item struct {
	Change Change
	After  State  // what will lie at the path
	Source string // "agent", "hunks" or "merge"

	content []byte // instead of the agent's file, when the source is not the agent
}

// A Plan is what apply will write: all of it or nothing. It is bound to the
// contents that the review read.
type Plan struct {
	Items []Item
	Held  []Held
}

// Plan decides what of a review is applied. It never fails for what a person may
// still decide: that is held, with the reason.
func (w *Workspace) Plan(r *Review, s Selection) (*Plan, error) {
	if w.live {
		return nil, errLive
	}
	p := planner{w: w, selection: s, byPath: map[string]*Change{}, in: map[string]Item{}, held: map[string]Held{}, umask: w.umask()}
	for i := range r.Changes {
		p.byPath[r.Changes[i].Path] = &r.Changes[i]
	}
	for name := range s.Hunks {
		if p.byPath[name] == nil {
			return nil, fmt.Errorf("%s: nothing changed there", quote(name))
		}
	}
	for i := range r.Changes {
		if c := &r.Changes[i]; s.has(c) {
			if err := p.take(c); err != nil {
				return nil, err
			}
		}
	}
	for p.settle(r) {
	}
	out := &Plan{}
	for _, name := range slices.Sorted(maps.Keys(p.in)) {
		out.Items = append(out.Items, p.in[name])
	}
	for _, name := range slices.Sorted(maps.Keys(p.held)) {
		out.Held = append(out.Held, p.held[name])
	}
	return out, nil
}

type planner struct {
	w         *Workspace
	selection Selection
	byPath    map[string]*Change
	in        map[string]Item
	held      map[string]Held
	umask     uint32
}

// take puts a change into the plan, or holds it.
func (p *planner) take(c *Change) error {
	if why, need := p.hold(c); why != "" {
		p.held[c.Path] = Held{*c, why, need}
		return nil
	}
	item := Item{Change: *c, After: c.After, Source: "agent"}
	resolution := p.selection.Resolve[c.Path]
	hunks, partial := p.selection.Hunks[c.Path]
	var err error
	switch {
	case c.Conflict != "" && resolution == KeepHost:
		return nil
	case c.Conflict != "" && resolution == Merge:
		var why string
		if why, err = p.w.merge(&item); why != "" {
			p.held[c.Path] = Held{*c, why, NeedResolution}
			return nil
		}
	case partial:
		err = p.w.choose(&item, hunks)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", quote(c.Path), err)
	}
	item.After.Mode = finalMode(c.Before, c.After, p.umask)
	p.in[c.Path] = item
	return nil
}

// hold says why a change may not be written as things stand.
func (p *planner) hold(c *Change) (string, Need) {
	named := p.selection.named(c)
	switch {
	case c.Refused != "":
		return c.Refused, ""
	case c.Masked != "" && !named:
		return "the profile masks it (" + c.Masked + ")", NeedName
	case c.Protected != "" && !named:
		return "the profile protects it (" + c.Protected + ")", NeedName
	case len(c.Handoffs) > 0 && !named && !p.selection.AllowHandoff:
		return "it is a hand-off file: " + c.Handoffs[0].When, NeedName
	case c.Conflict != "" && p.selection.Resolve[c.Path] == Stop:
		return c.Conflict, NeedResolution
	}
	return "", ""
}

// settle completes the plan by one round: the directories that its files need come
// in; directories that are not to be emptied stay. It reports that it did something.
func (p *planner) settle(r *Review) bool {
	again := false
	for _, name := range slices.Sorted(maps.Keys(p.in)) {
		item := p.in[name]
		if item.After.Type != None {
			if p.parents(name) {
				again = true
			}
		}
	}
	kept := map[string]bool{} // directories of the host in which something stays
	for i := range r.Changes {
		c := &r.Changes[i]
		old := cmpOr(c.From, c.Path)
		if _, in := p.in[c.Path]; in || c.Before.Type == None {
			continue
		}
		for up := path.Dir(old); up != "." && !kept[up]; up = path.Dir(up) {
			kept[up] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.in)) {
		item := p.in[name]
		if item.Change.Before.Type == Dir && item.After.Type != Dir && kept[name] {
			delete(p.in, name)
			p.held[name] = Held{item.Change, "something in it stays on the host", NeedOthers}
			again = true
		}
	}
	return p.hollow(r) || again
}

// hollow holds new directories of which the agent filled each, and nothing is
// applied: an empty ".vscode" is of no use to anybody.
func (p *planner) hollow(r *Review) bool {
	filled, applied := map[string]bool{}, map[string]bool{}
	for i := range r.Changes {
		c := &r.Changes[i]
		up := path.Dir(c.Path)
		_, in := p.in[c.Path]
		filled[up], applied[up] = filled[up] || c.After.Type != None, applied[up] || in
	}
	again := false
	for name, item := range p.in {
		if item.Change.Kind == Added && item.After.Type == Dir && filled[name] && !applied[name] {
			delete(p.in, name)
			p.held[name] = Held{item.Change, "nothing in it is applied", NeedOthers}
			again = true
		}
	}
	return again
}

// parents brings the directories above a path in, or holds the path when one of
// them is held. It reports a change of the plan.
func (p *planner) parents(name string) bool {
	changed := false
	for up := path.Dir(name); up != "."; up = path.Dir(up) {
		c := p.byPath[up]
		if c == nil || c.After.Type != Dir || c.Kind != Added && c.Kind != Retyped {
			continue
		}
		if _, in := p.in[up]; in {
			continue
		}
		if held, is := p.held[up]; !is || held.Need == NeedOthers && c.Kind == Added {
			delete(p.held, up)
			if err := p.take(c); err != nil {
				p.held[up] = Held{*c, err.Error(), ""}
			}
			if _, in := p.in[up]; in {
				changed = true
				continue
			}
		}
		item := p.in[name]
		delete(p.in, name)
		p.held[name] = Held{item.Change, fmt.Sprintf("its directory %s is not applied", quote(up)), NeedOthers}
		return true
	}
	return changed
}

// choose makes the content that only some hunks give.
func (w *Workspace) choose(item *Item, hunks []int) error {
	a, b, err := w.texts(&item.Change)
	if err != nil {
		return err
	}
	x, y := textdiff.Lines(a), textdiff.Lines(b)
	data, err := textdiff.Choose(x, y, textdiff.Hunks(x, y, contextLines), hunks)
	if err != nil {
		return err
	}
	item.content, item.Source = data, "hunks"
	item.After.SHA256, item.After.Size = digest(data), int64(len(data))
	return nil
}

// merge makes the content that keeps both sides' changes, or says why it cannot.
func (w *Workspace) merge(item *Item) (why string, err error) {
	c := &item.Change
	if w.config.Base == nil {
		return "it cannot be merged: no version of it from before is known", nil
	}
	if c.Before.Type != File || c.After.Type != File {
		return "it cannot be merged: both sides need a file", nil
	}
	base, err := w.config.Base.Blob(cmpOr(c.From, c.Path))
	if err != nil || base == nil {
		return "it cannot be merged: git has no version of it from before", nil
	}
	ours, theirs, err := w.texts(c)
	if err != nil {
		return "it cannot be merged: " + err.Error(), nil
	}
	if isBinary(base) {
		return "it cannot be merged: it is binary", nil
	}
	data, conflicts := textdiff.Merge(base, ours, theirs)
	if len(conflicts) > 0 {
		return fmt.Sprintf("both sides changed the same lines, first at line %d", conflicts[0].Line), nil
	}
	item.content, item.Source = data, "merge"
	item.After.SHA256, item.After.Size = digest(data), int64(len(data))
	return "", nil
}
