package cli

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"agentbox/launch"
	"agentbox/profile"
)

// The exit codes of agentbox itself. `run` and `exec` pass the agent's own through. 2 never gets a meaning: it is
// what the Go runtime ends with after a panic.
const (
	exitFailure       = 1
	exitUsage         = 64
	exitProfile       = 65
	exitHost          = 69
	exitTimeout       = 124
	exitNotStarted    = 125
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignal        = 128
)

// exitTable is what --help and the manual say about them.
var exitTable = []struct {
	code    int
	meaning string
}{
	{exitFailure, "a command other than run and exec could not do what it was asked, or output of the agent was lost"},
	{exitUsage, "the command line is wrong"},
	{exitProfile, "the profile is wrong"},
	{exitHost, "this host lacks a feature that the box needs"},
	{exitTimeout, "the session took longer than limits.timeout"},
	{exitNotStarted, "the box was not started"},
	{exitNotExecutable, "the command cannot be executed in the box"},
	{exitNotFound, "the command is not in the box"},
	{exitSignal, "plus N: ended by signal N"},
}

func exitText() string {
	var b strings.Builder
	b.WriteString("run, exec and attach end with the exit code of the agent. agentbox's own are:\n")
	for _, e := range exitTable {
		fmt.Fprintf(&b, "%-4d %s\n", e.code, e.meaning)
	}
	return b.String() + `"run --result FILE" tells the two apart.`
}

// Causes of the end of a `run`, as --result writes them.
const (
	causeExited     = "exited"
	causeSignaled   = "signaled"
	causeKilled     = "killed"
	causeLimit      = "limit" // the box ended because of one; "limit" names it
	causeNotStarted = "not-started"
	causeUsage      = "usage"
	causeProfile    = "profile"
	causeHost       = "host"
)

// A usageError is a mistake on the command line.
type usageError struct{ msg, hint string }

func (e *usageError) Error() string { return e.msg }

// An interruptedError says that a signal came before the agent's first instruction.
type interruptedError struct{ signal unix.Signal }

func (e *interruptedError) Error() string { return "interrupted by " + signalName(e.signal) }

// A startError says why a box, or a command in it, was not started; hint may be empty.
type startError struct {
	err  error
	hint string
}

func (e *startError) Error() string { return e.err.Error() }
func (e *startError) Unwrap() error { return e.err }

// An exitStatus is a code that needs no words: the agent's own, or one whose words have been said.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// A saidError is one whose words have been said, and what is left of it: a code.
type saidError struct {
	err    error
	status exitStatus
}

func (e *saidError) Error() string { return e.err.Error() }
func (e *saidError) Unwrap() error { return e.status }

// A plainError is one that a command other than run and exec reports with a hint.
type plainError struct {
	err  error
	hint string
}

func (e *plainError) Error() string { return e.err.Error() }
func (e *plainError) Unwrap() error { return e.err }

// A verdict is what an error means to the caller.
type verdict struct {
	code  int
	cause string // one of the causes above
	layer string // of the box that could not be set up
	hint  string
	state string // what was left, in a few words
}

const (
	nothingStarted = "nothing was started"
	nothingLeft    = "nothing is left of the start"
)

// judge finds the code of an error. It may be one of launch's, profile's or this package's.
func judge(err error) verdict {
	var (
		usage       *usageError
		interrupted *interruptedError
		findings    profile.Findings
		missing     *launch.MissingError
		command     *launch.CommandError
		start       *startError
		simple      *plainError
	)
	v := verdict{code: exitFailure, cause: causeNotStarted}
	if errors.As(err, &start) {
		v = verdict{code: exitNotStarted, cause: causeNotStarted, hint: start.hint, state: nothingStarted}
	}
	if errors.As(err, &simple) {
		v.hint = simple.hint
	}
	switch {
	case errors.As(err, &usage):
		v.code, v.cause, v.hint = exitUsage, causeUsage, usage.hint
	case errors.As(err, &findings):
		v.code, v.cause, v.state = exitProfile, causeProfile, nothingStarted
		if fromFlags(findings.Fatal()) {
			v.code, v.cause = exitUsage, causeUsage
		}
	case errors.As(err, &command):
		v.code, v.state = exitNotExecutable, nothingStarted
		if command.NotFound() {
			v.code = exitNotFound
		}
	case errors.As(err, &missing):
		v.code, v.cause, v.layer, v.state = exitHost, causeHost, missing.Layer, nothingStarted
		if v.hint == "" {
			v.hint = remedy(missing)
		}
	case errors.As(err, &interrupted):
		v.code, v.state = exitSignal+int(interrupted.signal), nothingLeft
	}
	return v
}

// fromFlags reports whether all findings are about the command line.
func fromFlags(list profile.Findings) bool {
	for _, f := range list {
		if !strings.HasPrefix(f.File, flagPrefix) {
			return false
		}
	}
	return len(list) > 0
}

// remedy is what to do about a missing layer.
func remedy(e *launch.MissingError) string {
	if e.Remedy != "" {
		return e.Remedy
	}
	for _, name := range profile.DegradeNames() {
		if name == e.Layer {
			return fmt.Sprintf(`"--degrade %s" starts the box without this layer; "agentbox doctor" says what that costs`, name)
		}
	}
	return `"agentbox doctor" says what this host lacks`
}

// signalName is the name that kill(1) takes, with SIG before it.
func signalName(s unix.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(s))
}
