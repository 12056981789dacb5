package cli

import (
	"fmt"
	"slices"
	"strings"

	cli "github.com/urfave/cli/v2"
)

// newCompletion prints scripts that know the commands and their options. The library's own mechanism is not used: it
// would take the last word of an agent's command line for its own.
func newCompletion(c *caller, app *cli.App) *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "print a completion script: bash, zsh or fish", UsageText: "agentbox completion SHELL",
		Description: "bash: source <(agentbox completion bash)\nzsh:  source <(agentbox completion zsh)\nfish: agentbox completion fish | source",
		Action: func(ctx *cli.Context) error {
			if err := wantArgs(ctx, 1); err != nil {
				return err
			}
			shells := map[string]func([]*cli.Command) string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
			script, ok := shells[ctx.Args().First()]
			if !ok {
				return &usageError{msg: fmt.Sprintf("there is no completion for %q", ctx.Args().First()), hint: "it takes bash, zsh or fish"}
			}
			c.voice.script(script(app.Commands))
			return nil
		},
	}
}

// options are a command's, with their dashes.
func options(cmd *cli.Command) []string {
	list := []string{"--help"}
	for _, f := range cmd.Flags {
		for _, name := range f.Names() {
			if o := dashes(name); !slices.Contains(list, o) && o != "-h" {
				list = append(list, o)
			}
		}
	}
	slices.Sort(list)
	return list
}

func commandNames(commands []*cli.Command) string {
	var names []string
	for _, cmd := range commands {
		names = append(names, cmd.Name)
	}
	return strings.Join(names, " ")
}

func bashCompletion(commands []*cli.Command) string {
	var b strings.Builder
	b.WriteString("_agentbox() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} i words\n\tCOMPREPLY=()\n")
	b.WriteString("\tfor ((i = 2; i < COMP_CWORD; i++)); do\n\t\t[[ ${COMP_WORDS[i]} == -- ]] && { COMPREPLY=($(compgen -c -f -- \"$cur\")); return; }\n\tdone\n")
	fmt.Fprintf(&b, "\tif ((COMP_CWORD == 1)); then\n\t\tCOMPREPLY=($(compgen -W %q -- \"$cur\"))\n\t\treturn\n\tfi\n", commandNames(commands)+" help")
	b.WriteString("\tcase ${COMP_WORDS[1]} in\n")
	for _, cmd := range commands {
		fmt.Fprintf(&b, "\t%s) words=%q ;;\n", cmd.Name, strings.Join(options(cmd), " "))
	}
	b.WriteString("\tesac\n\tif [[ $cur == -* ]]; then\n\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n\telse\n\t\tCOMPREPLY=($(compgen -f -- \"$cur\"))\n\tfi\n}\n")
	b.WriteString("complete -o filenames -F _agentbox agentbox\n")
	return b.String()
}

func zshCompletion(commands []*cli.Command) string {
	var b strings.Builder
	b.WriteString("#compdef agentbox\n_agentbox() {\n\tlocal -a commands\n\tcommands=(\n")
	for _, cmd := range commands {
		fmt.Fprintf(&b, "\t\t%s\n", quoted(cmd.Name+":"+strings.ReplaceAll(cmd.Usage, ":", `\:`)))
	}
	b.WriteString("\t)\n\tif ((CURRENT == 2)); then\n\t\t_describe command commands\n\t\treturn\n\tfi\n\tcase $words[2] in\n")
	for _, cmd := range commands {
		fmt.Fprintf(&b, "\t%s) [[ $PREFIX == -* ]] && compadd -- %s || _files ;;\n", cmd.Name, strings.Join(options(cmd), " "))
	}
	b.WriteString("\tesac\n}\ncompdef _agentbox agentbox\n")
	return b.String()
}

func fishCompletion(commands []*cli.Command) string {
	var b strings.Builder
	for _, cmd := range commands {
		fmt.Fprintf(&b, "complete -c agentbox -n __fish_use_subcommand -f -a %s -d %s\n", cmd.Name, quoted(cmd.Usage))
		for _, o := range options(cmd) {
			kind, name := "l", strings.TrimLeft(o, "-")
			if len(name) == 1 {
				kind = "s"
			}
			fmt.Fprintf(&b, "complete -c agentbox -n '__fish_seen_subcommand_from %s' -%s %s\n", cmd.Name, kind, name)
		}
	}
	return b.String()
}

// quoted writes a word for a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
