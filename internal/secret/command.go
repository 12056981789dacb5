package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"agentbox/internal/outside"
)

const commandTime = 30 * time.Second

// command runs a program with a fixed argv, in the person's home and not in the project.
func (r Reader) command(ctx context.Context, argv []string) (string, error) {
	if len(argv) == 0 {
		return "", errors.New("it names no program")
	}
	program, err := r.place().Find(argv[0])
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := r.place().Command(ctx, program, argv[1:]...)
	cmd.Env = r.environment(os.Environ())
	var out limited
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil { // what it said may hold the secret
		return "", fmt.Errorf("%s: %w", argv[0], err)
	}
	return out.buffer.String(), nil
}

func (r Reader) place() outside.Place {
	return outside.Place{Home: r.Home, Workspace: r.Workspace, Path: r.Path}
}

// environment is the caller's without what the loader obeys (ld.so(8)), for the person's home, and with no directory of
// the workspace in PATH: a script's interpreter is looked up there.
func (r Reader) environment(caller []string) []string {
	var path, env []string
	for _, dir := range r.Path {
		if real, err := filepath.EvalSymlinks(dir); err == nil && filepath.IsAbs(dir) && !strings.Contains(dir, ":") && !r.place().Holds(real) {
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

var errTooMuch = errors.New("it is more than a secret")

// limited takes no more than a secret has.
type limited struct{ buffer bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.buffer.Len()+len(p) > maxSize {
		return 0, errTooMuch
	}
	return l.buffer.Write(p)
}
