package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"agentbox/internal/session"
	"agentbox/internal/workspace"
	"agentbox/launch"
	"agentbox/mounts"
)

// rulesFile keeps, beside what the agent wrote, what the profile of its session said about names.
const rulesFile = "rules.json"

// discardedFile lies beside a session's workspace directory while that is being removed, so that what is left of it
// after a cut is never taken for changes.
const discardedFile = "workspace.discarded"

// keptRules are the profile's lists, in whose order the last match decides, who gets what apply makes, and where the
// session's log is.
type keptRules struct {
	Mask    []string         `json:"mask"`
	Protect []string         `json:"protect"`
	Owner   *workspace.Owner `json:"owner,omitempty"`
	Log     *keptLog         `json:"log,omitempty"`
}

// changes are what the agent of one session wrote in an overlay and nobody has decided about yet.
type changes struct {
	*workspace.Roots
	kept   session.Kept
	log    *keptLog        // nil: the session does not say where its log is
	record *session.Record // nil: the session runs
	layers *launch.Kept    // what they are read from
}

// keepRules writes what openChanges needs of the profile. dir is the session's workspace directory.
func keepRules(dir string, p policy) error {
	w := p.effective.Profile.Workspace
	rules := keptRules{Mask: w.Mask, Protect: w.Protect, Owner: p.owner(), Log: keepLog(p)}
	data, err := json.Marshal(rules)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, rulesFile), data, 0o600)
}

// owner is the person for whom root applies: the caller of sudo, or whoever owns the project.
func (p policy) owner() *workspace.Owner {
	if os.Geteuid() != 0 {
		return nil
	}
	return &workspace.Owner{UID: int(p.host.CallerUID), GID: int(p.host.CallerGID)}
}

// findChanges finds a session with changes by the beginning of its ID, or the latest one of this project.
func (c *caller) findChanges(prefix string) (session.Kept, error) {
	root, err := recordsDir()
	if err != nil {
		return session.Kept{}, err
	}
	list, err := session.Records(root)
	if err != nil {
		c.voice.warnf("%s", err)
	}
	var infos []session.Info
	byID := map[string]session.Kept{}
	for _, k := range list {
		if k.Workspace != "" || prefix != "" {
			infos = append(infos, k.Info)
			byID[k.Info.ID] = k
		}
	}
	dir, err := os.Getwd()
	if err != nil {
		return session.Kept{}, err
	}
	info, err := session.Pick(infos, prefix, dir)
	switch {
	case err == nil && byID[info.ID].Workspace == "" && info.ResumedBy != "":
		err = fmt.Errorf("session %s has no changes: session %s went on with them", info.ID, info.ResumedBy)
	case err == nil && byID[info.ID].Workspace == "":
		err = fmt.Errorf("session %s has no changes: it had no overlay, or they were applied or discarded", info.ID)
	case err != nil && prefix == "":
		err = fmt.Errorf("%w: none with changes is kept for %s", session.ErrNotFound, dir)
	case err == nil:
		return byID[info.ID], nil
	}
	return session.Kept{}, &plainError{err: err, hint: `"agentbox ps --all" lists the sessions that have changes`}
}

// openChanges opens them. To decide about them the session must have ended, and no other process may be at it. An apply
// that was cut off is finished or undone before anything else, and so is a removal.
func (c *caller) openChanges(k session.Kept, decide bool) (*changes, error) {
	ch, err := c.holdChanges(k, decide)
	if err == nil {
		err = ch.open()
	}
	if err == nil && ch.layers.Memory {
		c.voice.warnf("what session %s wrote lately was in memory, and was lost with its supervisor", k.Info.ID)
	}
	if err == nil && ch.Pending() {
		err = c.recoverApply(ch)
	}
	if err != nil {
		ch.close()
		return nil, err
	}
	return ch, nil
}

// holdChanges takes the session's record, without which nobody decides, and ends a removal that was cut off.
func (c *caller) holdChanges(k session.Kept, decide bool) (*changes, error) {
	ch := &changes{kept: k}
	var err error
	ch.record, err = session.HoldRecord(filepath.Dir(filepath.Dir(k.Workspace)), k.Info.ID)
	switch {
	case errors.Is(err, session.ErrRunning) && !decide: // what it has written so far
		return ch, nil
	case errors.Is(err, session.ErrRunning):
		return ch, &plainError{err: fmt.Errorf("session %s still runs, or another command decides about it", k.Info.ID),
			hint: fmt.Sprintf(`"agentbox kill %s" ends it`, k.Info.ID)}
	case err != nil:
		return ch, err
	}
	if _, err := os.Lstat(ch.grave()); err == nil {
		if err := ch.remove(); err != nil {
			return ch, err
		}
		return ch, fmt.Errorf("session %s has no changes: they were being removed, which is done now", k.Info.ID)
	}
	return ch, nil
}

// open reads what the session kept about its workspace.
func (ch *changes) open() error {
	rules, err := readRules(ch.kept.Workspace)
	if err != nil {
		return err
	}
	ch.log = rules.Log
	if ch.layers, err = launch.OpenKept(ch.kept.Workspace); err != nil {
		return err
	}
	if ch.layers.Memory && ch.record == nil {
		return &plainError{err: fmt.Errorf("session %s keeps what it writes in memory until it ends (workspace.upper)", ch.kept.Info.ID),
			hint: fmt.Sprintf(`wait, or "agentbox kill %s" ends it`, ch.kept.Info.ID)}
	}
	ch.Roots, err = rules.open(ch.kept.Workspace, ch.layers)
	return err
}

