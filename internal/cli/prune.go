package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	cli "github.com/urfave/cli/v2"

	"agentbox/internal/session"
	"agentbox/profile"
)

// pruneAge is how long sessions are left alone when the command line does not say.
const pruneAge = "30d"

// nothingRemoved is what prune leaves when it fails.
const nothingRemoved = "nothing was removed"

type pruneOptions struct {
	ids       []string
	olderThan time.Duration
	all       bool
	changes   bool // those with changes, too
	dryRun    bool
	yes       bool
	json      bool
}

func newPrune(c *caller) *cli.Command {
	return &cli.Command{
		Name: "prune", Usage: "remove what is kept of old sessions", UsageText: "agentbox prune [options] [ID ...]",
		Description: "Removed are the results and the kept output of sessions that have ended; those that are named, whatever their age, or all that\n" +
			"ended more than 30 days ago. A session with changes that nobody applied or discarded stays, unless --changes is given; it is\n" +
			"recorded in the session's log then, as with \"agentbox discard\". The logs stay (see \"agentbox log prune\"), and no project is\n" +
			"touched.\n" +
			"A terminal is asked first. Without one, --changes needs --yes, too.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "older-than", DefaultText: pruneAge, Usage: "only sessions that ended longer ago than `DURATION`, as in 12h or 90d"},
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "all sessions that have ended, however lately"},
			&cli.BoolFlag{Name: "changes", Usage: "also sessions with changes that nobody decided about: these are lost"},
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "only list what would be removed"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
			jsonFlag(),
		},
		Action: func(ctx *cli.Context) error {
			o, err := c.pruneOptionsFrom(ctx)
			if err != nil {
				return err
			}
			return prune(ctx.Context, o, c)
		},
	}
}

func (c *caller) pruneOptionsFrom(ctx *cli.Context) (pruneOptions, error) {
	o := pruneOptions{ids: ctx.Args().Slice(), all: ctx.Bool("all"), changes: ctx.Bool("changes"), dryRun: ctx.Bool("dry-run"),
		yes: ctx.Bool("yes"), json: ctx.Bool("json")}
	aged := ctx.IsSet("older-than")
	text := pruneAge
	if aged {
		text = ctx.String("older-than")
	}
	d, err := profile.ParseDuration(text)
	o.olderThan = time.Duration(d)
	silent := !o.yes && !o.dryRun
	if err := idsOnly("prune", o.ids); err != nil {
		return o, err
	}
	switch {
	case err != nil:
		return o, &usageError{msg: fmt.Sprintf("--older-than: %s", err), hint: "write it as in 12h or 90d"}
	case o.all && aged:
		return o, &usageError{msg: "--all contradicts --older-than", hint: "give one of them"}
	case len(o.ids) > 0 && (o.all || aged):
		return o, &usageError{msg: fmt.Sprintf("%q names a session, whatever its age", o.ids[0]), hint: "leave --all and --older-than out"}
	case o.json && silent && c.canAsk():
		return o, &usageError{msg: "--json does not ask", hint: "give --yes, or --dry-run to look first"}
	case o.changes && silent && !c.canAsk():
		return o, &usageError{msg: "there is no terminal to ask on", hint: "give --yes, or --dry-run to look first"}
	}
	return o, nil
}

// idsOnly refuses an option behind an ID, which the library takes for another ID.
func idsOnly(command string, ids []string) error {
	if at := slices.IndexFunc(ids, func(id string) bool { return strings.HasPrefix(id, "-") }); at >= 0 {
		return &usageError{msg: fmt.Sprintf("%s does not take %q", command, ids[at]), hint: "options go before the arguments"}
	}
	if slices.Contains(ids, "") {
		return &usageError{msg: "an ID is empty", hint: helpHint(command)}
	}
	return nil
}

// A pruned session is one that was removed, or would be.
type pruned struct {
	listed
	Removed bool   `json:"removed"`
	Error   string `json:"error,omitempty"`
}

// A pruning is one prune.
type pruning struct {
	c       *caller
	o       pruneOptions
	root    string
	records []session.Kept // that were chosen
	list    []pruned       // of the same order
	waiting int            // how many stay because of their changes alone
}

