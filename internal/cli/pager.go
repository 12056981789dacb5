package cli

import (
	"cmp"
	"os"
	"os/exec"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"
)

// paged is a caller whose output a pager shows, where a person reads it at a terminal; done waits until they have read.
// The pager is the person's choice and never a program of the workspace, gets nothing but its input, and obeys no
// command that would start another program (less(1), LESSSECURE).
func (c *caller) paged(workspace string) (screen *caller, done func() error) {
	nothing := func() error { return nil }
	if !isTerminal(c.out) || !isTerminal(c.in) {
		return c, nothing
	}
	words := strings.Fields(cmp.Or(os.Getenv("AGENTBOX_PAGER"), os.Getenv("PAGER"), "less"))
	if words[0] == "cat" {
		return c, nothing
	}
	program := hostProgram(words[0], workspace)
	if program == "" {
		return c, nothing
	}
	r, w, err := os.Pipe()
	if err != nil {
		return c, nothing
	}
	cmd := exec.Command(program, words[1:]...)
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
	voice.out.file, voice.out.width = w, c.voice.out.width
	reader.voice, reader.paging = &voice, true
	return &reader, func() error {
		w.Close()
		_ = cmd.Wait() // how a pager ends says nothing about what it showed
		signal.Stop(interrupts)
		return nil
	}
}
