// Package cli is agentbox on the command line: one file a command.
//
// It is the only package that prints, all of it through voice.go, which escapes every string it did not write itself.
// It never exits: [Main] returns the code, and exit.go holds the table of codes. Each command is a newX, which
// declares flags, options read from them, and a function of these options that tests may call.
//
// What starts a box never falls back: a flag, a file or a layer that cannot be read or set up ends the command before
// anything runs.
package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	cli "github.com/urfave/cli/v2"
)

// A caller is whoever started this process: standard files, and a voice to answer with.
type caller struct {
	args         []string
	in, out, err *os.File
	voice        *voice
	paging       bool // the output goes to a pager
}

// Main runs one command line and returns the exit code.
func Main(args []string, stdin, stdout, stderr *os.File) int {
	c := &caller{args: args, in: stdin, out: stdout, err: stderr, voice: newVoice(stdout, stderr, os.Getenv)}
	err := newApp(c).RunContext(context.Background(), args)
	return c.voice.end(err)
}

func newApp(c *caller) *cli.App {
	app := &cli.App{
		Name:                      "agentbox",
		Usage:                     "run an AI agent in a box that a security profile describes",
		UsageText:                 "agentbox COMMAND [options] [arguments]",
		Description:               exitText(),
		Reader:                    c.in,
		Writer:                    c.voice.help(),
		ErrWriter:                 c.voice.help(),
		DisableSliceFlagSeparator: true,
		HideVersion:               true,
		Flags:                     []cli.Flag{colorFlag()},
		Before:                    c.chooseColor,
		ExitErrHandler:            func(*cli.Context, error) {}, // or the library exits by itself
		Commands: []*cli.Command{
			newRun(c), newInit(c), newExplain(c), newCheck(c), newWhy(c), newTrust(c), newPs(c), newExec(c), newKill(c),
			newLog(c), newCost(c), newAttach(c), newLogs(c), newFreeze(c), newResume(c), newEvidence(c), newSupervise(c),
			newHook(c), newDiff(c), newApply(c), newDiscard(c), newPrune(c),
			newDoctor(c), newTryCapture(), newVersion(c),
		},
	}
	app.Commands = append(app.Commands, newCompletion(c, app))
	app.Action = func(ctx *cli.Context) error { return noCommand(ctx, app) }
	app.OnUsageError = badFlag("agentbox", app.Flags)
	all := app.Commands
	for _, cmd := range app.Commands {
		all = append(all, cmd.Subcommands...)
	}
	for _, cmd := range all {
		cmd.Flags = append(cmd.Flags, colorFlag())
		for _, f := range cmd.Flags {
			if b, ok := f.(*cli.BoolFlag); ok {
				b.DisableDefaultText = true
			}
		}
		cmd.HideHelpCommand = true // or the first word of an agent's command could be "help"
		cmd.Before = c.chooseColor
		cmd.OnUsageError = badFlag(cmd.Name, cmd.Flags)
	}
	return app
}

// noCommand answers a command line that names none of the commands.
func noCommand(ctx *cli.Context, app *cli.App) error {
	name := ctx.Args().First()
	if name == "" {
		return cli.ShowAppHelp(ctx)
	}
	var names []string
	for _, cmd := range app.VisibleCommands() {
		names = append(names, cmd.Name)
	}
	hint := `"agentbox help" lists the commands`
	if near := nearest(name, names); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return &usageError{msg: fmt.Sprintf("there is no command %q", name), hint: hint}
}

func colorFlag() cli.Flag {
	return &cli.StringFlag{Name: "color", Value: colorAuto, Usage: "colour the output: auto, always or never", DefaultText: colorAuto}
}

// chooseColor takes --color from before or after the command's name; the later one counts.
func (c *caller) chooseColor(ctx *cli.Context) error {
	for _, level := range ctx.Lineage() {
		for _, name := range level.LocalFlagNames() {
			if name == "color" {
				return c.voice.color(level.String("color"))
			}
		}
	}
	return nil
}

// wantArgs refuses arguments that a command would ignore.
func wantArgs(ctx *cli.Context, most int) error {
	args := ctx.Args().Slice()
	if len(args) <= most {
		return nil
	}
	e := &usageError{msg: fmt.Sprintf("%s does not take %q", ctx.Command.Name, args[most]), hint: helpHint(ctx.Command.Name)}
	if strings.HasPrefix(args[most], "-") {
		e.hint = "options go before the arguments"
	}
	return e
}

func helpHint(command string) string {
	if command == "agentbox" {
		return `"agentbox help" lists the commands and options`
	}
	return fmt.Sprintf(`"agentbox %s --help" lists its options`, command)
}
