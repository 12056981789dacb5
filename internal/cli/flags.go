package cli

import (
	"encoding/csv"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
	cli "github.com/urfave/cli/v2"

	"agentbox/profile"
)

// flagPrefix begins the name of a layer that stands on the command line, and of no file's.
const flagPrefix = "--"

// profileOptions say which layers make up the profile.
type profileOptions struct {
	profile   string          // a preset, a name or a file; "" means the preset of the agent, or default
	agent     string          // the preset of the command's program, or ""
	workspace string          // absolute; "" leaves it to the profile
	flags     []profile.Layer // one for each option that changes the profile
}

// A profileFlag is an option that is one key of the profile.
type profileFlag struct {
	name    string
	section string
	key     string
	usage   string
	list    bool
	online  bool                      // it makes no sense without a network, so it asks for one
	convert func(string) (any, error) // of each value; nil keeps it
}

// profileFlags is the table of these options: the command line can say nothing that a profile could not.
var profileFlags = []profileFlag{
	{name: "workspace", section: "workspace", key: "path", usage: "the project, a directory `DIR` (default: the current one)", convert: fullPath},
	{name: "mode", section: "workspace", key: "mode", usage: "what the agent may do in the workspace: `ro|overlay|rw`"},
	{name: "apply", section: "workspace", key: "apply", usage: "when the agent has ended, apply without a question: `none|handoff-free|all`"},
	{name: "allow-host", section: "network", key: "allow", usage: "let the agent reach `HOST` or HOST:PORT (default port 443); *.HOST for every name below it", list: true, online: true},
	{name: "deny-host", section: "network", key: "deny", usage: "do not let it reach `HOST`, whatever else allows it", list: true},
	{name: "publish", section: "network", key: "publish", usage: "show the box's `PORT`, or HOSTPORT:PORT, on the host's loopback", list: true, online: true},
	{name: "forward", section: "network", key: "forward", usage: "let it reach the host's `ADDRESS`: 127.0.0.1:PORT or unix:PATH", list: true, online: true},
	{name: "network", section: "network", key: "mode", usage: "what may leave the box: `none|allowlist`"},
	{name: "mask", section: "workspace", key: "mask", usage: "`PATTERN` of files that the agent must not read", list: true},
	{name: "protect", section: "workspace", key: "protect", usage: "`PATTERN` of files that the agent must not write", list: true},
	{name: "expose", section: "rootfs", key: "expose", usage: "show `PATH` of the host, read-only", list: true, convert: homePath},
	{name: "env", section: "agent", key: "env", usage: "set the variable `NAME=VALUE`", list: true, convert: assignment},
	{name: "env-pass", section: "agent", key: "env_pass", usage: "hand in the variable `NAME` as it is here", list: true},
	{name: "mount", key: "mount", usage: "one more `MOUNT`: type=bind,source=PATH,target=PATH,rw or type=tmpfs,target=PATH,size=SIZE", list: true, convert: mountRow},
	{name: "degrade", section: "agent", key: "degrade", usage: "start although the host lacks this `LAYER`", list: true},
}

// selectionFlags choose the profile; runFlags also change it.
func selectionFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "profile", Aliases: []string{"p"}, Usage: "preset, name or `FILE` of the profile (default: the preset default)"},
		profileFlags[0].flag(),
	}
}

func runFlags() []cli.Flag {
	flags := selectionFlags()
	for _, f := range profileFlags[1:] {
		flags = append(flags, f.flag())
	}
	return flags
}

func (f profileFlag) flag() cli.Flag {
	if f.list {
		return &cli.StringSliceFlag{Name: f.name, Usage: f.usage}
	}
	return &cli.StringFlag{Name: f.name, Usage: f.usage}
}

// profileOptionsFrom reads the options that are there and renders each as a layer.
func profileOptionsFrom(ctx *cli.Context) (profileOptions, error) {
	var o profileOptions
	var err error
	if o.profile, err = value(ctx, "profile"); err != nil {
		return o, err
	}
	for _, f := range profileFlags {
		if !ctx.IsSet(f.name) {
			continue
		}
		layer, err := f.layer(ctx)
		if err != nil {
			return o, err
		}
		o.flags = append(o.flags, layer)
	}
	if o.workspace, err = value(ctx, "workspace"); err != nil || o.workspace == "" {
		return o, err
	}
	o.workspace, err = filepath.Abs(o.workspace)
	return o, err
}

