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
	"agentbox/mounts"
)

// rulesFile keeps, beside what the agent wrote, what the profile of its session said about names.
const rulesFile = "rules.json"

// keptRules are the profile's lists, in whose order the last match decides, and who gets what apply makes.
type keptRules struct {
	Mask    []string         `json:"mask"`
	Protect []string         `json:"protect"`
	Owner   *workspace.Owner `json:"owner,omitempty"`
}

// changes are what the agent of one session wrote in an overlay and nobody has decided about yet.
type changes struct {
	*workspace.Workspace
	kept   session.Kept
	record *session.Record // nil: the session runs
}

// keepRules writes what openChanges needs of the profile. dir is the session's workspace directory.
func keepRules(dir string, p policy) error {
	w := p.effective.Profile.Workspace
	rules := keptRules{Mask: w.Mask, Protect: w.Protect, Owner: p.owner()}
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
// that was cut off is finished or undone before anything else.
func (c *caller) openChanges(k session.Kept, decide bool) (*changes, error) {
	ch := &changes{kept: k}
	var err error
	ch.record, err = session.HoldRecord(filepath.Dir(filepath.Dir(k.Workspace)), k.Info.ID)
	if errors.Is(err, session.ErrRunning) && !decide {
		err = nil // what it has written so far
	}
	if errors.Is(err, session.ErrRunning) {
		return nil, &plainError{err: fmt.Errorf("session %s still runs, or another command decides about it", k.Info.ID),
			hint: fmt.Sprintf(`"agentbox kill %s" ends it`, k.Info.ID)}
	}
	if err == nil {
		ch.Workspace, err = openWorkspace(k.Workspace)
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

func openWorkspace(dir string) (*workspace.Workspace, error) {
	config, err := workspace.Load(dir)
	if err != nil {
		return nil, err
	}
	var rules keptRules
	data, err := os.ReadFile(filepath.Join(dir, rulesFile))
	if err == nil {
		err = json.Unmarshal(data, &rules)
	}
	if err != nil {
		return nil, fmt.Errorf("what the session's profile said about names: %w", err)
	}
	config.Rules = workspace.Rules{
		Masked:    mounts.ParsePatterns("workspace.mask", rules.Mask).Match,
		Protected: mounts.ParsePatterns("workspace.protect", rules.Protect).Match,
	}
	config.Owner = rules.Owner
	if git := hostProgram("git", config.Lower); git != "" {
		config.Base = workspace.GitBase{Program: git, Dir: config.Lower, Began: config.Began}
	}
	return workspace.Open(config)
}

// recoverApply finishes or undoes an apply that was cut off, and says which.
func (c *caller) recoverApply(ch *changes) error {
	if ch.record == nil {
		return workspace.ErrPending
	}
	r, err := ch.Recover(func(workspace.Receipt) error { return nil })
	if err != nil {
		return err
	}
	switch {
	case r == nil:
	case r.Undone:
		c.voice.notef("an apply of session %s had been cut off: it was undone", ch.kept.Info.ID)
	default:
		c.voice.notef("an apply of session %s had been cut off: it was finished", ch.kept.Info.ID)
	}
	if r != nil {
		for _, path := range r.Left {
			c.voice.warnf("%s was changed on the host after the cut and stays as it is", path)
		}
	}
	return nil
}

func (ch *changes) close() {
	if ch.Workspace != nil {
		_ = ch.Workspace.Close()
	}
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
