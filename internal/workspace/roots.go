package workspace

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
)

// Roots are a project and, where it has one outside itself, its git directory: what
// an agent changed in both is reviewed and applied as one. Paths of the git
// directory are absolute, and everywhere that a path is taken they are, too.
type Roots struct {
	project, git *Workspace // git may be nil
	place        string     // of the git directory, with a slash
}

// gitAs is where the rules know what lies in a git directory.
const gitAs = ".git/"

// OpenRoots opens a session's project, and the git directory that goes with it
// unless that is nil. Close them.
func OpenRoots(project Config, git *Config) (*Roots, error) {
	p, err := Open(project)
	if err != nil {
		return nil, err
	}
	if git == nil {
		return &Roots{project: p}, nil
	}
	config := *git
	config.As = gitAs
	g, err := Open(config)
	if err != nil {
		p.Close()
		return nil, err
	}
	return &Roots{project: p, git: g, place: config.Lower + "/"}, nil
}

// Close lets go of the directories.
func (r *Roots) Close() error {
	if r.git != nil {
		r.git.Close()
	}
	return r.project.Close()
}

// Pending reports that an apply was cut off and needs Recover.
func (r *Roots) Pending() bool { return r.project.Pending() || r.git != nil && r.git.Pending() }

// Review is Workspace.Review of both.
func (r *Roots) Review(ctx context.Context) (*Review, error) {
	if r.Pending() {
		return nil, ErrPending
	}
	all, err := r.project.Review(ctx)
	if err != nil || r.git == nil {
		return all, err
	}
	more, err := r.git.Review(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range more.Changes {
		all.Changes = append(all.Changes, r.outside(c))
	}
	slices.SortFunc(all.Changes, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	all.Notes = append(all.Notes, more.Notes...)
	return all, nil
}

// outside gives a change of the git directory its absolute path; inside takes it
// away again, and says of what the change is one.
func (r *Roots) outside(c Change) Change {
	c.Path, c.place = r.place+c.Path, ""
	if c.From != "" {
		c.From = r.place + c.From
	}
	return c
}

func (r *Roots) inside(c Change) (*Workspace, Change) {
	if r.git == nil || !strings.HasPrefix(c.Path, r.place) {
		return r.project, c
	}
	c.Path, c.From, c.place = c.Path[len(r.place):], strings.TrimPrefix(c.From, r.place), r.place
	return r.git, c
}

// FileDiff is Workspace.FileDiff.
func (r *Roots) FileDiff(c *Change) (*FileDiff, error) {
	w, one := r.inside(*c)
	d, err := w.FileDiff(&one)
	if err == nil {
		d.Stat.Path = c.Path
	}
	return d, err
}

// Diff is Workspace.Diff.
func (r *Roots) Diff(out io.Writer, review *Review) error {
	for i := range review.Changes {
		w, one := r.inside(review.Changes[i])
		if err := w.Diff(out, &Review{Changes: []Change{one}}); err != nil {
			return err
		}
	}
	return nil
}

// Patch is Workspace.Patch. It carries the project's files alone: git applies no
// patch to its own directory.
func (r *Roots) Patch(out io.Writer, review *Review) ([]Omission, error) {
	var own Review
	var omitted []Omission
	for _, c := range review.Changes {
		if w, _ := r.inside(c); w == r.git {
			omitted = append(omitted, Omission{c.Path, "it is git's own"})
		} else {
			own.Changes = append(own.Changes, c)
		}
	}
	more, err := r.project.Patch(out, &own)
	return append(omitted, more...), err
}

// Plan is Workspace.Plan of both.
func (r *Roots) Plan(review *Review, s Selection) (*Plan, error) {
	if r.git == nil {
		return r.project.Plan(review, s)
	}
	parts := map[*Workspace]*Review{r.project: {}, r.git: {}}
	for _, c := range review.Changes {
		w, one := r.inside(c)
		parts[w].Changes = append(parts[w].Changes, one)
	}
	ours, theirs := r.split(s)
	plan, err := r.project.Plan(parts[r.project], ours)
	if err != nil {
		return nil, err
	}
	more, err := r.git.Plan(parts[r.git], theirs)
	if err != nil {
		return nil, err
	}
	for _, item := range more.Items {
		item.Change = r.outside(item.Change)
		plan.Items = append(plan.Items, item)
	}
	for _, held := range more.Held {
		held.Change = r.outside(held.Change)
		plan.Held = append(plan.Held, held)
	}
	return plan, nil
}

// split parts a selection.
func (r *Roots) split(s Selection) (project, git Selection) {
	project, git = s, s
	project.Paths, git.Paths = nil, nil
	for _, p := range s.Paths {
		switch rest, ok := strings.CutPrefix(p, r.place); {
		case ok:
			git.Paths = append(git.Paths, rest)
		case p+"/" == r.place:
			git.All = true
		default:
			project.Paths = append(project.Paths, p)
		}
	}
	project.Hunks, git.Hunks = splitMap(s.Hunks, r.place)
	project.Resolve, git.Resolve = splitMap(s.Resolve, r.place)
	return project, git
}

func splitMap[V any](m map[string]V, place string) (project, git map[string]V) {
	project, git = maps.Clone(m), map[string]V{}
	for name, v := range m {
		if rest, ok := strings.CutPrefix(name, place); ok {
			git[rest] = v
			delete(project, name)
		}
	}
	return project, git
}

// Apply is Workspace.Apply of both: all of it or nothing. Each has a receipt of its
// own, which record is called with; the two are one in the result.
func (r *Roots) Apply(ctx context.Context, p *Plan, record func(Receipt) error) (*Receipt, error) {
	var ours, theirs Plan
	for _, item := range p.Items {
		w, one := r.inside(item.Change)
		item.Change = one
		if w == r.git {
			theirs.Items = append(theirs.Items, item)
		} else {
			ours.Items = append(ours.Items, item)
		}
	}
	switch {
	case len(theirs.Items) == 0:
		return r.project.Apply(ctx, &ours, record)
	case len(ours.Items) == 0:
		receipt, err := r.git.Apply(ctx, &theirs, record)
		return receipt, r.named(err)
	}
	return r.applyBoth(ctx, &ours, &theirs, record)
}

// named gives the paths in an error of the git directory their place.
func (r *Roots) named(err error) error {
	var changed *ChangedError
	if errors.As(err, &changed) {
		changed.Path = r.place + changed.Path
	}
	var undone *UndoneError
	if errors.As(err, &undone) {
		undone.Left = r.placed(undone.Left)
	}
	return err
}

func (r *Roots) placed(paths []string) []string {
	out := make([]string, 0, len(paths))
	for _, p := range paths {
		out = append(out, r.place+p)
	}
	return out
}
