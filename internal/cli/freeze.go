package cli

import (
	"context"
	"fmt"
	"time"

	cli "github.com/urfave/cli/v2"

	"agentbox/internal/session"
)

func newFreeze(c *caller) *cli.Command {
	return stateCommand(c, session.OpFreeze, "stop everything in a box, until resume",
		"Returns when every process of the box has stopped. Time goes on: connections may time out meanwhile.")
}

func newResume(c *caller) *cli.Command {
	return stateCommand(c, session.OpResume, "let a frozen box go on", "")
}

// stateCommand is one that only needs a session.
func stateCommand(c *caller, op, usage, description string) *cli.Command {
	if description != "" {
		description += "\n"
	}
	return &cli.Command{
		Name: op, Usage: usage, UsageText: "agentbox " + op + " [ID]",
		Description: description + "ID may be a unique beginning; without it, the latest session of this project is meant.",
		Action: func(ctx *cli.Context) error {
			if err := wantArgs(ctx, 1); err != nil {
				return err
			}
			return changeState(ctx.Context, op, ctx.Args().First(), c)
		},
	}
}

func changeState(_ context.Context, op, id string, c *caller) error {
	root, info, err := c.findSession(id)
	if err != nil {
		return err
	}
	reply, err := session.Call(root, info.ID, session.Request{Op: op}, freezing+time.Second)
	if err == nil && !reply.OK {
		err = fmt.Errorf("session %s: %s", info.ID, reply.Error)
	}
	return err
}
