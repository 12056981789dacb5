package cli

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	cli "github.com/urfave/cli/v2"

	"agentbox/internal/audit"
	"agentbox/internal/report"
)

func newLogReport(c *caller) *cli.Command {
	return &cli.Command{
		Name: "report", Usage: "say what a session did, what left it, and what deserves a look", UsageText: "agentbox log report [options] [ID or FILE]",
		Description: "Prints a text, or writes FILE, for its owner alone: as one HTML page that needs nothing else and asks nobody, as JSON, or as\n" +
			"text, by the end of its name (.html, .json, .txt, .md). A session that runs, one whose supervisor was killed, and a log that\n" +
			"somebody changed have a report, too: it says so at its head.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write it to `FILE`"},
			&cli.StringFlag{Name: "format", Usage: "`FORMAT` is text, json or html, whatever the file's name"},
			logDirFlag(),
		},
		Action: func(ctx *cli.Context) error {
			if err := wantArgs(ctx, 1); err != nil {
				return err
			}
			return reportLog(ctx, c)
		},
	}
}

func reportLog(ctx *cli.Context, c *caller) error {
	output, err1 := value(ctx, "output")
	format, err2 := value(ctx, "format")
	dir, err3 := value(ctx, "log-dir")
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	if format == "" {
		format = formatOf(output)
	}
	write, ok := map[string]func(*report.Report, io.Writer) error{"text": (*report.Report).WriteText, "json": (*report.Report).WriteJSON,
		"html": (*report.Report).WriteHTML}[format]
	if !ok {
		return &usageError{msg: fmt.Sprintf("--format: there is no %q", format), hint: "text, json or html"}
	}
	path := ctx.Args().First()
	if !strings.Contains(path, "/") {
		var err error
		if path, err = findLog(dir, path); err != nil {
			return err
		}
	}
	r, err := readReport(path, c.stateOf(path))
	if err != nil {
		return err
	}
	if output == "" {
		var text strings.Builder
		if err := write(r, &text); err != nil {
			return err
		}
		c.voice.script(text.String())
		return nil
	}
	file, err := placeFile("output", output, []string{"."})
	if err != nil {
		return err
	}
	file.private = true // it names files, hosts and commands, as the log does
	if err := errors.Join(file.write(func(w io.Writer) error { return write(r, w) }), file.close()); err != nil {
		return err
	}
	c.voice.notef("session %s: %s, in %s", r.Session, counted(len(r.Findings), "finding", "findings"), output)
	return nil
}

func formatOf(name string) string {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".html", ".htm":
		return "html"
	case ".json":
		return "json"
	}
	return "text"
}

// stateOf is that of a session which still lasts, by its log.
func (c *caller) stateOf(path string) string {
	_, list, _, err := c.liveSessions()
	if err != nil {
		return ""
	}
	for _, one := range list {
		if audit.SessionOf(path) == one.ID {
			return one.State
		}
	}
	return ""
}

// readReport reads a log twice: what verification says stands at the head. A log that grows meanwhile is read as far as
// it was verified, and a little further.
func readReport(path, state string) (*report.Report, error) {
	verification, err := audit.VerifyAll(path, audit.Expected{})
	if err != nil {
		return nil, err
	}
	f, err := audit.OpenAll(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return report.From(audit.Records(f), verification, report.Meanwhile{State: state}), nil
}
