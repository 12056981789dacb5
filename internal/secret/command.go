package secret

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
)

const commandTime = 30 * time.Second

// command runs a program with a fixed argv, in the person's home and not in the project.
func (r Reader) command(ctx context.Context, argv []string) (string, error) {
	if len(argv) == 0 {
		return "", errors.New("it names no program")
	}
	program, err := r.find(argv[0])
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, argv[1:]...)
	cmd.Dir = r.Home
	cmd.Env = r.environment(os.Environ())
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: r.credential()}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out limited
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil { // what it said may hold the secret
		return "", fmt.Errorf("%s: %w", argv[0], err)
	}
	return out.buffer.String(), nil
}

// credential is that of who owns the home, where root asks for somebody else, as sudo does.
func (r Reader) credential() *syscall.Credential {
	var st syscall.Stat_t
	if os.Geteuid() != 0 || syscall.Stat(r.Home, &st) != nil || st.Uid == 0 {
		return nil
	}
	return &syscall.Credential{Uid: st.Uid, Gid: st.Gid}
}

// environment is the caller's without what the loader obeys (ld.so(8)), for the person's home, and with no directory of
// the workspace in PATH: a script's interpreter is looked up there.
func (r Reader) environment(caller []string) []string {
	var path, env []string
	for _, dir := range r.Path {
		if real, err := filepath.EvalSymlinks(dir); err == nil && filepath.IsAbs(dir) && !strings.Contains(dir, ":") && !r.inside(real) {
			path = append(path, dir)
		}
	}
	for _, line := range caller {
		key, _, _ := strings.Cut(line, "=")
		switch {
		case key == "HOME", key == "PATH", key == "PWD", key == "OLDPWD", key == "GLIBC_TUNABLES", strings.HasPrefix(key, "LD_"):
		default:
			env = append(env, line)
		}
	}
	return append(env, "HOME="+r.Home, "PWD="+r.Home, "PATH="+strings.Join(path, ":"))
}

func (r Reader) inside(real string) bool {
	rel, err := filepath.Rel(r.Workspace, real)
	return r.Workspace != "" && err == nil && filepath.IsLocal(rel)
}

// find looks a program up outside the workspace, which the agent can write.
func (r Reader) find(name string) (string, error) {
	candidates := []string{name}
	if !filepath.IsAbs(name) {
		candidates = nil
		for _, dir := range r.Path {
			if filepath.IsAbs(dir) {
				candidates = append(candidates, filepath.Join(dir, name))
			}
		}
	}
	for _, c := range candidates {
		real, err := filepath.EvalSymlinks(c)
		if err != nil {
			continue
		}
		if r.inside(real) {
			continue
		}
		if info, err := os.Stat(real); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return real, nil
		}
	}
	return "", fmt.Errorf("%s is not a program outside the workspace", name)
}

var errTooMuch = errors.New("it is more than a secret")

// limited takes no more than a secret has.
type limited struct{ buffer bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.buffer.Len()+len(p) > maxSize {
		return 0, errTooMuch
	}
	return l.buffer.Write(p)
}
