package cli

import (
	"embed"
	"fmt"

	cli "github.com/urfave/cli/v2"
)

// shellScripts ask this program for every candidate, so that they stay true and small. The library's own mechanism is
// not used: it would take the last word of an agent's command line for its own.
//
//go:embed shells/agentbox.bash shells/agentbox.zsh shells/agentbox.fish
var shellScripts embed.FS

// shells are those that have a script.
var shells = []string{"bash", "zsh", "fish"}

// candidatesFor is the word with which a script asks, in the place of a shell's name.
const candidatesFor = "words"

func newCompletion(c *caller, app *cli.App) *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "print a completion script: bash, zsh or fish", UsageText: "agentbox completion SHELL",
		Description: "bash: source <(agentbox completion bash)\nzsh:  source <(agentbox completion zsh)\nfish: agentbox completion fish | source",
		Action: func(ctx *cli.Context) error {
			shell := ctx.Args().First()
			if shell == candidatesFor {
				c.answer(completer{app: app, offers: liveOffers}.complete(ctx.Args().Tail()))
				return nil
			}
			if err := wantArgs(ctx, 1); err != nil {
				return err
			}
			script, err := shellScripts.ReadFile("shells/agentbox." + shell)
			if err != nil {
				msg := fmt.Sprintf("there is no completion for %q", shell)
				if shell == "" {
					msg = "completion needs the name of a shell"
				}
				return &usageError{msg: msg, hint: "it takes bash, zsh or fish"}
			}
			c.voice.script(string(script))
			return nil
		},
	}
}

// answer prints what a script reads: on the first line what the shell completes by itself, on the others a candidate
// each, with what it is behind a tab. Every candidate can stand on a command line as it is; what is said about it has
// passed through visible.
func (c *caller) answer(r reply) {
	c.voice.printf(":%s\n", r.shell)
	for _, k := range r.candidates {
		c.voice.printf("%s\t%s\n", k.text, k.about)
	}
}
