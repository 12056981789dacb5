package cli

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	cli "github.com/urfave/cli/v2"

	"agentbox/internal/audit"
	"agentbox/profile"
)

type logPruneOptions struct {
	ids       []string
	dir       string
	olderThan *time.Duration // nil: as the profile says
	maxSize   *int64
	dryRun    bool
	yes       bool
	json      bool
}

func newLogPrune(c *caller) *cli.Command {
	return &cli.Command{
		Name: "prune", Usage: "remove the records of old sessions", UsageText: "agentbox log prune [options] [ID ...]",
		Description: "Removed are the logs that are named, or what audit.retain and audit.max_size of the profile do not let stay; --older-than and\n" +
			"--max-size stand for both. The log of a session that runs, or that has changes nobody applied or discarded, always stays.\n" +
			"What is removed is recorded before, with its last hash: \"agentbox log retention\" shows it. A terminal is asked first;\n" +
			"without one, it needs --yes.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "older-than", DefaultText: "audit.retain", Usage: "logs to which nothing was added for `DURATION`, as in 12h or 90d"},
			&cli.StringFlag{Name: "max-size", DefaultText: "audit.max_size", Usage: "the oldest logs, until the others take no more than `SIZE`, as in 500MiB"},
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "only list what would be removed"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
			jsonFlag(),
			logDirFlag(),
		},
		Action: func(ctx *cli.Context) error {
			o, err := c.logPruneOptionsFrom(ctx)
			if err != nil {
				return err
			}
			return pruneLogs(ctx.Context, o, c)
		},
	}
}

func (c *caller) logPruneOptionsFrom(ctx *cli.Context) (logPruneOptions, error) {
	o := logPruneOptions{ids: ctx.Args().Slice(), dryRun: ctx.Bool("dry-run"), yes: ctx.Bool("yes"), json: ctx.Bool("json")}
	if err := idsOnly("log prune", o.ids); err != nil {
		return o, err
	}
	var err error
	if o.dir, err = value(ctx, "log-dir"); err != nil {
		return o, err
	}
	if ctx.IsSet("older-than") {
		d, err := profile.ParseDuration(ctx.String("older-than"))
		if err != nil || d <= 0 {
			return o, &usageError{msg: fmt.Sprintf("--older-than: %q is no time that can have passed", ctx.String("older-than")), hint: "write it as in 12h or 90d"}
		}
		age := time.Duration(d)
		o.olderThan = &age
	}
	if ctx.IsSet("max-size") {
		s, err := profile.ParseSize(ctx.String("max-size"))
		if err != nil || s <= 0 {
			return o, &usageError{msg: fmt.Sprintf("--max-size: %q is no size", ctx.String("max-size")), hint: "write it as in 500MiB"}
		}
		size := int64(s)
		o.maxSize = &size
	}
	silent := !o.yes && !o.dryRun
	switch {
	case len(o.ids) > 0 && (o.olderThan != nil || o.maxSize != nil):
		return o, &usageError{msg: fmt.Sprintf("%q names a session, whatever its age", o.ids[0]), hint: "leave --older-than and --max-size out"}
	case o.json && silent && c.canAsk():
		return o, &usageError{msg: "--json does not ask", hint: "give --yes, or --dry-run to look first"}
	case silent && !c.canAsk():
		return o, &usageError{msg: "there is no terminal to ask on", hint: "give --yes, or --dry-run to look first"}
	}
	return o, nil
}

// A prunedLog is one that was removed, or would be.
type prunedLog struct {
	Session string    `json:"session"`
	Files   int       `json:"files"`
	Bytes   int64     `json:"bytes"`
	Changed time.Time `json:"changed"` // when it was last written to
	Why     string    `json:"why"`
	Removed bool      `json:"removed"`
	Error   string    `json:"error,omitempty"`
}

// A logPruning is one `log prune`.
type logPruning struct {
	c      *caller
	o      logPruneOptions
	u      audit.Upkeep
	chosen []audit.Candidate
	list   []prunedLog // of the same order
	failed bool
}

func pruneLogs(ctx context.Context, o logPruneOptions, c *caller) error {
	ctx, signals := newCourier(ctx, false)
	defer signals.stop()
	p := &logPruning{c: c, o: o}
	err := p.choose(ctx)
	if err != nil {
		return err
	}
	if len(p.list) > 0 && !o.json {
		c.voice.table(true, p.rows())
	}
	if len(p.list) > 0 && !o.yes && !o.dryRun {
		if yes, err := c.confirm(ctx, fmt.Sprintf("remove %s for ever?", counted(len(p.list), "log", "logs"))); err != nil || !yes {
			return err
		}
	}
	if !o.dryRun {
		if err := p.remove(ctx); err != nil {
			return err
		}
	}
	if err := p.answer(); err != nil {
		return err
	}
	if s := interruption(ctx); s != nil {
		return s
	}
	if p.failed {
		return exitStatus(exitFailure)
	}
	return nil
}

