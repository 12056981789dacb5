package cli

import (
	"context"
	"errors"
	"slices"
	"strings"

	cli "github.com/urfave/cli/v2"

	"agentbox/launch"
	"agentbox/profile"
)

type checkOptions struct {
	planOptions
	json bool
}

func newCheck(c *caller) *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "say everything that is wrong with the effective profile", UsageText: "agentbox check [options] [FILE]",
		Description: "FILE is a profile, as for --profile. Ends with 65 when the profile must not run.",
		Flags:       append(runFlags(), jsonFlag()),
		Action: func(ctx *cli.Context) error {
			o := checkOptions{json: ctx.Bool("json")}
			if err := wantArgs(ctx, 1); err != nil {
				return err
			}
			var err error
			if o.profileOptions, err = profileOptionsFrom(ctx); err != nil {
				return err
			}
			if file := ctx.Args().First(); file != "" {
				if o.profile != "" {
					return &usageError{msg: "check takes --profile or FILE, not both"}
				}
				o.profile = file
			}
			return unnamed(check(ctx.Context, o, c), ctx.Args().First())
		},
	}
}

// unnamed takes the option away that FILE stands for.
func unnamed(err error, file string) error {
	var usage *usageError
	if file == "" || !errors.As(err, &usage) {
		return err
	}
	return &usageError{msg: strings.TrimPrefix(usage.msg, "--profile "), hint: usage.hint}
}

// A checked profile is the answer of `check --json`.
type checked struct {
	Version  int           `json:"version"`
	OK       bool          `json:"ok"`
	Layers   []string      `json:"layers"`
	Findings []findingJSON `json:"findings"`
	Missing  *missingJSON  `json:"missing,omitempty"`
}

type findingJSON struct {
	File    string `json:"file,omitempty"`
	Key     string `json:"key,omitempty"`
	Line    int    `json:"line,omitempty"`
	Col     int    `json:"col,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Warning bool   `json:"warning"`
}

type missingJSON struct {
	Layer  string `json:"layer"`
	Error  string `json:"error"`
	Remedy string `json:"remedy"`
}

func check(_ context.Context, o checkOptions, c *caller) error {
	p, err := decide(o.planOptions)
	findings := append(slices.Clone(p.warnings), p.tracked()...)
	var wrong profile.Findings
	var missing *launch.MissingError
	switch {
	case errors.As(err, &wrong):
		findings = wrong
	case errors.As(err, &missing), err == nil:
	default:
		return quiet(err)
	}
	if o.json {
		if jsonErr := c.voice.json(checkedJSON(p, findings, missing, err == nil)); jsonErr != nil || err == nil {
			return jsonErr
		}
		return exitStatus(judge(err).code)
	}
	c.voice.findings(findings)
	if missing != nil {
		c.voice.failf("%s", missing)
		c.voice.hint(remedy(missing))
	}
	if err != nil {
		return exitStatus(judge(err).code)
	}
	c.voice.printf("ok: %d layers, %d values, %d warnings\n", len(p.effective.Layers), len(p.effective.Origins), len(findings))
	return nil
}

func checkedJSON(p policy, findings profile.Findings, missing *launch.MissingError, ok bool) checked {
	out := checked{Version: 1, OK: ok, Layers: []string{}, Findings: []findingJSON{}}
	if p.effective != nil {
		out.Layers = slices.Clone(p.effective.Layers)
	}
	for _, f := range findings {
		out.Findings = append(out.Findings, findingJSON(f))
	}
	if missing != nil {
		out.Missing = &missingJSON{Layer: missing.Layer, Error: missing.Err.Error(), Remedy: remedy(missing)}
	}
	return out
}

// A quietError is judged as the error in it, but of a command that never starts anything nobody needs to hear that
// nothing was started.
type quietError struct{ err error }

func (e *quietError) Error() string { return e.err.Error() }
func (e *quietError) Unwrap() error { return e.err }

func quiet(err error) error { return &quietError{err} }
