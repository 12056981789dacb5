package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	cli "github.com/urfave/cli/v2"

	"agentbox/internal/session"
	"agentbox/launch"
	"agentbox/profile"
)

type execOptions struct {
	id       string
	command  []string
	dir      string
	env      []string // NAME=VALUE
	terminal bool
}

func newExec(c *caller) *cli.Command {
	flags := append(terminalFlags(), dirFlag(), &cli.StringSliceFlag{Name: "env", Usage: "set the variable `NAME=VALUE`"})
	return &cli.Command{
		Name: "exec", Usage: "run another command in a running box", UsageText: "agentbox exec [options] [ID] -- COMMAND [ARGUMENTS]",
		Description: "The command gets what the agent has and no more. ID may be a unique beginning; without it, the latest\nsession of this project is meant. Ends with the command's exit code.",
		Flags:       flags,
		Action: func(ctx *cli.Context) error {
			o, err := execOptionsFrom(ctx, c)
			if err != nil {
				return notStarted(err)
			}
			return notStarted(execute(ctx.Context, o, c))
		},
	}
}

func execOptionsFrom(ctx *cli.Context, c *caller) (execOptions, error) {
	var o execOptions
	var err error
	if o.id, o.command, err = idAndCommand(ctx.Args().Slice(), c.args); err != nil {
		return o, err
	}
	if o.terminal, err = terminalFrom(ctx, c); err != nil {
		return o, err
	}
	if o.dir, err = value(ctx, "dir"); err != nil {
		return o, err
	}
	if o.dir != "" {
		if o.dir, err = filepath.Abs(o.dir); err != nil {
			return o, err
		}
	}
	for _, text := range ctx.StringSlice("env") {
		kv, err := assignment(text)
		if err != nil {
			return o, err
		}
		pair := kv.([2]string)
		if profile.HijackVariable(pair[0]) {
			return o, &usageError{msg: fmt.Sprintf("--env %s would make programs load or run something else", pair[0])}
		}
		o.env = append(o.env, pair[0]+"="+pair[1])
	}
	return o, nil
}

// idAndCommand tells "exec ID -- COMMAND" from "exec -- COMMAND". The library drops the "--" that ends the options, so
// whether one stood there is read from the command line itself.
func idAndCommand(args, line []string) (id string, command []string, err error) {
	before := len(line) - len(args) - 1
	switch {
	case before > 1 && line[before] == "--":
		command = args
	case len(args) > 1 && args[1] == "--":
		id, command = args[0], args[2:]
	case len(args) > 0 && session.ValidID(args[0]):
		id, command = args[0], args[1:]
	default:
		command = args
	}
	switch {
	case len(command) == 0 || command[0] == "":
		return "", nil, &usageError{msg: "there is no command to run", hint: `write it after "--"`}
	case id != "" && strings.HasPrefix(command[0], "-") && args[1] != "--":
		return "", nil, &usageError{msg: fmt.Sprintf("exec takes options before the ID, not %q after it", command[0]), hint: `write the command after "--"`}
	}
	return id, command, nil
}

func execute(ctx context.Context, o execOptions, c *caller) error {
	ctx, signals := newCourier(ctx, o.terminal)
	defer signals.stop()
	root, info, err := c.findSession(o.id)
	if err != nil {
		return err
	}
	if info.State == session.Frozen {
		return &plainError{err: fmt.Errorf("session %s is frozen", info.ID), hint: fmt.Sprintf(`"agentbox resume %s" lets it go on`, info.ID)}
	}
	dir := filepath.Join(root, info.ID)
	plan, err := launch.LoadPlan(dir)
	if err != nil {
		return fmt.Errorf("session %s: %w", info.ID, err)
	}
	plan.Command, plan.Terminal = o.command, o.terminal
	if o.dir != "" {
		plan.Dir = o.dir
	}
	plan.Env = execEnv(plan, o)
	number, err := noteExec(root, info.ID, o.command)
	if err != nil {
		return err
	}
	joined, err := launch.Join(ctx, dir, plan, launch.Streams{In: c.in, Out: c.out, Err: c.err}, func(listener *os.File) error {
		defer listener.Close()
		return handOver(root, info.ID, listener, number)
	})
	if err != nil {
		return startFailure(ctx, err, plan)
	}
	signals.deliverTo(joined)
	end := joined.Wait()
	c.complain(end)
	return exitStatus(codeOf(end))
}

// longestNoted bounds what a request says of a command line; the log marks where it is cut.
const longestNoted = 16 << 10

// noteExec puts the command into the session's log before it joins, and returns the number that it has there.
func noteExec(root, id string, command []string) (number int, err error) {
	var argv []string
	left := longestNoted
	for _, arg := range command {
		if len(arg) > left {
			argv = append(argv, strings.ToValidUTF8(arg[:left], "?")+" [cut by agentbox]")
			break
		}
		argv = append(argv, strings.ToValidUTF8(arg, "?"))
		left -= len(arg)
	}
	reply, err := session.Call(root, id, session.Request{Op: session.OpExec, Argv: argv}, settling)
	if err == nil && !reply.OK {
		err = errors.New(reply.Error)
	}
	if err != nil {
		return 0, fmt.Errorf("session %s: the command could not be put on record: %w", id, err)
	}
	return reply.Joined, nil
}

// handOver has the session's supervisor answer what the command's filter asks about programs. Nobody else may: whoever
// ends this process must not end a record.
func handOver(root, id string, listener *os.File, number int) error {
	reply, err := session.Call(root, id, session.Request{Op: session.OpPrograms, Joined: number, File: listener}, settling)
	if err == nil && !reply.OK {
		err = errors.New(reply.Error)
	}
	if err != nil {
		return fmt.Errorf("session %s: the programs of the command could not be put on record: %w", id, err)
	}
	return nil
}

// execEnv is the agent's environment with what the options change, and the kind of this terminal.
func execEnv(plan launch.Plan, o execOptions) []string {
	changes := append([]string{"PWD=" + plan.Dir}, o.env...)
	if term := os.Getenv("TERM"); o.terminal && term != "" {
		changes = append([]string{"TERM=" + term}, changes...)
	}
	env := slices.Clone(plan.Env)
	for _, change := range changes {
		name, _, _ := strings.Cut(change, "=")
		env = slices.DeleteFunc(env, func(kv string) bool { return strings.HasPrefix(kv, name+"=") })
		env = append(env, change)
	}
	return env
}
