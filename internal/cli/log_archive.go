package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"
	cli "github.com/urfave/cli/v2"

	"agentbox/internal/archive"
	"agentbox/internal/audit"
	"agentbox/launch"
	"agentbox/profile"
)

type archiveOptions struct {
	to, token, dir string
	dryRun, json   bool
}

func newLogArchive(c *caller) *cli.Command {
	return &cli.Command{
		Name: "archive", Usage: "copy closed logs to the profile's archive", UsageText: "agentbox log archive [options]",
		Description: "Closes the logs of sessions that are over, and copies all closed ones that the archive does not have to where audit.archive says: a\n" +
			"directory, a server, a bucket or a program. Nothing is removed here, and nothing is overwritten there. A pass that was interrupted or killed is gone on with by\n" +
			"the next one. Ends with 0 only if the archive has all of them.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "copy to `DEST` instead, written as in audit.archive"},
			&cli.StringFlag{Name: "token", Usage: "with --to, what DEST wants to see: `REFERENCE` is env:NAME, file:PATH or command:PROGRAM ARGS"},
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "only list what would be copied"},
			jsonFlag(),
			logDirFlag(),
		},
		Action: func(ctx *cli.Context) error {
			if err := wantArgs(ctx, 0); err != nil {
				return err
			}
			o := archiveOptions{dryRun: ctx.Bool("dry-run"), json: ctx.Bool("json")}
			var err1, err2, err3 error
			o.to, err1 = value(ctx, "to")
			o.token, err2 = value(ctx, "token")
			o.dir, err3 = value(ctx, "log-dir")
			if err := errors.Join(err1, err2, err3); err != nil {
				return err
			}
			if o.token != "" && o.to == "" {
				return &usageError{msg: "--token is for --to", hint: "audit.archive_token is that of audit.archive"}
			}
			return archiveLogs(ctx.Context, o, c)
		},
	}
}

func archiveLogs(ctx context.Context, o archiveOptions, c *caller) error {
	ctx, signals := newCourier(ctx, false)
	defer signals.stop()
	s, err := o.shipment()
	if err != nil {
		return err
	}
	if !o.dryRun {
		if err := s.closeEnded(ctx); err != nil {
			c.voice.warnf("logs of sessions that are over: %s", err)
		}
	}
	files, err := archive.Closed(s.dir)
	if err != nil {
		return err
	}
	to, done, err := s.open(ctx)
	if err != nil {
		return s.explained(err)
	}
	defer done()
	var items []archive.Item
	if o.dryRun {
		items = archive.Pending(s.dir, files, to)
	} else {
		items, err = archive.Ship(ctx, s.dir, files, to, c.shipping)
		c.voice.progress("")
	}
	if stop := interruption(ctx); err != nil && stop == nil {
		return s.explained(err)
	}
	if err := c.showShipped(items, to.String(), o); err != nil {
		return err
	}
	if stop := interruption(ctx); stop != nil {
		return exitStatus(exitSignal + int(stop.signal))
	}
	if n := unshipped(items); n > 0 && !o.dryRun {
		return exitStatus(exitFailure)
	}
	return nil
}

// closeEnded closes the logs of sessions that are over, and compresses what is closed. Nothing is removed.
func (s shipment) closeEnded(ctx context.Context) error {
	key, err := signingKey(s.key, s.host.Files.Home)
	if err != nil {
		return err // a part that is not signed would make a log of it that is not as its key wants it
	}
	err = audit.Upkeep{Dir: s.dir, Keep: func(string) bool { return true }, Runs: running(), Key: key, Agentbox: version, Prompt: true}.Run(ctx)
	if errors.Is(err, audit.ErrBusy) {
		return nil // a run that ends does it
	}
	return err
}

