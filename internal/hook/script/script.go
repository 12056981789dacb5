// Package script asks the hook programs of a profile about tool calls.
//
// They run on the host, so their files must be the person's alone, and each is looked at again before every run. A
// program can only refuse: one that allows leaves the answer to the rules, and one that fails, takes too long, writes too
// much or says what cannot be understood has refused.
package script

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/outside"
)

// maxOutput bounds what a program may write to each of its outputs.
const maxOutput = 64 << 10

// A Script is one program.
type Script struct {
	Name      string
	Argv      []string // the program by its full path
	Tools     []string // that it is asked about; none is all
	Timeout   time.Duration
	Home      string // where it runs
	Workspace string // where it must not lie
}

// Asks reports whether the program is to be asked about a tool.
func (s Script) Asks(tool string) bool { return len(s.Tools) == 0 || slices.Contains(s.Tools, tool) }

// Check says why the program must not be run: somebody else could have written it, or could replace it.
func (s Script) Check() error {
	real, err := filepath.EvalSymlinks(s.Argv[0])
	if err != nil {
		return err
	}
	if (outside.Place{Workspace: s.Workspace}).Holds(real) {
		return fmt.Errorf("%s lies in the workspace, where the agent writes", real)
	}
	st, err := os.Stat(real)
	if err != nil {
		return err
	}
	own, ok := st.Sys().(*syscall.Stat_t)
	if !ok || !st.Mode().IsRegular() || int(own.Uid) != os.Geteuid() || st.Mode().Perm()&^fs.FileMode(0o700) != 0 || st.Mode().Perm()&0o100 == 0 {
		return fmt.Errorf("%s must be a program of yours that nobody else may read or write: chmod 700", real)
	}
	return outside.Replaceable(real, os.Geteuid())
}

// A Refusal is why a program refuses.
type Refusal struct {
	Reason string // for the model
	Stop   bool   // nothing of the agent is to go on before a person has looked
}

// Ask gives the program an event. Nil means that it does not refuse.
func (s Script) Ask(ctx context.Context, event []byte) *Refusal {
	if err := s.Check(); err != nil {
		return s.broken(err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	var out, errs limited
	cmd := exec.CommandContext(ctx, s.Argv[0], s.Argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Dir = bytes.NewReader(event), &out, &errs, s.Home
	cmd.Env = outside.BareEnv(s.Home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = 100 * time.Millisecond
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return s.broken(fmt.Errorf("no answer within %v", s.Timeout))
	case out.over || errs.over:
		return s.broken(errors.New("it wrote too much"))
	case errors.As(err, &exit) && exit.ExitCode() == 2:
		return &Refusal{Reason: s.said(errs.text.String())}
	case err != nil && !errors.Is(err, syscall.EPIPE): // one that does not read the event has answered all the same
		return s.broken(err)
	}
	return s.judge(out.text.Bytes())
}

// judge reads what a hook may print, in either of Claude Code's shapes.
func (s Script) judge(out []byte) *Refusal {
	if len(bytes.TrimSpace(out)) == 0 {
		return nil
	}
	var answer struct {
		Decision, Reason string
		Continue         *bool
		StopReason       string `json:"stopReason"`
		Specific         struct {
			Decision string `json:"permissionDecision"`
			Reason   string `json:"permissionDecisionReason"`
		} `json:"hookSpecificOutput"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return s.broken(errors.New("its answer is not JSON"))
	}
	stop := answer.Continue != nil && !*answer.Continue
	refused := stop
	for _, d := range []string{answer.Decision, answer.Specific.Decision} {
		switch d {
		case "", "allow", "approve", "defer":
		default:
			refused = true
		}
	}
	if !refused {
		return nil
	}
	reasons := strings.Fields(answer.Specific.Reason + " " + answer.Reason + " " + answer.StopReason)
	return &Refusal{Reason: s.said(strings.Join(reasons, " ")), Stop: stop}
}

func (s Script) said(reason string) string {
	if reason = strings.TrimSpace(reason); reason == "" {
		reason = "it gives no reason"
	}
	return fmt.Sprintf("the hook %s refuses: %s", s.Name, reason)
}

func (s Script) broken(err error) *Refusal {
	return &Refusal{Reason: fmt.Sprintf("the hook %s could not decide: %s", s.Name, err)}
}

// limited keeps the beginning of an output, and says whether there was more.
type limited struct {
	text bytes.Buffer // not embedded: its ReadFrom knows no bound
	over bool
}

func (l *limited) Write(p []byte) (int, error) {
	if l.text.Len()+len(p) > maxOutput {
		l.over = true
		return 0, errors.New("too much output")
	}
	return l.text.Write(p)
}