func readRules(dir string) (keptRules, error) {
	var rules keptRules
	data, err := os.ReadFile(filepath.Join(dir, rulesFile))
	if err == nil {
		err = json.Unmarshal(data, &rules)
	}
	if err != nil {
		return rules, fmt.Errorf("what the session's profile said about names: %w", err)
	}
	return rules, nil
}

func (r keptRules) open(dir string, layers *launch.Kept) (*workspace.Roots, error) {
	config, err := workspace.Load(dir)
	if err != nil {
		return nil, err
	}
	config.Upper = layers.Upper
	config.Rules = workspace.Rules{
		Masked:    mounts.ParsePatterns("workspace.mask", r.Mask).Match,
		Protected: mounts.ParsePatterns("workspace.protect", r.Protect).Match,
	}
	config.Owner = r.Owner
	if git := hostProgram("git", config.Lower); git != "" {
		config.Base = workspace.GitBase{Program: git, Dir: config.Lower, Began: config.Began}
	}
	outside, err := workspace.LoadGit(dir)
	if err != nil {
		return nil, err
	}
	if outside != nil {
		outside.Upper = layers.Git
		outside.Rules, outside.Owner = config.Rules, config.Owner
	}
	return workspace.OpenRoots(config, outside)
}

// recoverApply finishes or undoes an apply that was cut off, records that, and says it.
func (c *caller) recoverApply(ch *changes) error {
	if ch.record == nil {
		return &plainError{err: fmt.Errorf("session %s: %w", ch.kept.Info.ID, workspace.ErrPending), hint: "wait until no other command decides about it"}
	}
	l, err := c.openLedger(ch)
	if err != nil {
		return &plainError{err: fmt.Errorf("session %s: %w: %w", ch.kept.Info.ID, workspace.ErrPending, err), hint: hintOf(err)}
	}
	r, err := ch.Recover(l.receipt)
	if err == nil && r != nil {
		err = l.commit(recovered(r))
	}
	if closed := l.close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("session %s: an apply was cut off, and the project may hold a part of it: %w", ch.kept.Info.ID, err)
	}
	switch {
	case r == nil:
		return nil
	case r.Undone:
		c.voice.notef("an apply of session %s had been cut off: it was undone", ch.kept.Info.ID)
	default:
		c.voice.notef("an apply of session %s had been cut off: it was finished, receipt %s", ch.kept.Info.ID, r.Receipt.ID)
	}
	c.warnLeft(r.Left)
	return nil
}

// hintOf is the hint that an error carries.
func hintOf(err error) string {
	var p *plainError
	if errors.As(err, &p) {
		return p.hint
	}
	return ""
}

// warnLeft names what an apply that was taken back had to leave as it is.
func (c *caller) warnLeft(paths []string) {
	for _, path := range paths {
		c.voice.warnf("%s was changed on the host meanwhile and stays as it is", path)
	}
}

func (ch *changes) grave() string {
	return filepath.Join(filepath.Dir(ch.kept.Workspace), discardedFile)
}

// remove takes away what the agent wrote. Once it has begun there are no changes any more, whatever stops it.
func (ch *changes) remove() error {
	if err := ch.beginRemoval(); err != nil {
		return err
	}
	dir := ch.kept.Workspace
	if _, err := os.Lstat(dir); err == nil {
		if err := workspace.Discard(dir, nil); err != nil {
			return fmt.Errorf("what the agent wrote could not all be removed: %w", err)
		}
	}
	if err := workspace.Remove(dir); err != nil {
		return err
	}
	return os.Remove(ch.grave())
}

// beginRemoval marks that there are no changes any more. Where the disk has no room for the mark, a file that nobody
// needs from now on takes its name.
func (ch *changes) beginRemoval() error {
	err := mark(ch.grave())
	if isFull(err) && os.Rename(filepath.Join(ch.kept.Workspace, rulesFile), ch.grave()) == nil {
		return toDisk(filepath.Dir(ch.grave()), ch.kept.Workspace)
	}
	return err
}

// mark makes an empty file that is there after a power cut, too.
func mark(path string) error {
	for _, open := range []struct {
		path  string
		flags int
	}{{path, os.O_WRONLY | os.O_CREATE}, {filepath.Dir(path), os.O_RDONLY}} {
		f, err := os.OpenFile(open.path, open.flags, 0o600)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (ch *changes) close() {
	if ch.Roots != nil {
		_ = ch.Roots.Close()
	}
	_ = ch.layers.Close()
	if ch.record != nil {
		ch.record.Close()
	}
}

// hostProgram finds a program that runs outside the box on its behalf: never one of the workspace.
func hostProgram(name, workspace string) string {
	path, err := exec.LookPath(name)
	if err != nil || !filepath.IsAbs(path) || inside(resolve(path), workspace) || inside(resolve(filepath.Dir(path)), workspace) {
		return ""
	}
	return path
}
