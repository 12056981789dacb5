package cli

import (
	"context"
	"fmt"
	"slices"

	cli "github.com/urfave/cli/v2"

	"agentbox/internal/workspace"
)

// How diff shows the changes.
const (
	asDiff = iota
	asStat
	asNames
	asJSON
)

type diffOptions struct {
	id       string
	paths    []string // in the words of the command line
	dashed   bool     // a -- tells the ID from the paths
	how      int
	nul      bool // names as they are, for a program
	exitCode bool
	noPager  bool
	offered  bool // the person is asked right afterwards what becomes of the changes
}

func newDiff(c *caller) *cli.Command {
	return &cli.Command{
		Name: "diff", Usage: "show what an agent changed in its overlay", UsageText: "agentbox diff [options] [ID] [PATH...]",
		Description: "ID may be a unique beginning; without it, the latest session of this project with changes is meant. A PATH is a file, or a\n" +
			"directory with all below it, relative to the current directory, or to the project where that is elsewhere. Behind a -- there\n" +
			"are only PATHs.\n" +
			"The difference is the one between the project as it is now and what the agent saw at the end, in the manner of git. What a\n" +
			"person has to know beforehand comes first: files that something outside the box runs or obeys (hand-off files), what the profile\n" +
			"masks or protects, what the host changed as well, and what is never applied. On a terminal this is in a pager: AGENTBOX_PAGER,\n" +
			"PAGER, or less. Of a session that still runs, what is there so far is shown.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "stat", Usage: "only count the lines of each file"},
			&cli.BoolFlag{Name: "name-only", Usage: "only name the files"},
			&cli.BoolFlag{Name: "z", Usage: "with --name-only: names as they are, each ended by a NUL; not on a terminal"},
			jsonFlag(),
			&cli.BoolFlag{Name: "exit-code", Usage: "end with 1 when there are changes"},
			&cli.BoolFlag{Name: "no-pager", Usage: "write to the terminal itself"},
		},
		Action: func(ctx *cli.Context) error {
			o, err := c.diffOptionsFrom(ctx)
			if err != nil {
				return err
			}
			return diff(ctx.Context, o, c)
		},
	}
}

func (c *caller) diffOptionsFrom(ctx *cli.Context) (diffOptions, error) {
	o := diffOptions{exitCode: ctx.Bool("exit-code"), noPager: ctx.Bool("no-pager"), nul: ctx.Bool("z")}
	first := ""
	for _, f := range []struct {
		name string
		how  int
	}{{"stat", asStat}, {"name-only", asNames}, {"json", asJSON}} {
		if !ctx.Bool(f.name) {
			continue
		}
		if first != "" {
			return o, &usageError{msg: fmt.Sprintf("--%s contradicts --%s", f.name, first), hint: "give one of them"}
		}
		first, o.how = f.name, f.how
	}
	switch {
	case o.nul && o.how != asNames:
		return o, &usageError{msg: "-z is for --name-only", hint: "give both"}
	case o.nul && isTerminal(c.out):
		return o, &usageError{msg: "-z does not write to a terminal", hint: "a name may hold what a terminal obeys; without -z it is escaped"}
	}
	err := c.diffArgs(&o, ctx.Args().Slice())
	return o, err
}

func diff(ctx context.Context, o diffOptions, c *caller) error {
	kept, err := c.findChanges(o.id)
	if err != nil {
		return err
	}
	ch, err := c.openChanges(kept, false)
	if err != nil {
		return err
	}
	defer ch.close()
	if ch.record == nil {
		ch.Live()
	}
	review, err := ch.Review(ctx)
	if err != nil {
		return err
	}
	shown, err := o.narrow(review, kept.Info.Workspace)
	if err != nil {
		return err
	}
	if ch.record == nil {
		c.voice.notef("session %s still runs: this is what it has written so far", kept.Info.ID)
	}
	if o.how == asJSON {
		err = c.voice.json(answerOf(ch, review, shown))
	} else {
		err = c.showChanges(ch, shown, o)
	}
	if err == nil && o.exitCode && len(shown.Changes) > 0 {
		err = exitStatus(1)
	}
	return err
}

// A diffAnswer is what --json prints.
type diffAnswer struct {
	Version   int                `json:"version"`
	Session   string             `json:"session"`
	Workspace string             `json:"workspace"`
	Running   bool               `json:"running"`
	Digest    string             `json:"digest"` // of all changes, also where only some are listed
	Summary   workspace.Summary  `json:"summary"`
	Changes   []workspace.Change `json:"changes"`
	Notes     []string           `json:"notes"`
}

func answerOf(ch *changes, all, shown *workspace.Review) diffAnswer {
	a := diffAnswer{Version: 1, Session: ch.kept.Info.ID, Workspace: ch.kept.Info.Workspace, Running: ch.record == nil,
		Digest: all.Digest(), Summary: shown.Summary(), Changes: shown.Changes, Notes: slices.Clone(shown.Notes)}
	if a.Changes == nil {
		a.Changes = []workspace.Change{}
	}
	if a.Notes == nil {
		a.Notes = []string{}
	}
	return a
}
