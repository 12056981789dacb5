package cli

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	cli "github.com/urfave/cli/v2"

	"agentbox/internal/audit"
)

type logOptions struct {
	id, dir string
	follow  bool
	json    bool
	types   []string
	since   time.Duration
}

func newLog(c *caller) *cli.Command {
	return &cli.Command{
		Name: "log", Usage: "print the record of a session", UsageText: "agentbox log [options] [ID]",
		Description: "ID may be a unique beginning; without it, the latest session of this project is meant. \"log verify\" checks that nobody\nchanged the record, \"log report\" sums it up, \"log prune\" removes old ones, \"log archive\" copies closed ones\nto another place. The ID \"retention\" stands for the record of logs that were removed.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on until the session ends"},
			&cli.StringSliceFlag{Name: "type", Usage: "only records of the type `TYPE`, or of a group of types (\"session\")"},
			&cli.DurationFlag{Name: "since", Usage: "only records of the last `TIME`, such as 10m", DefaultText: "all"},
			&cli.BoolFlag{Name: "json", Usage: "print the records as they are in the log, a line each"},
			logDirFlag(),
		},
		Subcommands: []*cli.Command{newLogVerify(c), newLogReport(c), newLogPrune(c), newLogArchive(c)},
		Action: func(ctx *cli.Context) error {
			if err := wantArgs(ctx, 1); err != nil {
				return err
			}
			o := logOptions{id: ctx.Args().First(), follow: ctx.Bool("follow"), json: ctx.Bool("json"), types: ctx.StringSlice("type"), since: ctx.Duration("since")}
			var err error
			if o.dir, err = value(ctx, "log-dir"); err != nil {
				return err
			}
			return showLog(ctx.Context, o, c)
		},
	}
}

func logDirFlag() cli.Flag {
	return &cli.StringFlag{Name: "log-dir", Usage: "look for logs in `DIR` (default: the profile's audit.dir)"}
}

func showLog(ctx context.Context, o logOptions, c *caller) error {
	path, err := findLog(o.dir, o.id)
	if err != nil {
		return err
	}
	records, end, err := o.records(ctx, path)
	if err != nil {
		return err
	}
	defer end()
	for r, err := range records {
		if err != nil {
			return &plainError{err: fmt.Errorf("%s: %w", path, err), hint: fmt.Sprintf(`"agentbox log verify %s" says where it was changed`, path)}
		}
		c.showRecord(r, o.json)
	}
	return nil
}

// records are those that were asked for, to the log's end or, of one that is followed, to its seal.
func (o logOptions) records(ctx context.Context, path string) (list iter.Seq2[audit.Record, error], end func(), err error) {
	filter := audit.Filter{Types: o.types}
	if o.since > 0 {
		filter.Since = time.Now().Add(-o.since)
	}
	if o.follow {
		return audit.Follow(ctx, path, filter), func() {}, nil
	}
	f, err := audit.OpenAll(path)
	if err != nil {
		return nil, nil, err
	}
	return audit.Read(f, filter), func() { f.Close() }, nil
}

// showRecord prints one record. As JSON it is printable ASCII as it stands; otherwise values are shown as names are.
func (c *caller) showRecord(r audit.Record, raw bool) {
	if raw {
		c.voice.script(r.Line() + "\n")
		return
	}
	if e, err := r.Event(); err == nil {
		if start, ok := e.(*audit.ProgramStart); ok && start.Missing {
			return // a shell looks for each program in all of PATH
		}
	}
	c.voice.printf("%s  %s  %s\n", r.Time.Local().Format("2006-01-02 15:04:05.000"), pad(string(r.Type), 18), summary(r))
}

func pad(s string, width int) string { return s + strings.Repeat(" ", max(0, width-len(s))) }

// summary is what a person wants to know of a record at a glance.
func summary(r audit.Record) string {
	e, err := r.Event()
	if err != nil {
		return string(r.Data)
	}
	switch e := e.(type) {
	case *audit.Start:
		s := fmt.Sprintf("%s in %s (%s), profile %s", argvText(e.Argv), e.Workspace, e.Mode, e.Profile)
		for _, d := range e.Degraded {
			s += ", without " + string(d.Layer)
		}
		for _, l := range e.Limits {
			s += fmt.Sprintf(", %s %s (%s)", l.Name, l.Value, l.State)
		}
		return s
	case *audit.Ready:
		return fmt.Sprintf("the agent runs; the box is process %d", e.BoxPID)
	case *audit.Exec:
		return argvText(e.Argv)
	case *audit.Freeze:
		return "by " + string(e.By)
	case *audit.Resume:
		return "by " + string(e.By)
	case *audit.Kill:
		return fmt.Sprintf("%s by %s", e.Signal, e.By)
	case *audit.LimitReached:
		return strings.TrimSuffix(fmt.Sprintf("%s %s; %s", e.Name, e.Value, e.Detail), "; ")
	case *audit.Usage:
		return fmt.Sprintf("memory %d MiB, processor %.1f s, %d processes", e.MemoryBytes>>20, e.CPUSeconds, e.Pids)
	case *audit.End:
		return strings.TrimSuffix(fmt.Sprintf("%s with %d after %.1f s: %s", e.Cause, e.ExitCode, e.Seconds, cmp.Or(e.Error, e.Signal)), ": ")
	}
	return laterSummary(e, r)
}

// laterSummary is that of records about the log itself, and about what was decided when the session was over.
func laterSummary(e audit.Event, r audit.Record) string {
	switch e := e.(type) {
	case *audit.Checkpoint:
		return fmt.Sprintf("%d records, signed", e.Records)
	case *audit.Seal:
		if e.Signature != nil {
			return fmt.Sprintf("%d records, signed", e.Records)
		}
		return fmt.Sprintf("%d records", e.Records)
	case *audit.Continued:
		if !e.Sealed {
			return fmt.Sprintf("a further part by user %d; the one before has no seal", e.UID)
		}
		return fmt.Sprintf("a further part by user %d", e.UID)
	case *audit.Rotated:
		return fmt.Sprintf("%d records; file %d ends here", e.Records, e.File)
	case *audit.Begun:
		return fmt.Sprintf("file %d begins after %d records", e.File, e.Records)
	case *audit.Removed:
		return removedSummary(e)
	case *audit.Changes:
		return changesSummary(e)
	case *audit.ApplyBegin:
		return fmt.Sprintf("%s into %s by user %d", counted(e.Items, "path", "paths"), e.Workspace, e.UID)
	case *audit.ApplyItems:
		return fmt.Sprintf("%s of receipt %s", counted(len(e.Items), "path", "paths"), e.Receipt)
	case *audit.Apply:
		return applySummary(e)
	case *audit.ApplyUndone:
		return "nothing was applied: " + string(e.Why)
	case *audit.Recover:
		return strings.TrimSuffix(fmt.Sprintf("an apply that was cut off was %s by user %d, receipt %s", e.Outcome, e.UID, e.Receipt), ", receipt ")
	case *audit.Discard:
		return discardSummary(e)
	}
	return cmp.Or(networkSummary(e), toolSummary(e), string(r.Data))
}

func argvText(argv []audit.Text) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = string(a)
	}
	return shorten(commandLine(words), 120)
}
