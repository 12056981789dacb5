package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	cli "github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"agentbox/internal/session"
)

// superviseName is the command that `run --detach` starts in the background. People do not type it.
const superviseName = "supervise"

// reportFD is where that command tells the ID of the session that it has started, and hears that it has arrived.
const reportFD = 3

func detachFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "run in the background and print the session's ID; attach and logs show the output"},
		&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Usage: "with --detach and without a terminal: keep the agent's input open for attach"},
	}
}

// newSupervise is `run` for a caller that does not wait for the end. It takes the very same options.
func newSupervise(c *caller) *cli.Command {
	cmd := newRun(c)
	cmd.Name, cmd.Hidden = superviseName, true
	cmd.Action = func(ctx *cli.Context) error {
		b, err := newBackground()
		if err != nil {
			return notStarted(err)
		}
		o, err := runOptionsFrom(ctx, c)
		if err != nil {
			return notStarted(err)
		}
		if o.terminal && os.Getenv("TERM") == "" { // as under cron; the session has a terminal all the same
			if err := os.Setenv("TERM", "xterm-256color"); err != nil {
				return notStarted(err)
			}
		}
		o.background = b
		return run(ctx.Context, o, c)
	}
	return cmd
}

// newBackground takes the socket at which the caller waits for the start.
func newBackground() (*background, error) {
	var st unix.Stat_t
	if err := unix.Fstat(reportFD, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return nil, &usageError{msg: superviseName + " is for agentbox itself", hint: `"agentbox run --detach" starts a box in the background`}
	}
	unix.CloseOnExec(reportFD)
	// The kernel has named this process after /proc/self/exe.
	_ = os.WriteFile("/proc/self/comm", []byte("agentbox"), 0)
	return &background{report: os.NewFile(reportFD, "report")}, nil
}

// detach starts the supervisor of a box in a session of its own and returns when the agent runs, or why it does not:
// the supervisor has said so, and its exit code is the one.
func detach(ctx *cli.Context, c *caller) error {
	cancelled, signals := newCourier(ctx.Context, false)
	defer signals.stop()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return notStarted(fmt.Errorf("the supervisor: %w", err))
	}
	report, theirs := os.NewFile(uintptr(pair[0]), "report"), os.NewFile(uintptr(pair[1]), "report")
	defer report.Close()
	// A descriptor that this command's caller left open is not the supervisor's to hold.
	_ = unix.CloseRange(reportFD, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = superviseArgs(ctx, c.args)
	cmd.Stderr = c.err // until the agent runs
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return notStarted(fmt.Errorf("the supervisor: %w", err))
	}
	signals.deliverTo(process{cmd.Process})
	id, err := bufio.NewReader(report).ReadString('\n')
	if id = strings.TrimSuffix(id, "\n"); err != nil || !session.ValidID(id) {
		return supervisorFailed(cancelled, cmd.Wait())
	}
	c.voice.printf("%s\n", id)
	if c.voice.out.failed != nil { // nobody knows the session, so it ends
		return nil
	}
	if _, err := report.Write([]byte{'\n'}); err != nil {
		_ = cmd.Wait() // the agent ran, and its session is over already
		return nil
	}
	return cmd.Process.Release()
}

// superviseArgs are this command line's with the one word changed.
func superviseArgs(ctx *cli.Context, line []string) []string {
	args := slices.Clone(line)
	above := ctx.Lineage()[1] // whose arguments begin with the command's name
	args[len(line)-above.Args().Len()] = superviseName
	return args
}

func supervisorFailed(ctx context.Context, err error) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return notStarted(errors.New("the supervisor ended without an answer"))
	case !errors.As(err, &exit):
		return notStarted(err)
	case exit.Exited():
		return exitStatus(exit.ExitCode())
	}
	if s := interruption(ctx); s != nil {
		return notStarted(s)
	}
	status := exit.Sys().(syscall.WaitStatus)                   //nolint:forcetypeassert // of every Unix
	if slices.Contains(forwarded, os.Signal(status.Signal())) { // it was not yet ready to take ours
		return notStarted(&interruptedError{status.Signal()})
	}
	return notStarted(fmt.Errorf("the supervisor was ended by %s", signalName(status.Signal())))
}

// A process gets the signals that come before the agent runs.
type process struct{ *os.Process }

// Signal passes one on.
func (p process) Signal(s unix.Signal) error { return p.Process.Signal(s) }

// Resize is of no use to a process without a terminal.
func (p process) Resize() {}