// shipment is what the command line and the profile that holds here say.
func (o archiveOptions) shipment() (shipment, error) {
	h, err := launch.Probe()
	if err != nil {
		return shipment{}, err
	}
	l, err := newLoader(h)
	if err != nil {
		return shipment{}, err
	}
	p, err := l.load(profileOptions{})
	if err != nil {
		return shipment{}, err
	}
	if len(p.findings.Fatal()) > 0 {
		return shipment{}, p.findings
	}
	a := p.effective.Profile.Audit
	s := shipment{host: h, workspace: p.workspace, dir: o.dir, to: a.Archive, token: a.ArchiveToken, key: a.Key, ca: p.effective.Profile.Network.ExtraCA}
	if s.dir == "" {
		s.dir = auditDir(a.Dir, h.Files.Home)
	}
	if o.to != "" {
		// The profile's token is for the profile's archive alone.
		if s.to, s.token = o.to, o.token; !strings.Contains(o.to, ":") && !strings.HasPrefix(o.to, "~/") {
			if s.to, err = filepath.Abs(o.to); err != nil {
				return s, err
			}
		}
		if _, err := profile.ParseArchive(s.to); err != nil {
			return s, &usageError{msg: fmt.Sprintf("--to %s", err), hint: `it takes a directory, "command:/full/path ARGS", "https://host/path/" or "s3://bucket/prefix?region=name"`}
		}
	}
	if s.to == "" {
		return s, &plainError{err: errors.New("the profile names no archive"), hint: `write audit.archive = "/mnt/archive" into ~/.config/agentbox/profile.toml, or use --to`}
	}
	return s, nil
}

// explained adds to an error what to do about it.
func (s shipment) explained(err error) error {
	var e *archive.Error
	switch {
	case errors.Is(err, archive.ErrBusy):
		return &plainError{err: fmt.Errorf("%s: %w", s.dir, err), hint: "wait for it; nothing was copied by this command"}
	case errors.As(err, &e):
		return &plainError{err: err, hint: e.Hint}
	}
	return err
}

// shipping shows how far a pass is, where somebody looks.
func (c *caller) shipping(p archive.Progress) {
	if !c.voice.talks() || p.Item.Outcome == archive.Known {
		return
	}
	c.voice.progress("%d of %d  %s  %s of %s", p.Index, p.Count, p.Item.Name, humanize.Bytes(uint64(max(0, p.Sent))), humanize.Bytes(uint64(max(0, p.Item.Size))))
}

// unshipped counts the files that the archive does not have.
func unshipped(items []archive.Item) int {
	n := 0
	for _, i := range items {
		if i.Outcome == archive.Failed || i.Outcome == archive.Untried {
			n++
		}
	}
	return n
}

// An archived is one file in `log archive --json`.
type archived struct {
	Name    string          `json:"name"`
	Size    int64           `json:"size"`
	SHA256  string          `json:"sha256,omitempty"`
	Outcome archive.Outcome `json:"outcome"`
	Error   string          `json:"error,omitempty"`
}

func (c *caller) showShipped(items []archive.Item, to string, o archiveOptions) error {
	if o.json {
		answer := struct {
			Version     int        `json:"version"`
			Destination string     `json:"destination"`
			DryRun      bool       `json:"dry_run"`
			Files       []archived `json:"files"`
		}{1, to, o.dryRun, []archived{}}
		for _, i := range items {
			one := archived{Name: i.Name, Size: i.Size, SHA256: i.SHA256, Outcome: i.Outcome}
			if i.Err != nil {
				one.Error = i.Err.Error()
			}
			answer.Files = append(answer.Files, one)
		}
		return c.voice.json(answer)
	}
	count := map[archive.Outcome]int{}
	for _, i := range items {
		count[i.Outcome]++
		switch {
		case i.Outcome == archive.Failed:
			c.voice.failf("%s: %s", i.Name, i.Err)
			var e *archive.Error
			if errors.As(i.Err, &e) {
				c.voice.hint(e.Hint)
			}
		case i.Outcome == archive.Sent, o.dryRun && i.Outcome == archive.Untried:
			c.voice.printf("%s  %s\n", i.Name, humanize.Bytes(uint64(max(0, i.Size))))
		}
	}
	c.tellShipped(count, unshipped(items), to, o.dryRun)
	return nil
}

// tellShipped says in one line what was done, and what state is left.
func (c *caller) tellShipped(count map[archive.Outcome]int, left int, to string, dryRun bool) {
	had := count[archive.There] + count[archive.Known]
	switch {
	case dryRun:
		c.voice.notef("%s would be copied to %s, which has %d", counted(left, "closed log", "closed logs"), to, had)
	case left > 0:
		c.voice.notef("%s copied to %s, which had %d before; %s here alone, and the next pass goes on with %s", counted(count[archive.Sent], "closed log was", "closed logs were"), to, had,
			counted(left, "is", "are"), map[bool]string{true: "it", false: "them"}[left == 1])
	default:
		c.voice.notef("%s copied to %s, which had %d before", counted(count[archive.Sent], "closed log was", "closed logs were"), to, had)
	}
}
