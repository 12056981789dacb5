package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	cli "github.com/urfave/cli/v2"

	"agentbox/internal/agents"
	"agentbox/internal/permission"
	"agentbox/internal/workspace"
	"agentbox/launch"
	"agentbox/profile"
)

// planOptions are what run and explain know before they look at the host.
type planOptions struct {
	profileOptions
	command  []string
	dir      string // working directory inside, absolute; "" leaves it to the plan
	terminal bool
}

// A policy is the effective profile and, as far as it got, the plan that follows from it.
type policy struct {
	loaded
	host     launch.Host
	plan     launch.Plan
	warnings profile.Findings
	rules    permission.Compiled
}

func planOptionsFrom(ctx *cli.Context) (planOptions, error) {
	o := planOptions{command: ctx.Args().Slice()}
	var err error
	if o.profileOptions, err = profileOptionsFrom(ctx); err != nil {
		return o, err
	}
	o.agent = agentOf(o.command)
	if o.dir, err = value(ctx, "dir"); err == nil && o.dir != "" {
		o.dir, err = filepath.Abs(o.dir)
	}
	return o, err
}

// agentOf is the preset of a command that is started by its name or its path.
func agentOf(command []string) string {
	if len(command) == 0 {
		return ""
	}
	program, err := exec.LookPath(command[0])
	if err != nil {
		program = command[0]
	}
	return agents.Preset(program)
}

func dirFlag() cli.Flag {
	return &cli.StringFlag{Name: "dir", Usage: "start in the directory `DIR` of the box (default: the current one, or the workspace)"}
}

// newLoader reads where the profiles of this person and of this machine are.
func newLoader(h launch.Host) (*loader, error) {
	config := os.Getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(config) {
		config = filepath.Join(h.Files.Home, ".config")
	}
	l := &loader{home: h.Files.Home, dir: h.Dir, config: filepath.Join(config, userDir), system: systemDir,
		state: stateDir(os.Getenv, h.Files.Home)}
	var err error
	l.pins, err = readPins(l.state)
	return l, err
}

// decide merges and checks the profile and plans the box. What is wrong with the profile is profile.Findings, all of
// it; what the host lacks is a *launch.MissingError.
func decide(o planOptions) (policy, error) {
	var p policy
	var err error
	if p.host, err = launch.Probe(); err != nil {
		return p, err
	}
	l, err := newLoader(p.host)
	if err != nil {
		return p, err
	}
	if p.loaded, err = l.load(o.profileOptions); err != nil {
		return p, err
	}
	if len(p.findings.Fatal()) > 0 {
		return p, p.findings
	}
	p.warnings = p.findings
	if err := p.layRules(o.terminal); err != nil {
		return p, err
	}
	if err := p.asksItsHook(o.command); err != nil {
		return p, err
	}
	if err := p.host.Look(p.effective.Profile); err != nil {
		return p, p.located(err)
	}
	if f := profile.CheckAt(p.effective, p.host.Files.Workspace.Path, p.host.Files.Home); len(f.Fatal()) > 0 {
		return p, f
	}
	request := launch.Request{Command: o.command, Terminal: o.terminal, Dir: o.dir}
	if p.plan, err = launch.NewPlan(p.effective.Profile, p.host, request); err != nil {
		return p, p.located(err)
	}
	if f := slices.Concat(p.ownPlaces(l), p.shownSecrets(), p.managed()); len(f) > 0 {
		return p, p.located(f)
	}
	if o.dir != "" && p.plan.Dir != o.dir {
		return p, &usageError{msg: fmt.Sprintf("--dir %s: the box does not show this directory", o.dir),
			hint: "it shows the workspace, and what rootfs.expose and [[mount]] name"}
	}
	return p, nil
}

// tracked warns of masked files whose content git has as well: there no mask covers it.
func (p policy) tracked() profile.Findings {
	keys := map[string]string{}
	var names []string
	for _, m := range p.host.Files.Masked {
		keys[m.Path] = m.Key
		names = append(names, m.Path)
	}
	list, err := workspace.Tracked(p.host.Files.Workspace.Path, names)
	if err != nil {
		return profile.Findings{{Message: "whether git tracks masked files is not known: " + err.Error(), Warning: true}}
	}
	var out profile.Findings
	const most = 5
	for i, name := range list {
		if i == most {
			out[most-1].Message += fmt.Sprintf(" (and so are %d more)", len(list)-most)
			break
		}
		out = append(out, profile.Finding{Key: keys[name], Warning: true, Message: fmt.Sprintf("%q is masked, but git tracks it: what it holds is in .git as well", name),
			Hint: "take the secret out of the history and replace it with another"})
	}
	located, _ := p.located(out).(profile.Findings)
	return located[len(located)-len(out):]
}

// located adds to the findings of the planner, which knows key paths only, the files in which the values stand.
func (p policy) located(err error) error {
	findings, ok := err.(profile.Findings) //nolint:errorlint // the planner returns them as they are
	if !ok {
		return err
	}
	out := slices.Clone(p.warnings)
	for _, f := range findings {
		if o, found := p.effective.Origins[f.Key]; found && f.File == "" {
			f.File, f.Key, f.Line, f.Col = o.Layer, o.Key, o.Line, o.Col
		}
		out = append(out, f)
	}
	return out
}
