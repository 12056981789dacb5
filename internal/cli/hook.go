package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	cli "github.com/urfave/cli/v2"

	"agentbox/internal/hook"
	"agentbox/launch"
)

func newHook(c *caller) *cli.Command {
	return &cli.Command{
		Name: "hook", Usage: "answer an agent's tool calls, or try the answers out", UsageText: "agentbox hook validate [options] < EVENTS",
		Description: "In a box the agent's own settings name the hook, and the supervisor answers it. Anywhere else there is nobody to\nask, so every tool call is refused, with exit code 2.",
		Action: func(ctx *cli.Context) error {
			if err := wantArgs(ctx, 0); err != nil {
				return err
			}
			c.voice.failf("there is no box here, so this tool call is refused")
			c.voice.hint(`"agentbox hook validate" says what a profile answers; in a box the agent's settings name the hook themselves`)
			return exitStatus(exitRefused)
		},
		Subcommands: []*cli.Command{newHookValidate(c)},
	}
}

// exitRefused is what agents take for a refusal; any other code but 0 would let the tool run.
const exitRefused = 2

func newHookValidate(c *caller) *cli.Command {
	return &cli.Command{
		Name: "validate", Usage: "say what a profile answers to tool calls", UsageText: "agentbox hook validate [options] < EVENTS",
		Description: "Reads events as the agent gives them to its hook, one JSON object a line, and prints the answer to each. No box is\n" +
			"started, and no file of the calls is looked at. Ends with 0 if none is refused, and with 2 otherwise.",
		Flags: append(selectionFlags(),
			&cli.StringFlag{Name: "home", Usage: "the home in the box is `DIR`"},
			&cli.BoolFlag{Name: "terminal", Usage: "answer as where somebody can be asked"}),
		Action: func(ctx *cli.Context) error {
			if err := wantArgs(ctx, 0); err != nil {
				return err
			}
			policy, err := validatePolicy(ctx)
			if err != nil { // without one, every call is refused
				return c.refused(err)
			}
			return validate(ctx.Context, policy, c)
		},
	}
}

// refused says why nothing can be allowed.
func (c *caller) refused(err error) exitStatus {
	c.voice.report(quiet(err))
	return exitRefused
}

// validatePolicy reads the profile as run would for Claude Code, and looks at no box.
func validatePolicy(ctx *cli.Context) (*hook.Policy, error) {
	o, err := profileOptionsFrom(ctx)
	if err != nil {
		return nil, err
	}
	if o.profile == "" {
		o.agent = "claude"
	}
	home, err := value(ctx, "home")
	if err != nil {
		return nil, err
	}
	var p policy
	if p.host, err = launch.Probe(); err != nil {
		return nil, err
	}
	l, err := newLoader(p.host)
	if err != nil {
		return nil, err
	}
	if p.loaded, err = l.load(o); err != nil {
		return nil, err
	}
	if len(p.findings.Fatal()) > 0 {
		return nil, p.findings
	}
	p.host.Files.Home = cmp.Or(home, p.host.Files.Home)
	p.plan.Workspace, p.plan.Files.Home, p.plan.Terminal = p.workspace, p.host.Files.Home, ctx.Bool("terminal")
	if err := p.layRules(p.plan.Terminal); err != nil {
		return nil, err
	}
	return p.toolPolicy()
}

func validate(_ context.Context, policy *hook.Policy, c *caller) error {
	in := bufio.NewReader(c.in)
	refused, n := false, 0
	for {
		line, err := readLine(in)
		if len(bytes.TrimSpace(line)) > 0 {
			n++
			a := policy.Decide(line, asWritten{})
			refused = refused || a.Verdict == hook.Deny || a.Verdict == hook.Ask
			out := a.JSON()
			if len(out) == 0 {
				out = []byte("{}")
			}
			c.voice.script(string(bytes.TrimSpace(out)) + "\n")
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return c.refused(err)
		}
	}
	if n == 0 {
		c.voice.failf("there is no event on standard input")
		return exitStatus(exitRefused)
	}
	if refused {
		return exitStatus(exitRefused)
	}
	return nil
}

// readLine reads one line, and of a longer one than any event as much as shows that.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line) <= hook.MaxEvent {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// asWritten takes paths for what they say: the box that they are of is not there.
type asWritten struct{}

func (asWritten) Resolve(name string) (string, error) {
	if !path.IsAbs(name) {
		return "", fmt.Errorf("%q is no full path", name)
	}
	return path.Clean(name), nil
}
