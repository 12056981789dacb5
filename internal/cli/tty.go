package cli

import (
	"fmt"

	cli "github.com/urfave/cli/v2"
)

func terminalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "tty", Value: "auto", DefaultText: "auto", Usage: "give the command a terminal: auto (when input and output are one), always or never"},
		&cli.BoolFlag{Name: "t", Usage: "same as --tty always"},
		&cli.BoolFlag{Name: "T", Usage: "same as --tty never"},
	}
}

// terminalFrom decides whether the command gets a terminal.
func terminalFrom(ctx *cli.Context, c *caller) (bool, error) {
	mode := ctx.String("tty")
	for name, means := range map[string]string{"t": "always", "T": "never"} {
		if !ctx.Bool(name) {
			continue
		}
		if ctx.IsSet("tty") && mode != means || ctx.Bool("t") && ctx.Bool("T") {
			return false, &usageError{msg: "--tty, -t and -T contradict one another", hint: "give one of them"}
		}
		mode = means
	}
	detached := ctx.Bool("detach") // with a terminal of the session's own, if it is to have one
	has := detached || isTerminal(c.in) && isTerminal(c.out)
	switch mode {
	case "auto":
		return has && !detached, nil
	case "never":
		return false, nil
	case "always":
		if !has {
			return false, &usageError{msg: "--tty always needs a terminal as input and output", hint: "leave it out, or run agentbox in a terminal"}
		}
		return true, nil
	}
	return false, &usageError{msg: fmt.Sprintf("--tty does not take %q", mode), hint: "it takes auto, always or never"}
}
