package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"
	cli "github.com/urfave/cli/v2"

	"agentbox/internal/evidence"
	"agentbox/internal/session"
)

type evidenceOptions struct {
	id, output, dir string
	json            bool
}

func newEvidence(c *caller) *cli.Command {
	return &cli.Command{
		Name: "evidence", Usage: "put all that is known of a session into one file", UsageText: "agentbox evidence [options] [ID]",
		Description: "The FILE of -o is a tar archive, compressed with zstd: the session's log and what verification says of it, the effective policy, the processes\n" +
			"of the box with arguments, open files, sockets and mounts, the figures of its control groups, what the agent changed with hashes,\n" +
			"what left lately, versions, an impact report, and a manifest with the SHA-256 of each. It changes nothing of the session, which may\n" +
			"run, be frozen, have ended or have lost its supervisor; of a box that runs, the documents are of slightly different moments, so\n" +
			"freeze it first. It holds no contents of files, no values of variables, and no secret that agentbox knows. The SHA-256 of FILE is\n" +
			"printed: noted somewhere else, it shows later that FILE is the same. Ends with 1 when FILE lacks something that should be there.\n" +
			"ID may be a unique beginning; without it, the latest session of this project is meant.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write `FILE`, which must not exist yet"},
			logDirFlag(), jsonFlag(),
		},
		Action: func(ctx *cli.Context) error {
			if err := wantArgs(ctx, 1); err != nil {
				return err
			}
			o := evidenceOptions{id: ctx.Args().First(), json: ctx.Bool("json")}
			var err1, err2 error
			o.output, err1 = value(ctx, "output")
			o.dir, err2 = value(ctx, "log-dir")
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			if o.output == "" {
				return &usageError{msg: "there is no file to write", hint: "agentbox evidence -o FILE.tar.zst"}
			}
			return gatherEvidence(ctx.Context, o, c)
		},
	}
}

// An evidenceAnswer is what --json prints.
type evidenceAnswer struct {
	Version   int              `json:"version"`
	Session   string           `json:"session"`
	State     string           `json:"state"`
	File      string           `json:"file"`
	SHA256    string           `json:"sha256"`
	Documents []evidence.Entry `json:"documents"`
	Missing   []evidence.Lack  `json:"missing"`
}

// gatherEvidence writes the bundle. What cannot be collected is named in it, and does not keep the rest from being written.
func gatherEvidence(ctx context.Context, o evidenceOptions, c *caller) error {
	ctx, signals := newCourier(ctx, false)
	defer signals.stop()
	s, err := c.subject(o.dir, o.id)
	if err != nil {
		return err
	}
	file, err := createPrivate(o.output)
	if err != nil {
		return &usageError{msg: fmt.Sprintf("--output %s: %v", o.output, err), hint: "name a new file in a directory that you may write"}
	}
	defer file.close()
	head := evidence.Manifest{Session: s.id, Agentbox: cmp.Or(version, "dev"), Made: time.Now().UTC(), State: s.state(), Moment: s.moment()}
	bundle, err := evidence.New(file, head)
	if err != nil {
		return err
	}
	g := &gatherer{c: c, s: s, bundle: bundle}
	err = g.all(ctx)
	var sum string
	if err == nil {
		sum, err = bundle.Close()
	}
	if err == nil {
		err = file.publish()
	}
	if err != nil {
		return c.left(ctx, fmt.Errorf("%s: %w", o.output, err), "no file was written, and nothing of the session was changed")
	}
	return g.tell(o, head.State, sum)
}

// tell says what the bundle is, and what could not be collected.
func (g *gatherer) tell(o evidenceOptions, state, sum string) error {
	v := g.c.voice
	for _, w := range g.failed {
		v.warnf("%s: %s", w.Name, w.Why)
	}
	if o.json {
		if err := v.json(evidenceAnswer{1, g.s.id, state, o.output, sum, g.bundle.Documents(), g.bundle.Missing()}); err != nil {
			return err
		}
	} else {
		v.printf("%s  %s\n", sum, o.output)
		v.notef("evidence of session %s (%s): %s in %s; note the SHA-256 somewhere else", g.s.id, state,
			counted(len(g.bundle.Documents()), "document", "documents"), o.output)
		g.next(state)
	}
	if path, err := filepath.Abs(o.output); err == nil && g.s.info.Workspace != "" && inside(path, g.s.info.Workspace) {
		v.warnf("%s lies in the project: the next agent there can read it", o.output)
	}
	if g.failed != nil {
		return exitStatus(exitFailure)
	}
	return nil
}

// next names what a person may do now.
func (g *gatherer) next(state string) {
	switch state {
	case session.Frozen:
		g.c.voice.hint(fmt.Sprintf(`"agentbox resume %s" lets it go on, "agentbox kill %s" ends it`, g.s.id, g.s.id))
	case session.Running:
		g.c.voice.hint(fmt.Sprintf(`it ran meanwhile: after "agentbox freeze %s" all is of one moment`, g.s.id))
	}
}

// progress says on a terminal how far it is.
func (g *gatherer) progress(name string, size int64) {
	if g.c.voice.talks() {
		g.c.voice.notef("%s, %s", name, humanize.IBytes(uint64(max(0, size))))
	}
}