func prune(ctx context.Context, o pruneOptions, c *caller) error {
	ctx, signals := newCourier(ctx, false)
	defer signals.stop()
	root, records, err := c.records()
	if err != nil {
		return err
	}
	p := &pruning{c: c, o: o, root: root}
	if p.records, p.waiting, err = o.choose(records, time.Now()); err != nil {
		return err
	}
	for _, one := range measure(p.records) {
		p.list = append(p.list, pruned{listed: one})
	}
	if len(p.list) > 0 && !o.json {
		c.voice.table(true, p.rows())
	}
	if yes, err := p.agreed(ctx); err != nil || !yes {
		return err
	}
	failed := false
	if !o.dryRun {
		failed = p.remove(ctx)
	}
	if o.json {
		err = p.answer()
	} else {
		p.tell()
	}
	if err == nil && failed {
		err = exitStatus(exitFailure)
	}
	if s := interruption(ctx); s != nil {
		return s
	}
	return err
}

// choose finds the records that are to go, and counts those that are only kept for their changes.
func (o pruneOptions) choose(records []session.Kept, now time.Time) (chosen []session.Kept, waiting int, err error) {
	if len(o.ids) > 0 {
		chosen, err = o.named(records)
		return chosen, 0, err
	}
	for _, k := range records {
		switch {
		case k.Info.State == session.Running || !o.all && now.Sub(k.Ended) < o.olderThan:
		case k.Workspace != "" && !o.changes:
			waiting++
		default:
			chosen = append(chosen, k)
		}
	}
	return chosen, waiting, nil
}

func (o pruneOptions) named(records []session.Kept) ([]session.Kept, error) {
	var infos []session.Info
	for _, k := range records {
		infos = append(infos, k.Info)
	}
	names := map[string]bool{}
	for _, id := range o.ids {
		info, err := session.Pick(infos, id, "")
		if err != nil {
			return nil, &plainError{err: err, hint: `"agentbox ps --all" lists the sessions`}
		}
		names[info.ID] = true
	}
	var chosen []session.Kept
	for _, k := range records {
		switch id := k.Info.ID; {
		case !names[id]:
		case k.Info.State == session.Running:
			return nil, stillRuns(id)
		case k.Workspace != "" && !o.changes:
			return nil, &plainError{err: fmt.Errorf("session %s has changes that nobody decided about", id),
				hint: fmt.Sprintf(`"agentbox diff %s" shows them; with --changes they are removed, too`, id)}
		default:
			chosen = append(chosen, k)
		}
	}
	return chosen, nil
}

func stillRuns(id string) error {
	return &plainError{err: fmt.Errorf("session %s still runs, or another command decides about it", id), hint: fmt.Sprintf(`"agentbox kill %s" ends it`, id)}
}

// agreed asks a person, when there is one.
func (p *pruning) agreed(ctx context.Context) (bool, error) {
	if len(p.list) == 0 || p.o.yes || p.o.dryRun {
		return true, nil
	}
	lost := ""
	switch n := p.undecided(); n {
	case 0:
	case len(p.list):
		lost = " with changes that are lost for ever"
	default:
		lost = fmt.Sprintf(", %d of them with changes that are lost for ever", n)
	}
	return p.c.confirm(ctx, fmt.Sprintf("remove what is kept of %s%s?", counted(len(p.list), "session", "sessions"), lost))
}

// confirm asks before something is removed; where nobody is there to ask, the command line has decided.
func (c *caller) confirm(ctx context.Context, question string) (bool, error) {
	if !c.canAsk() {
		return true, nil
	}
	c.voice.ask("%s [y/N]", question)
	answer, err := c.hear(lineReader(ctx, c.in))
	if err != nil && !errors.Is(err, io.EOF) {
		return false, c.left(ctx, err, nothingRemoved)
	}
	if a := strings.ToLower(answer); a == "y" || a == "yes" {
		return true, nil
	}
	c.voice.notef("%s", nothingRemoved)
	return false, exitStatus(exitFailure)
}

// undecided counts the chosen sessions with changes.
func (p *pruning) undecided() (n int) {
	for _, k := range p.records {
		if k.Workspace != "" {
			n++
		}
	}
	return n
}

