package cli

import (
	"context"
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
	c      *caller
	record *session.Record
	info   session.Info
	shared bool // the record is a detached session's, which ends it
	began  bool // the box exists
}

// keep makes the directories of the overlay before the box, so that what the host changes from now on is noticed.
func (c *caller) keep(id string, o runOptions, p policy) (*keeper, error) {
	if p.effective.Profile.Workspace.Mode != "overlay" {
		return nil, nil
	}
	root, err := session.RecordRoot(stateDir(os.Getenv, p.host.Files.Home))
	if err != nil {
		return nil, err
	}
	root = resolve(root) // the box's side follows no link
	k := &keeper{c: c, info: session.Info{ID: id, Started: time.Now().Round(0), Workspace: p.plan.Workspace, Profile: p.name,
		Command: p.plan.Command, State: session.Starting, Terminal: p.plan.Terminal, Detached: o.background != nil}}
	if o.background != nil {
		k.record, k.shared = o.background.record, true
	} else if k.record, err = session.NewRecord(root); err != nil {
		return nil, err
	}
	err = k.record.Publish(k.info)
	if err == nil {
		err = os.Mkdir(k.dir(), 0o700)
	}
	if err == nil {
		_, err = workspace.Begin(k.dir(), p.plan.Workspace, workspace.User)
	}
	if err == nil {
		err = keepRules(k.dir(), p)
	}
	if err != nil {
		return nil, errors.Join(err, k.drop())
	}
	return k, nil
}

// dir is the session's workspace directory, without links; "" of no overlay.
func (k *keeper) dir() string {
	if k == nil {
		return ""
	}
	return filepath.Join(resolve(k.record.Dir()), session.WorkspaceDir)
}

// onDisk returns when the start is on record, and what keeps the agent's writes is on disk.
func (r *result) onDisk() error {
	kept := make(chan error, 1)
	go func() { kept <- r.kept.persist() }()
	return errors.Join(r.record.started(), <-kept)
}

func (k *keeper) persist() error {
	if k == nil {
		return nil
	}
	return workspace.Persist(k.dir())
}

// started says that there is something to keep.
func (k *keeper) started() {
	if k != nil {
		k.began = true
	}
}

// drop takes everything back: nothing was written.
func (k *keeper) drop() error {
	if k.shared {
		return nil
	}
	return k.record.Discard()
}

// settle says what the agent changed, once its box has ended.
func (k *keeper) settle(ctx context.Context, r *result) error {
	if k == nil || !k.began {
		return nil
	}
	w, err := openWorkspace(k.dir())
	if err != nil {
		return err
	}
	defer w.Close()
	review, err := w.Review(ctx)
	if err != nil {
		return err
	}
	s := review.Summary()
	r.Changes = &s
	if len(review.Changes) == 0 {
		return k.empty()
	}
	k.c.voice.notef("%s wait in session %s: %s", counted(len(review.Changes), "change", "changes"), k.info.ID, summaryText(s))
	k.c.voice.hint(fmt.Sprintf(`"agentbox diff %[1]s" shows them, "agentbox apply %[1]s" and "agentbox discard %[1]s" decide`, k.info.ID))
	return nil
}

// empty removes an overlay in which nothing was written.
func (k *keeper) empty() error {
	return errors.Join(workspace.Discard(k.dir(), nil), workspace.Remove(k.dir()))
}

// end keeps the result, and lets the record go when there is nothing in it.
func (k *keeper) end(result []byte) error {
	switch {
	case k == nil || k.shared:
		return nil
	case !k.began:
		return k.drop()
	}
	if _, err := os.Lstat(k.dir()); errors.Is(err, os.ErrNotExist) {
		return k.drop()
	}
	err := k.record.End(result)
	k.record.Close()
	return err
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
