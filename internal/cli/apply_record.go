package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/audit"
	"agentbox/internal/workspace"
)

// keptLog says where the log of a session is, so that what is decided later goes into it, whatever the profile says by
// then.
type keptLog struct {
	Dir       string `json:"dir"`
	Key       string `json:"key,omitempty"`
	OnFailure string `json:"on_failure"`
	Rotate    int64  `json:"rotate,omitempty"`
}

func keepLog(p policy) *keptLog {
	a, home := p.effective.Profile.Audit, p.host.Files.Home
	l := &keptLog{Dir: auditDir(a.Dir, home), OnFailure: a.OnFailure, Rotate: int64(a.Rotate)}
	if a.Key != "" {
		l.Key = expandHome(a.Key, home, home)
	}
	return l
}

// A ledger is the further part of a session's log into which a decision goes.
type ledger struct {
	log    *audit.Log  // nil: there is none, and the profile or a full disk lets it go
	goesOn bool        // when it cannot be written
	full   func(error) // is told that the disk is full, where that stops nothing; nil: it does
}

// openLedger opens the part. Nothing may be decided when that fails.
func (c *caller) openLedger(ch *changes) (*ledger, error) {
	where := ch.log
	if where == nil {
		root, err := recordsDir()
		if err != nil {
			return nil, err
		}
		where = &keptLog{Dir: filepath.Join(filepath.Dir(root), "audit")}
	}
	l := &ledger{goesOn: where.OnFailure == "continue"}
	key, err := signingKey(where.Key, "/")
	if err != nil {
		c.voice.warnf("this part of the session's log is not signed: %s", err)
	}
	l.log, err = audit.Continue(where.Dir, audit.Options{Session: ch.kept.Info.ID, Key: key, Rotate: where.Rotate},
		audit.Continued{Agentbox: audit.Text(version), UID: os.Getuid(), PID: os.Getpid()})
	switch {
	case err != nil && l.goesOn:
		c.voice.warnf("this decision is not recorded: %s", err)
	case err != nil:
		return nil, &plainError{err: fmt.Errorf("the decision cannot be recorded: %w", err), hint: unrecordedHint(err, audit.Path(where.Dir, ch.kept.Info.ID))}
	case key != nil && !l.log.Signs():
		c.voice.warnf("this part of the session's log is not signed: %s is not the key of the session's own records", where.Key)
	}
	return l, nil
}

func unrecordedHint(err error, path string) string {
	switch {
	case errors.Is(err, audit.ErrTampered):
		return fmt.Sprintf(`"agentbox log verify %s" says where; when you have moved its files away, what you decide begins a new one`, path)
	case errors.Is(err, audit.ErrBusy):
		return "wait until the other command has ended"
	case errors.Is(err, fs.ErrPermission):
		return "a decision is recorded by the user whose session it was"
	}
	return `make room; under audit.on_failure = "continue" it would go on without a record`
}

// openLedgerToFree opens the part for a decision that makes room, so that a full disk does not stop it.
func (c *caller) openLedgerToFree(ch *changes) (*ledger, error) {
	full := func(err error) { c.voice.warnf("this makes room, so it goes on without a record: %s", err) }
	l, err := c.openLedger(ch)
	if isFull(err) {
		full(err)
		return &ledger{}, nil
	}
	if err == nil {
		l.full = full
	}
	return l, err
}

func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// commit returns when a record is on disk.
func (l *ledger) commit(e audit.Event) error {
	if l.log == nil {
		return nil
	}
	return l.excuse(l.log.Commit(e))
}

// excuse lets an error go where the log may be without the record. A full disk is told once.
func (l *ledger) excuse(err error) error {
	switch {
	case err == nil || l.goesOn:
		return nil
	case l.full != nil && isFull(err):
		l.full(err)
		l.goesOn = true
		return nil
	}
	return err
}

// note adds a record that nothing waits for.
func (l *ledger) note(e audit.Event) {
	if l.log != nil {
		_ = l.log.Append(e) // close says when it failed
	}
}

// close seals the part.
func (l *ledger) close() error {
	if l.log == nil {
		return nil
	}
	if err := l.excuse(l.log.Close()); err != nil {
		return fmt.Errorf("the record of the decision: %w", err)
	}
	return nil
}

// itemsSize is about how many bytes of a receipt go into one record, which cannot be longer than three times that.
const itemsSize = 512 << 10

// receipt records an apply that was carried out.
func (l *ledger) receipt(r workspace.Receipt) error {
	if l.log == nil {
		return nil
	}
	items, size := []audit.Item{}, 0
	for _, one := range r.Items {
		item := recordItem(one)
		length := 400 + 2*(len(item.Path)+len(item.From))
		for _, name := range append(item.Before.Attrs, item.After.Attrs...) {
			length += len(name)
		}
		if size += length; size > itemsSize && len(items) > 0 {
			l.note(&audit.ApplyItems{Receipt: audit.Text(r.ID), Items: items})
			items, size = nil, length
		}
		items = append(items, item)
	}
	return l.commit(&audit.Apply{Receipt: audit.Text(r.ID), UID: r.UID, When: audit.Text(r.When.UTC().Format(time.RFC3339Nano)),
		Workspace: audit.Text(r.Workspace), Paths: len(r.Items), Items: items})
}

func recordItem(one workspace.ReceiptItem) audit.Item {
	return audit.Item{Path: audit.Text(one.Path), From: audit.Text(one.From), Kind: audit.Text(one.Kind), Source: audit.Text(one.Source),
		Before: recordContent(one.Before), After: recordContent(one.After)}
}

func recordContent(s workspace.State) audit.Content {
	if s.Type == workspace.None {
		return audit.Content{}
	}
	c := audit.Content{Type: audit.Text(s.Type), Mode: audit.Text(fmt.Sprintf("%04o", s.Mode)), Size: s.Size, SHA256: audit.Text(s.SHA256)}
	for _, name := range sortedNames(s.Attrs) {
		c.Attrs = append(c.Attrs, audit.Text(name))
	}
	return c
}

func recovered(r *workspace.Recovery) *audit.Recover {
	e := &audit.Recover{UID: os.Getuid(), Outcome: "undone", Left: audit.Texts(r.Left)}
	if !r.Undone {
		e.Outcome, e.Receipt = "finished", audit.Text(r.Receipt.ID)
	}
	return e
}

// applySummary is what `log` shows of a receipt at a glance.
func applySummary(e *audit.Apply) string {
	s := fmt.Sprintf("%s into %s by user %d, receipt %s:", counted(e.Paths, "path", "paths"), e.Workspace, e.UID, e.Receipt)
	for i, item := range e.Items {
		if i == 3 {
			break
		}
		s += fmt.Sprintf(" %s %s", item.Kind, shorten(string(item.Path), 60))
	}
	if e.Paths > 3 {
		s += " …"
	}
	return s
}

func discardSummary(e *audit.Discard) string {
	return fmt.Sprintf("%s by user %d: %s", counted(e.Changes, "change", "changes"), e.UID, cmp.Or(e.Why, "asked"))
}
