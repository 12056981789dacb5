package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	cli "github.com/urfave/cli/v2"

	"agentbox/internal/permission"
	"agentbox/internal/seccomp"
	"agentbox/launch"
	"agentbox/profile"
)

type explainOptions struct {
	planOptions
	json bool
}

func newExplain(c *caller) *cli.Command {
	flags := append(runFlags(), dirFlag())
	flags = append(flags, terminalFlags()...)
	return &cli.Command{
		Name: "explain", Usage: "print the effective policy, and where each value comes from", UsageText: "agentbox explain [options] [-- COMMAND [ARGUMENTS]]",
		Description: "Plans the box that run with the same options would start, and starts nothing.",
		Flags:       append(flags, jsonFlag()),
		Action: func(ctx *cli.Context) error {
			o := explainOptions{json: ctx.Bool("json")}
			var err error
			if o.planOptions, err = planOptionsFrom(ctx); err != nil {
				return err
			}
			if o.terminal, err = terminalFrom(ctx, c); err != nil {
				return err
			}
			return explain(ctx.Context, o, c)
		},
	}
}

func jsonFlag() cli.Flag { return &cli.BoolFlag{Name: "json", Usage: "print JSON"} }

// An explanation is the answer of `explain --json`. Its form is part of the interface: fields are added, never
// changed.
type explanation struct {
	Version int               `json:"version"`
	Name    string            `json:"name"`
	Layers  []string          `json:"layers"`
	Profile profile.Profile   `json:"profile"`
	Origins map[string]origin `json:"origins"`
	Plan    launch.Plan       `json:"plan"`
	Seccomp seccomp.Policy    `json:"seccomp"`
	Rules   []permission.Row  `json:"rules"` // of [permissions], and what holds each
}

type origin struct {
	Layer string `json:"layer"`
	Key   string `json:"key"`
	Line  int    `json:"line,omitempty"`
	Col   int    `json:"col,omitempty"`
}

func explain(_ context.Context, o explainOptions, c *caller) error {
	p, err := decide(o.planOptions)
	var missing *launch.MissingError
	if errors.As(err, &missing) && !o.json { // the profile is sound, though no box follows from it here
		return errors.Join(c.explainProfile(p.effective), err)
	}
	if err != nil {
		return quiet(err)
	}
	p.plan.Env = withoutValues(p)
	if o.json {
		e := explanation{Version: 1, Name: p.name, Layers: p.effective.Layers, Profile: p.effective.Profile,
			Origins: map[string]origin{}, Plan: p.plan, Seccomp: p.plan.Policy(), Rules: p.rules.Rows}
		for key, from := range p.effective.Origins {
			e.Origins[key] = origin(from)
		}
		return c.voice.json(e)
	}
	if err := c.explainProfile(p.effective); err != nil {
		return err
	}
	c.explainRules(p)
	c.explainPlan(p)
	c.voice.findings(p.warnings)
	return nil
}

// boxVariables describe the box; their values are no secret of the caller's.
var boxVariables = []string{"AGENTBOX", "HOME", "LOGNAME", "PATH", "PWD", "SHELL", "TMPDIR", "USER", "XDG_RUNTIME_DIR"}

// withoutValues leaves out what the box's variables have from the caller's environment: it may be a key, and what
// explain prints is made to be passed on.
func withoutValues(p policy) []string {
	var out []string
	for _, kv := range p.plan.Env {
		name, _, _ := strings.Cut(kv, "=")
		if _, set := p.effective.Profile.Agent.Env[name]; !set && !slices.Contains(boxVariables, name) && !p.plan.Sets(name) {
			kv = name + "=(as it is outside)"
		}
		out = append(out, kv)
	}
	return out
}

// explainProfile prints every value with its origin, section by section.
func (c *caller) explainProfile(e *profile.Effective) error {
	values, err := flatten(e.Profile)
	if err != nil {
		return err
	}
	section, rows := "", [][]string(nil)
	flush := func() {
		if len(rows) > 0 {
			c.voice.heading(section)
			c.voice.table(false, rows)
			c.voice.printf("\n")
		}
		rows = nil
	}
	for _, v := range values {
		from, ok := e.Origins[v.path]
		if !ok {
			continue // a value that nothing sets
		}
		if v.section != section {
			flush()
			section = v.section
		}
		rows = append(rows, []string{"  " + v.name, v.text, place(from)})
	}
	flush()
	return nil
}

func place(o profile.Origin) string {
	if o.Line > 0 {
		return o.Layer + ":" + strconv.Itoa(o.Line)
	}
	return o.Layer
}

// A flatValue is one value of the profile by its key path.
type flatValue struct{ path, section, name, text string }

// flatten lists the profile's values in the order of the schema. Keys that this version refuses have none to speak of.
func flatten(p profile.Profile) ([]flatValue, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
	var out []flatValue
	for _, k := range profile.Schema() {
		parent, name, _ := cutLast(k.Path)
		switch {
		case !k.Built, strings.HasSuffix(parent, "[]"): // the latter come with their row
		case k.Type == profile.TypeRows:
			out = append(out, flattenRows(k, descend(tree, k.Path))...)
		default:
			out = append(out, flattenValue(parent, k.Path, name, descend(tree, k.Path))...)
		}
	}
	return out, nil
}

func flattenRows(k profile.Key, rows any) []flatValue {
	list, _ := rows.([]any)
	var out []flatValue
	for i, row := range list {
		at := fmt.Sprintf("%s[%d]", k.Path, i)
		for _, f := range profile.Schema() {
			if name, ok := strings.CutPrefix(f.Path, k.Path+"[]."); ok {
				fields, _ := row.(map[string]any)
				out = append(out, flattenValue(at, at+"."+name, name, fields[name])...)
			}
		}
	}
	return out
}

func flattenValue(section, path, name string, v any) []flatValue {
	var out []flatValue
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			n := fmt.Sprintf("[%d]", i)
			out = append(out, flatValue{path + n, section, name + n, fmt.Sprintf("%q", item)})
		}
	case map[string]any:
		names := make([]string, 0, len(v))
		for key := range v {
			names = append(names, key)
		}
		slices.Sort(names)
		for _, key := range names {
			out = append(out, flatValue{path + "." + key, section, name + "." + key, fmt.Sprintf("%q", v[key])})
		}
	case string:
		out = append(out, flatValue{path, section, name, fmt.Sprintf("%q", v)})
	default:
		out = append(out, flatValue{path, section, name, fmt.Sprint(v)})
	}
	return out
}

func descend(tree map[string]any, path string) any {
	var at any = tree
	for part := range strings.SplitSeq(path, ".") {
		m, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = m[part]
	}
	return at
}

func cutLast(path string) (parent, name string, ok bool) {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return "profile", path, false
	}
	return path[:i], path[i+1:], true
}