// choose reads the profile and finds the logs that are to go.
func (p *logPruning) choose(ctx context.Context) error {
	a, host, err := auditPolicy()
	if err != nil {
		return err
	}
	var key ed25519.PrivateKey
	if !p.o.dryRun {
		if key, err = signingKey(a.Key, host.Files.Home); err != nil {
			p.c.voice.warnf("the record of what is removed is not signed: %s", err)
		}
	}
	dir := p.o.dir
	if dir == "" {
		dir = auditDir(a.Dir, host.Files.Home)
	}
	p.u = upkeep(a, dir, host.Files.Home, key)
	if p.o.olderThan != nil || p.o.maxSize != nil {
		p.u.Retain, p.u.MaxSize = 0, 0
	}
	if p.o.olderThan != nil {
		p.u.Retain = *p.o.olderThan
	}
	if p.o.maxSize != nil {
		p.u.MaxSize = *p.o.maxSize
	}
	if len(p.o.ids) > 0 {
		p.chosen, err = p.named()
	} else {
		p.chosen, err = p.u.Choose(ctx)
	}
	for _, log := range p.chosen {
		p.list = append(p.list, prunedLog{Session: log.Session, Files: len(log.Files), Bytes: log.Size, Changed: log.Changed.UTC(), Why: log.Why})
	}
	return err
}

// named are the logs of the sessions on the command line, each once.
func (p *logPruning) named() (chosen []audit.Candidate, err error) {
	logs, err := audit.Logs(p.u.Dir)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, id := range p.o.ids {
		log, err := pickLog(p.u.Dir, logs, id)
		if err != nil {
			return nil, err
		}
		stays, err := p.u.Stays(log)
		if err != nil {
			return nil, err
		}
		if stays != "" {
			return nil, &plainError{err: fmt.Errorf("the log of session %s stays: %s", log.Session, stays)}
		}
		if !seen[log.Session] {
			seen[log.Session] = true
			chosen = append(chosen, audit.Candidate{Stored: log, Why: audit.ByAsked})
		}
	}
	return chosen, nil
}

// remove takes away one log after the other, and then does what else there is to do in the directory.
func (p *logPruning) remove(ctx context.Context) error {
	at := map[string]int{}
	for i, one := range p.list {
		at[one.Session] = i
	}
	p.u.Removed = func(log audit.Candidate, err error) {
		one := &p.list[at[log.Session]]
		one.Removed = err == nil
		if err != nil {
			p.failed, one.Error = true, err.Error()
			p.c.voice.failf("the log of session %s: %s", log.Session, err)
		}
	}
	if len(p.list) > 0 {
		if err := p.u.Remove(ctx, p.chosen); err != nil && !p.failed {
			return p.refusal(err)
		}
	}
	if ctx.Err() != nil {
		p.failed = true
		return nil
	}
	rest := p.u
	rest.Retain, rest.MaxSize = 0, 0
	if err := rest.Run(ctx); err != nil && !errors.Is(err, audit.ErrBusy) {
		p.c.voice.warnf("%s", err)
	}
	return nil
}

// refusal is why nothing was removed.
func (p *logPruning) refusal(err error) error {
	switch {
	case errors.Is(err, audit.ErrTampered):
		return &plainError{err: err, hint: `what is removed must be on record: "agentbox log verify retention" says where that record was changed`}
	case errors.Is(err, audit.ErrBusy):
		return &plainError{err: fmt.Errorf("another command looks after the logs: %w", err), hint: "wait until it has ended"}
	}
	return err
}

func (p *logPruning) rows() [][]string {
	rows := [][]string{{"ID", "WRITTEN", "FILES", "SIZE", "WHY"}}
	for _, one := range p.list {
		rows = append(rows, []string{one.Session, age(one.Changed) + " ago", strconv.Itoa(one.Files), humanize.IBytes(uint64(one.Bytes)), one.Why})
	}
	return rows
}

// answer says what was removed.
func (p *logPruning) answer() error {
	if p.o.json {
		if p.list == nil {
			p.list = []prunedLog{}
		}
		return p.c.voice.json(struct {
			Version int         `json:"version"`
			DryRun  bool        `json:"dry_run"`
			Logs    []prunedLog `json:"logs"`
		}{1, p.o.dryRun, p.list})
	}
	n, bytes := 0, int64(0)
	for _, one := range p.list {
		if one.Removed || p.o.dryRun {
			n++
			bytes += one.Bytes
		}
	}
	switch did := map[bool]string{true: "would be removed", false: "removed"}[p.o.dryRun]; {
	case len(p.list) > 0:
		p.c.voice.notef("%s %s: %s", counted(n, "log", "logs"), did, humanize.IBytes(uint64(bytes)))
	case p.u.Retain > 0 && p.u.MaxSize == 0:
		p.c.voice.notef("nothing to remove: no log was last written more than %s ago", profile.Duration(p.u.Retain))
	default:
		p.c.voice.notef("nothing to remove")
	}
	return nil
}
