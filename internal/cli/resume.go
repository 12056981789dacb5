package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/BurntSushi/toml"

	"agentbox/internal/session"
	"agentbox/profile"
)

// Names in a session's workspace directory while another session takes it over.
const (
	nextRules   = "rules.next"   // a directory, in which the new rules are made
	formerRules = "rules.former" // those of the session before, until the box has started
)

// A takeover is how a session gets the overlay of one that has ended. The directory goes from one record to the other
// in one step, so that it is in one of the two at any moment; both are locked meanwhile.
type takeover struct {
	kept  session.Kept
	old   *changes // nil once it is over
	moved bool
}

// held reports that it is not over yet.
func (t *takeover) held() bool { return t != nil && t.old != nil }

// resumed completes the options of --resume by what is known of the session: its workspace, and its command where the
// command line has none.
func (c *caller) resumed(o runOptions) (runOptions, error) {
	if o.resume == "" {
		return o, nil
	}
	kept, err := c.findChanges(o.resume)
	if err != nil {
		return o, err
	}
	o.from, o.resume = &kept, kept.Info.ID
	if len(o.command) == 0 {
		o.command = kept.Info.Command
	}
	if o.workspace != "" {
		return o, nil
	}
	o.workspace = kept.Info.Workspace
	f := profileFlags[0]
	data, err := toml.Marshal(f.document([]any{o.workspace}))
	if err != nil {
		return o, err
	}
	o.flags = append(slices.Clone(o.flags), profile.Layer{Name: flagPrefix + "resume", Kind: profile.Flags, Trusted: true, Data: data})
	return o, nil
}

// takeOver moves the overlay of another session into this one's record, and adds what this profile says about names.
func (k *keeper) takeOver(from session.Kept, p policy) error {
	if p.plan.Workspace != from.Info.Workspace {
		return &usageError{msg: fmt.Sprintf("session %s worked in %s, not in %s", from.Info.ID, from.Info.Workspace, p.plan.Workspace),
			hint: "leave --workspace out, or start a new session"}
	}
	if from.Info.Profile != p.name {
		k.c.voice.warnf("session %s ran under the profile %s; this one runs under %s", from.Info.ID, from.Info.Profile, p.name)
	}
	old, err := k.c.openChanges(from, true)
	if err != nil {
		return err
	}
	old.unread()
	k.from = &takeover{kept: from, old: old}
	if err := toDisk(filepath.Join(k.record.Dir(), session.InfoFile), k.record.Dir()); err != nil {
		return err // or a power cut could leave a record that says nothing
	}
	if err := os.Rename(from.Workspace, k.dir()); err != nil {
		return err
	}
	k.from.moved = true
	return errors.Join(toDisk(k.record.Dir(), filepath.Dir(from.Workspace)), k.joinRules(p))
}

// joinRules adds the profile's lists to those of the session before: what was protected when it was written stays so.
func (k *keeper) joinRules(p policy) error {
	before, err := readRules(k.dir())
	if err != nil {
		return err
	}
	next := filepath.Join(k.dir(), nextRules)
	if err := errors.Join(os.RemoveAll(next), os.Mkdir(next, 0o700), keepRules(next, p)); err != nil {
		return err
	}
	rules, err := readRules(next)
	if err != nil {
		return err
	}
	rules.Mask, rules.Protect = joined(before.Mask, rules.Mask), joined(before.Protect, rules.Protect)
	data, err := json.Marshal(rules)
	if err != nil {
		return err
	}
	made, here, former := filepath.Join(next, rulesFile), filepath.Join(k.dir(), rulesFile), filepath.Join(k.dir(), formerRules)
	if err := os.Remove(former); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(os.WriteFile(made, data, 0o600), toDisk(made), os.Link(here, former), os.Rename(made, here), os.Remove(next))
}

// joined is a list of patterns behind another; the same one twice is one.
func joined(before, after []string) []string {
	if slices.Equal(before, after) {
		return after
	}
	return append(slices.Clone(before), after...)
}

// giveBack undoes a takeover whose box did not start.
func (k *keeper) giveBack() error {
	if !k.from.held() {
		return nil
	}
	defer k.from.end()
	if !k.from.moved {
		return nil
	}
	err := os.Rename(filepath.Join(k.dir(), formerRules), filepath.Join(k.dir(), rulesFile))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.Rename(k.dir(), k.from.kept.Workspace)
	}
	if err != nil {
		return fmt.Errorf("the changes of session %s are in session %s now: %w", k.from.kept.Info.ID, k.info.ID, err)
	}
	return nil
}

// took ends a takeover for good, and writes into the other session's record where its changes are.
func (k *keeper) took() {
	if k == nil || !k.from.held() {
		return
	}
	_ = os.Remove(filepath.Join(k.dir(), formerRules)) // of no meaning from now on
	info := k.from.kept.Info
	info.ResumedBy = k.info.ID
	if err := k.from.old.record.Publish(info); err != nil {
		k.c.voice.warnf("session %s does not know that this one goes on with its changes: %s", info.ID, err)
	}
	k.from.end()
}

func (t *takeover) end() {
	t.old.close()
	t.old = nil
}

// toDisk brings files and directories to disk.
func toDisk(paths ...string) error {
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}
