package cli

import (
	"context"
	"strconv"
	"time"

	cli "github.com/urfave/cli/v2"

	"agentbox/internal/session"
)

// maxCommand is the width at which a listing cuts a command off.
const maxCommand = 60

func newPs(c *caller) *cli.Command {
	return &cli.Command{
		Name: "ps", Usage: "list your running sessions", UsageText: "agentbox ps [--json]",
		Flags: []cli.Flag{jsonFlag()},
		Action: func(ctx *cli.Context) error {
			if err := wantArgs(ctx, 0); err != nil {
				return err
			}
			return ps(ctx.Context, ctx.Bool("json"), c)
		},
	}
}

func ps(_ context.Context, asJSON bool, c *caller) error {
	root, err := session.Root()
	if err != nil {
		return err
	}
	list, err := session.List(root)
	if err != nil {
		c.voice.warnf("%s", err)
	}
	if asJSON {
		if list == nil {
			list = []session.Info{}
		}
		return c.voice.json(struct {
			Version  int            `json:"version"`
			Sessions []session.Info `json:"sessions"`
		}{1, list})
	}
	rows := [][]string{{"ID", "PID", "AGE", "STATE", "PROFILE", "WORKSPACE", "COMMAND"}}
	for _, s := range list {
		rows = append(rows, []string{s.ID, strconv.Itoa(s.PID), seconds(time.Since(s.Started)), s.State,
			s.Profile, s.Workspace, shorten(commandLine(s.Command), maxCommand)})
	}
	c.voice.table(true, rows)
	return nil
}
