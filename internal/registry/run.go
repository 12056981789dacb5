package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	timeLimit = 10 * time.Second
	maxOutput = 1 << 20
	maxStderr = 4 << 10
)

// A program is a fixed argv, with which variables of the caller's it may see and which it gets beside them.
type program struct {
	argv   []string
	passes func(key string) bool
	env    []string
}

// ask runs a program outside the workspace and returns what it wrote to its output.
func (a Asker) ask(ctx context.Context, p program) ([]byte, error) {
	name := p.argv[0]
	path, err := a.find(name)
	if err != nil {
		return nil, err
	}
	env, err := a.environment(p)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeLimit)
	defer cancel()
	out, complaint := &bounded{max: maxOutput, full: cancel}, &bounded{max: maxStderr}
	cmd := exec.CommandContext(ctx, path, p.argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = a.Dir, env, out, complaint
	err = runGroup(cmd, a.credential())
	switch {
	case out.over:
		return nil, fmt.Errorf("%s writes too much", name)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("%s does not answer: %w", name, context.DeadlineExceeded)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %w", name, ctx.Err())
	case err != nil:
		if line := firstLine(complaint.kept.String()); line != "" {
			return nil, fmt.Errorf("%s: %w: %s", name, err, line)
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return out.kept.Bytes(), nil
}

// credential is that of who owns the home, where root asks for somebody else, as sudo does: what a tool leaves there is
// to be theirs.
func (a Asker) credential() *syscall.Credential {
	var st syscall.Stat_t
	if os.Geteuid() != 0 || syscall.Stat(a.Home, &st) != nil || st.Uid == 0 {
		return nil
	}
	return &syscall.Credential{Uid: st.Uid, Gid: st.Gid}
}

// runGroup runs a program and leaves none of the processes that it started.
func runGroup(cmd *exec.Cmd, as *syscall.Credential) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: as}
	cmd.WaitDelay = time.Second
	kill := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = kill
	if err := cmd.Start(); err != nil {
		if inner := new(os.PathError); errors.As(err, &inner) {
			return inner.Err
		}
		return err
	}
	// As long as the leader is not reaped its number, which is the group's, is nobody else's.
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	_ = kill()
	return cmd.Wait()
}

// find looks a program up outside the workspace, which the agent can write. The path is returned as it was found: a
// virtual environment's python is known by the link's name.
func (a Asker) find(name string) (string, error) {
	for _, dir := range a.path() {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 && !a.inside(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not on PATH outside the workspace", name)
}

// path are the directories in which programs and what they start are looked up.
func (a Asker) path() []string {
	var dirs []string
	for _, dir := range a.Path {
		// A colon would be two directories to the program.
		if filepath.IsAbs(dir) && !strings.Contains(dir, ":") && !a.inside(dir) {
			dirs = append(dirs, filepath.Clean(dir))
		}
	}
	return dirs
}

// environment is what a program gets of the caller's, which must not lead it into the workspace.
func (a Asker) environment(p program) ([]string, error) {
	env := []string{"HOME=" + a.Home, "PATH=" + strings.Join(a.path(), ":")}
	for _, line := range a.Env {
		key, value, _ := strings.Cut(line, "=")
		if !p.passes(key) {
			continue
		}
		if filepath.IsAbs(value) && a.inside(value) {
			return nil, fmt.Errorf("%s leads into the workspace", printable(key))
		}
		env = append(env, line)
	}
	return append(env, p.env...), nil
}

// variable is a variable of the caller's environment.
func (a Asker) variable(name string) string {
	var found string
	for _, line := range a.Env {
		if key, value, _ := strings.Cut(line, "="); key == name {
			found = value
		}
	}
	return found
}

// bounded keeps the first bytes that are written to it, and calls full when there are more.
// It has no other method than Write: io.Copy would prefer ReadFrom, which knows no bound.
type bounded struct {
	kept bytes.Buffer
	max  int
	full func()
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if room := b.max - b.kept.Len(); len(p) > room {
		b.over = true
		b.kept.Write(p[:room])
		if b.full != nil {
			b.full()
		}
		return len(p), nil
	}
	return b.kept.Write(p)
}
