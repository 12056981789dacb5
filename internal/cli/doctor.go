package cli

import (
	"context"

	cli "github.com/urfave/cli/v2"

	"agentbox/internal/capture"
	"agentbox/internal/doctor"
	"agentbox/launch"
)

func newDoctor(c *caller) *cli.Command {
	return &cli.Command{
		Name: "doctor", Usage: "say which features of this host are there, and how to get the missing ones", UsageText: "agentbox doctor [--json]",
		Description: "Ends with 69 when no box of the default profile can start.",
		Flags:       []cli.Flag{jsonFlag()},
		Action: func(ctx *cli.Context) error {
			if err := wantArgs(ctx, 0); err != nil {
				return err
			}
			return diagnose(ctx.Context, ctx.Bool("json"), c)
		},
	}
}

// newTryCapture is what doctor starts in a network namespace of its own.
func newTryCapture() *cli.Command {
	return &cli.Command{
		Name: launch.CaptureTrial, Hidden: true,
		Action: func(*cli.Context) error {
			if err := capture.Try(); err != nil {
				return &plainError{err: err}
			}
			return nil
		},
	}
}

func diagnose(ctx context.Context, asJSON bool, c *caller) error {
	checks := doctor.Run(ctx)
	ready := doctor.Ready(checks)
	if asJSON {
		err := c.voice.json(struct {
			Version int            `json:"version"`
			Ready   bool           `json:"ready"`
			Checks  []doctor.Check `json:"checks"`
		}{1, ready, checks})
		if err != nil {
			return err
		}
	} else {
		c.voice.checks(checks)
	}
	if !ready {
		if !asJSON {
			c.voice.failf("no box of the default profile can start on this host")
		}
		return exitStatus(exitHost)
	}
	return nil
}