// value returns an option's value.
func value(ctx *cli.Context, name string) (string, error) {
	s := ctx.String(name)
	if ctx.IsSet(name) {
		return s, usable(name, s)
	}
	return s, nil
}

// usable refuses what no option takes; an empty value is most often a variable of a script that was never set.
func usable(name, text string) error {
	switch {
	case text == "":
		return &usageError{msg: dashes(name) + " is empty", hint: "give it a value or leave it out"}
	case !utf8.ValidString(text):
		return &usageError{msg: dashes(name) + " is not valid UTF-8"}
	}
	return nil
}

func (f profileFlag) layer(ctx *cli.Context) (profile.Layer, error) {
	texts := []string{ctx.String(f.name)}
	if f.list {
		texts = ctx.StringSlice(f.name)
	}
	var values []any
	for _, text := range texts {
		if err := usable(f.name, text); err != nil {
			return profile.Layer{}, err
		}
		var v any = text
		if f.convert != nil {
			var err error
			if v, err = f.convert(text); err != nil {
				return profile.Layer{}, err
			}
		}
		values = append(values, v)
	}
	data, err := toml.Marshal(f.document(values))
	if err != nil {
		return profile.Layer{}, &usageError{msg: fmt.Sprintf("%s: %v", dashes(f.name), err)}
	}
	return profile.Layer{Name: flagPrefix + f.name, Kind: profile.Flags, Trusted: true, Data: data}, nil
}

// document is the smallest profile that says what the option does.
func (f profileFlag) document(values []any) map[string]any {
	section, set := f.section, any(values[0])
	switch {
	case f.key == "mount":
		return map[string]any{"mount": values}
	case f.key == "env":
		table := map[string]any{}
		for _, v := range values {
			kv := v.([2]string)
			table[kv[0]] = kv[1]
		}
		set = table
	case f.list:
		set = values
	}
	table := map[string]any{f.key: set}
	if f.online {
		table["mode"] = "allowlist"
	}
	return map[string]any{section: table}
}

func fullPath(p string) (any, error) { return filepath.Abs(p) }

// homePath keeps "~", which a shell has left when the path came as --expose=~/x.
func homePath(p string) (any, error) {
	if p == "~" || strings.HasPrefix(p, "~/") {
		return p, nil
	}
	return filepath.Abs(p)
}

func assignment(text string) (any, error) {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return nil, &usageError{msg: fmt.Sprintf("--env %q is not NAME=VALUE", text), hint: "--env-pass NAME hands in the value that it has here"}
	}
	return [2]string{name, value}, nil
}

// mountWords are the names of a mount's fields, as docker(1) also calls them.
var mountWords = map[string]string{
	"type": "type", "source": "source", "src": "source", "target": "target", "dst": "target", "destination": "target", "size": "size",
}

// mountRow reads one --mount. A field that holds a comma is quoted, as in CSV.
func mountRow(text string) (any, error) {
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return nil, &usageError{msg: fmt.Sprintf("--mount %q cannot be read", text), hint: "write type=bind,source=PATH,target=PATH"}
	}
	row := map[string]any{}
	var options []string
	for _, field := range fields {
		key, value, assigned := strings.Cut(field, "=")
		switch name := mountWords[key]; {
		case !assigned:
			options = append(options, field)
		case name == "":
			return nil, &usageError{msg: fmt.Sprintf("--mount has no field %q", key), hint: "the fields are type, source, target and size; ro, rw, exec, noexec, nosuid and nodev stand alone"}
		case row[name] != nil:
			return nil, &usageError{msg: fmt.Sprintf("--mount names the %s twice", name)}
		case name == "source":
			if row[name], err = homePath(value); err != nil {
				return nil, err
			}
		default:
			row[name] = value
		}
	}
	if options != nil {
		row["options"] = options
	}
	return row, nil
}