// remove takes away one after the other. One that cannot be removed does not stop the others; a signal does.
func (p *pruning) remove(ctx context.Context) (failed bool) {
	for i, k := range p.records {
		if ctx.Err() != nil {
			return true
		}
		err := p.c.pruneRecord(ctx, p.root, k)
		p.list[i].Removed = err == nil
		if err != nil {
			failed, p.list[i].Error = true, err.Error()
			var said *saidError
			if !errors.As(err, &said) && ctx.Err() == nil {
				p.c.voice.report(err)
			}
		}
	}
	return failed
}

// pruneRecord removes what is kept of one session, which nobody else may be at.
func (c *caller) pruneRecord(ctx context.Context, root string, k session.Kept) error {
	ch := &changes{kept: k}
	var err error
	ch.record, err = session.HoldRecord(root, k.Info.ID)
	switch {
	case errors.Is(err, session.ErrNotFound):
		return nil // somebody else removed it
	case errors.Is(err, session.ErrRunning):
		return stillRuns(k.Info.ID)
	case err != nil:
		return err
	}
	defer ch.close()
	_, err = os.Lstat(filepath.Join(ch.record.Dir(), session.WorkspaceDir))
	switch {
	case errors.Is(err, fs.ErrNotExist): // somebody decided meanwhile, or there never was one
	case err != nil:
		return err
	case k.Workspace == "": // a session that went on with them gave them back
		return fmt.Errorf("session %s has changes again", k.Info.ID)
	default:
		if err := c.pruneChanges(ctx, ch); err != nil {
			return err
		}
	}
	record := ch.record
	ch.record = nil
	return record.Discard()
}

// pruneChanges discards what the agent wrote, as discard does.
func (c *caller) pruneChanges(ctx context.Context, ch *changes) error {
	if _, err := os.Lstat(ch.grave()); err == nil {
		return ch.remove() // it was discarded, but not to the end
	}
	review, err := c.lastLook(ctx, ch)
	if err != nil {
		return err
	}
	l, err := c.openLedgerToFree(ch)
	if err != nil {
		return err
	}
	err = c.endChanges(ch, l, review, "asked")
	if closed := l.close(); err == nil {
		err = closed
	}
	return err
}

func (p *pruning) rows() [][]string {
	rows := [][]string{{"ID", "ENDED", "STATE", "OUTPUT", "WRITTEN", "CHANGES", "WORKSPACE", "COMMAND"}}
	for _, s := range p.list {
		ended, state := "-", s.State
		if s.Ended != nil {
			ended = age(*s.Ended) + " ago"
		}
		if how, _ := s.ending(); how != "" {
			state = how
		}
		rows = append(rows, []string{s.ID, ended, state, s.outputText(), s.writtenText(), s.changesText(), s.Workspace,
			shorten(commandLine(s.Command), maxCommand)})
	}
	return rows
}

// tell says what was removed, and what stays for its changes.
func (p *pruning) tell() {
	n, bytes, more := 0, int64(0), ""
	for _, s := range p.list {
		if !s.Removed && !p.o.dryRun {
			continue
		}
		n++
		bytes += s.Output
		if s.Written != nil {
			bytes += *s.Written
		}
		if s.More {
			more = "more than "
		}
	}
	switch did := map[bool]string{true: "would be removed", false: "removed"}[p.o.dryRun]; {
	case len(p.list) == 0 && (p.o.all || p.waiting > 0):
		p.c.voice.notef("nothing to remove")
	case len(p.list) == 0:
		p.c.voice.notef("nothing to remove: no session that ended more than %s ago is kept", profile.Duration(p.o.olderThan))
	default:
		p.c.voice.notef("%s %s: %s%s", counted(n, "session", "sessions"), did, more, humanize.IBytes(uint64(bytes)))
	}
	switch p.waiting {
	case 0:
	case 1:
		p.c.voice.notef("1 session stays for its changes, which nobody decided about; --changes removes it, too")
	default:
		p.c.voice.notef("%d sessions stay for their changes, which nobody decided about; --changes removes them, too", p.waiting)
	}
}

// answer prints JSON.
func (p *pruning) answer() error {
	if p.list == nil {
		p.list = []pruned{}
	}
	return p.c.voice.json(struct {
		Version  int      `json:"version"`
		DryRun   bool     `json:"dry_run"`
		Sessions []pruned `json:"sessions"`
		Waiting  int      `json:"waiting"` // that stay because of their changes alone
	}{1, p.o.dryRun, p.list, p.waiting})
}
