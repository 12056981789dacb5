package cli

import (
	"fmt"
	"slices"
	"strings"

	cli "github.com/urfave/cli/v2"
	"github.com/xrash/smetrics"
)

// nearest returns the name that was probably meant, or "" when none is near.
func nearest(word string, names []string) string {
	best, limit := "", max(1, min(3, len(word)/2))
	if len(word) > 64 {
		return ""
	}
	for _, name := range names {
		if d := smetrics.WagnerFischer(strings.ToLower(word), name, 1, 1, 1); d <= limit {
			best, limit = name, d-1
		}
	}
	return best
}

// badFlag turns what package flag says into a sentence about the command line.
func badFlag(command string, flags []cli.Flag) cli.OnUsageErrorFunc {
	return func(_ *cli.Context, err error, _ bool) error {
		e := &usageError{msg: err.Error(), hint: helpHint(command)}
		if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
			e.msg = fmt.Sprintf("%s has no option %s", command, dashes(name))
			var names []string
			for _, f := range flags {
				names = append(names, f.Names()...)
			}
			if near := nearest(name, names); near != "" {
				e.hint = fmt.Sprintf("did you mean %s?", dashes(near))
			} else if hint := misplaced(command, name); hint != "" {
				e.hint = hint
			}
		} else if name, ok := strings.CutPrefix(err.Error(), "flag needs an argument: -"); ok {
			e.msg = fmt.Sprintf("%s needs a value", dashes(name))
		} else if value, rest, ok := cutInvalid(err.Error()); ok {
			e.msg = fmt.Sprintf("%s does not take %s", dashes(rest), value)
			for _, f := range flags {
				if _, is := f.(*cli.DurationFlag); is && slices.Contains(f.Names(), rest) {
					e.hint = "it takes a time, such as 10s or 2m"
				}
			}
		}
		return e
	}
}

// misplaced guesses where an option that a command does not have belongs.
func misplaced(command, option string) string {
	switch {
	case command == "run" || command == "exec":
		return "options of the agent go after its name, options of agentbox before it"
	case command != "agentbox":
		return ""
	case option == "version":
		return `"agentbox version" prints it`
	}
	return `options of a command go after its name; "agentbox help" lists the commands`
}

// noTopic is how the library says that there is no command to help with.
const noTopic = "No help topic for '"

// unknownTopic says the same as of a command that was to be run.
func unknownTopic(text string) error {
	name, found := strings.CutPrefix(text, noTopic)
	if !found {
		return &usageError{msg: text, hint: helpHint("agentbox")}
	}
	return &usageError{msg: fmt.Sprintf("there is no command %q", strings.TrimSuffix(name, "'")), hint: `"agentbox help" lists the commands`}
}

// cutInvalid takes `invalid value "x" for flag -grace: parse error` apart.
func cutInvalid(text string) (value, flag string, ok bool) {
	for _, prefix := range []string{"invalid value ", "invalid boolean value "} {
		if rest, found := strings.CutPrefix(text, prefix); found {
			value, rest, ok = strings.Cut(rest, " for ")
			flag, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimPrefix(rest, "flag "), "-"), ":")
			return value, flag, ok
		}
	}
	return "", "", false
}

func dashes(name string) string {
	name = strings.TrimLeft(name, "-")
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
