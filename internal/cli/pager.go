package cli

import (
	"os"
	"os/exec"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"
)

// paged is a caller whose output a pager shows, where a person reads it at a terminal; done waits until they have read.
// The pager is the person's choice and never a program of the workspace, gets nothing but its input, and obeys no
// command that would start another program (less(1), LESSSECURE).
func (c *caller) paged(workspace string) (screen *caller, done func()) {
	nothing := func() {}
	if !isTerminal(c.out) || !isTerminal(c.in) {
		return c, nothing
	}
	argv, from := pagerCommand(os.LookupEnv)
	if argv == nil {
		return c, nothing
	}
	program := hostProgram(argv[0], workspace)
	if program == "" {
		if from != "" {
			c.voice.warnf("%s names no program outside the project: %s", from, argv[0])
		}
		return c, nothing
	}
	r, w, err := os.Pipe()
	if err != nil {
		return c, nothing
	}
	cmd := exec.Command(program, argv[1:]...)
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r, c.out, c.err
	cmd.Env = append(os.Environ(), "LESSSECURE=1")
	if _, set := os.LookupEnv("LESS"); !set {
		cmd.Env = append(cmd.Env, "LESS=FRX")
	}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, unix.SIGINT) // is the pager's to act on
	err = cmd.Start()
	r.Close()
	if err != nil {
		signal.Stop(interrupts)
		w.Close()
		return c, nothing
	}
	reader, voice := *c, *c.voice
	voice.out.file = w
	reader.voice, reader.paging = &voice, true
	return &reader, func() {
		w.Close()
		_ = cmd.Wait() // how a pager ends says nothing about what it showed
		signal.Stop(interrupts)
	}
}

// pagerCommand gives the pager's words and the variable that they come from, "" for our own choice. As with git, an
// empty variable and cat are no pager. The words go to no shell, so what only a shell understands is not obeyed.
func pagerCommand(getenv func(string) (string, bool)) (argv []string, from string) {
	for _, name := range []string{"AGENTBOX_PAGER", "PAGER"} {
		text, set := getenv(name)
		if !set {
			continue
		}
		words := strings.Fields(text)
		switch {
		case len(words) == 0 || words[0] == "cat":
			return nil, ""
		case !strings.ContainsAny(text, "|&;<>()$`\\\"'*?[]{}~#"):
			return words, name
		}
	}
	return []string{"less"}, ""
}
