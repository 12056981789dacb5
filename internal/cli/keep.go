package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"agentbox/internal/session"
	"agentbox/internal/workspace"
)

// A keeper keeps what the agent of one run writes in an overlay. The nil keeper is of a run without one.
type keeper struct {
	c          *caller
	record     *session.Record
	info       session.Info
	apply      string      // workspace.apply
	background *background // nil in the foreground; its record is the keeper's, and it ends it
	from       *takeover   // nil: the overlay is new
	began      bool        // the box exists
	note       string      // what is behind a detached session's output
	waiting    bool        // there are changes, and nobody has decided about all of them
	seen       *changes    // what the agent left, once it has ended
	review     *workspace.Review
	unseen     error // why there is no review
}

// keep makes the directories of the overlay before the box, so that what the host changes from now on is noticed. With
// --resume they are another session's.
func (c *caller) keep(id string, o runOptions, p policy) (*keeper, error) {
	w := p.effective.Profile.Workspace
	if w.Mode != "overlay" {
		return nil, o.needsOverlay(w.Mode)
	}
	root, err := session.RecordRoot(stateDir(os.Getenv, p.host.Files.Home))
	if err != nil {
		return nil, err
	}
	root = resolve(root) // the box's side follows no link
	k := &keeper{c: c, apply: w.Apply, background: o.background, info: session.Info{ID: id, Started: time.Now().Round(0),
		Workspace: p.plan.Workspace, Profile: p.name, Command: p.plan.Command, State: session.Starting, Terminal: p.plan.Terminal,
		Resumes: o.resume, Detached: o.background != nil}}
	if o.background != nil {
		k.record, o.background.resumes = o.background.record, o.resume
	} else if k.record, err = session.NewRecord(root); err != nil {
		return nil, err
	}
	if err = k.record.Publish(k.info); err == nil {
		err = k.begin(o, p)
	}
	if err != nil {
		return nil, errors.Join(err, k.drop())
	}
	return k, nil
}

// begin fills the session's workspace directory.
func (k *keeper) begin(o runOptions, p policy) error {
	if o.from != nil {
		if err := k.takeOver(*o.from, p); err != nil {
			return err
		}
		return k.beginGit(p)
	}
	if err := os.Mkdir(k.dir(), 0o700); err != nil {
		return err
	}
	if _, err := workspace.Begin(k.dir(), p.plan.Workspace, workspace.User); err != nil {
		return err
	}
	if err := k.beginGit(p); err != nil {
		return err
	}
	return keepRules(k.dir(), p)
}

// beginGit adds the git directory of a worktree or a submodule, where it lies outside the workspace.
func (k *keeper) beginGit(p policy) error {
	if p.plan.Files.Git == "" {
		return nil
	}
	return workspace.BeginGit(k.dir(), p.plan.Files.Git, workspace.User)
}

// needsOverlay refuses what makes no sense without an overlay.
func (o runOptions) needsOverlay(mode string) error {
	for flag, set := range map[string]bool{"patch": o.patch != "", "resume": o.resume != ""} {
		if set {
			return &usageError{msg: fmt.Sprintf("%s needs an overlay, and workspace.mode is %q", dashes(flag), mode), hint: "add --mode overlay"}
		}
	}
	return nil
}

// dir is the session's workspace directory, without links; "" of no overlay.
func (k *keeper) dir() string {
	if k == nil {
		return ""
	}
	return filepath.Join(resolve(k.record.Dir()), session.WorkspaceDir)
}

// onDisk is asked while the box is being made; the agent does not run before it answers. What says how its changes are
// read is on disk by then, or a power cut could leave them without.
func (r *result) onDisk() error {
	kept := make(chan error, 1)
	go func() { kept <- r.kept.onDisk() }()
	return errors.Join(r.record.started(), <-kept)
}

func (k *keeper) onDisk() error {
	if k == nil {
		return nil
	}
	dir := k.record.Dir()
	err := toDisk(filepath.Join(dir, session.InfoFile), filepath.Join(k.dir(), rulesFile))
	if err == nil {
		err = workspace.Persist(k.dir())
	}
	if err == nil {
		err = toDisk(filepath.Dir(dir))
	}
	if err != nil {
		return fmt.Errorf("what the session keeps: %w", err)
	}
	return nil
}

// started says that there is something to keep.
func (k *keeper) started() {
	if k != nil {
		k.began = true
	}
}

// drop takes everything back: nothing was written. A detached session's record goes with the session.
func (k *keeper) drop() error {
	if err := k.giveBack(); err != nil {
		k.abandon()
		return err
	}
	if k.background != nil {
		return nil
	}
	return k.record.Discard()
}

// abandon leaves the record as it is, with what could not be given back.
func (k *keeper) abandon() {
	k.record.Close()
	if k.background != nil {
		k.background.record = nil
	}
}

// changes are those of this session, for as long as its record is held.
func (k *keeper) changes() *changes {
	return &changes{kept: session.Kept{Info: k.info, Workspace: k.dir()}, record: k.record}
}

// unread closes what the changes are read with, and leaves the record.
func (ch *changes) unread() {
	record := ch.record
	ch.record = nil
	ch.close()
	ch.record, ch.Roots = record, nil
}

// end keeps the result, and lets the record go when there is nothing in it.
func (k *keeper) end(result []byte) error {
	switch {
	case k == nil:
		return nil
	case !k.began || k.from.held(): // nobody was told that it had begun
		return k.drop()
	case k.background != nil:
		return nil
	}
	if _, err := os.Lstat(k.dir()); errors.Is(err, os.ErrNotExist) && k.note == "" {
		return k.drop()
	}
	err := k.record.End(result)
	k.record.Close()
	return err
}

// closing is what is to be read behind a detached session's output.
func (k *keeper) closing() string {
	if k == nil {
		return ""
	}
	return k.note
}

// counted writes a number with its noun.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// summaryText names the kinds of change that there are.
func summaryText(s workspace.Summary) string {
	text := ""
	for _, part := range []struct {
		n    int
		what string
	}{
		{s.Added, "added"}, {s.Modified, "modified"}, {s.Deleted, "deleted"}, {s.Renamed, "renamed"},
		{s.Handoffs, "run or obeyed outside the box"}, {s.Conflicts, "changed on the host as well"}, {s.Refused, "never applied"},
	} {
		if part.n == 0 {
			continue
		}
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%d %s", part.n, part.what)
	}
	return text
}
