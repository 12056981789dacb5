package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"agentbox/internal/outside"
)

// commandTime is how long a program may take for one file.
const commandTime = time.Hour

// temporary is the exit code of a program that wants to be called again, EX_TEMPFAIL of sysexits.h.
const temporary = 75

// A command is a program of the person's that takes files: from its standard input, with the name and the hash in its
// environment. Only itself can know what it has taken.
type command struct {
	argv  []string
	place outside.Place
	time  time.Duration
}

func (c *command) find(context.Context, *object) (presence, error) { return unknown, nil }

func (c *command) put(ctx context.Context, o *object) error {
	program, err := c.program()
	if err != nil {
		return &Error{Err: err, all: true}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.time, fmt.Errorf("it took longer than %v", c.time))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	cmd := c.place.Command(ctx, program, c.argv[1:]...)
	cmd.Env = append(outside.BareEnv(c.place.Home), "AGENTBOX_ARCHIVE_NAME="+o.name, "AGENTBOX_ARCHIVE_SHA256="+o.sum,
		"AGENTBOX_ARCHIVE_SIZE="+strconv.FormatInt(o.size, 10))
	if o.retry {
		cmd.Env = append(cmd.Env, "AGENTBOX_ARCHIVE_RETRY=1")
	}
	in := &input{body: o.body(), stop: func(err error) {
		stop(err)
		_ = cmd.Cancel() // before the program sees an end that is none
	}}
	cmd.Stdin = in
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL // of this thread, which must not end before the program
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Run() // what it says is not kept: it may hold a secret of its own
	o.at("called")
	return c.verdict(ctx, err, in.body.failure())
}

// verdict is what the end of the program means. An exit code other than 0 is that it has not taken the file.
func (c *command) verdict(ctx context.Context, err, unread error) error {
	var exit *exec.ExitError
	switch {
	case unread != nil:
		return unread
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", c.argv[0], context.Cause(ctx))
	case err == nil || errors.Is(err, syscall.EPIPE): // one that knows the file need not read it
		return nil
	case errors.As(err, &exit) && exit.ExitCode() == temporary:
		return &Error{Err: fmt.Errorf("%s: %w", c.argv[0], err), again: true}
	}
	return &Error{Err: fmt.Errorf("%s: %w", c.argv[0], err), Hint: "it did not take the file; give it one by hand to see what it says"}
}

// program is one outside of the workspace that nobody else could have put there.
func (c *command) program() (string, error) {
	real, err := c.place.Find(c.argv[0])
	if err != nil {
		return "", err
	}
	uid := c.place.UID()
	info, err := os.Stat(real)
	if err != nil {
		return "", err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid != 0 && int(st.Uid) != uid || info.Mode().Perm()&fs.FileMode(0o022) != 0 {
		return "", fmt.Errorf("%s must be yours or root's, and nobody else may write to it", real)
	}
	return real, outside.Replaceable(real, uid)
}

// An input ends the program when the file cannot be read to its end.
type input struct {
	body *body
	stop func(error)
}

// Read reads what comes next.
func (i *input) Read(p []byte) (int, error) {
	n, err := i.body.Read(p)
	if bad := i.body.failure(); bad != nil {
		i.stop(bad)
	}
	return n, err
}
