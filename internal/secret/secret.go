// Package secret reads what a profile's references lead to: "env:NAME", "file:PATH" and "command:PROGRAM ARGS". A secret
// that it returns is in no error and no log of this package.
package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A Reader knows where the person's things are, and what is not theirs.
type Reader struct {
	Env       func(string) (string, bool)
	Home      string
	Workspace string // no program of it is run
	Path      []string
}

const (
	maxSize     = 64 << 10
	commandTime = 30 * time.Second
)

// Read returns the secret without the line break at its end.
func (r Reader) Read(ctx context.Context, reference string) (string, error) {
	kind, rest, _ := strings.Cut(reference, ":")
	var text string
	var err error
	switch kind {
	case "env":
		var ok bool
		if text, ok = r.Env(rest); !ok {
			return "", fmt.Errorf("the variable %s is not set", rest)
		}
	case "file":
		text, err = r.file(rest)
	case "command":
		text, err = r.command(ctx, strings.Fields(rest))
	default:
		return "", errors.New(`it is not "env:NAME", "file:PATH" or "command:PROGRAM ARGS"`)
	}
	if err != nil {
		return "", err
	}
	if text = strings.TrimRight(text, "\r\n"); text == "" {
		return "", errors.New("it is empty")
	}
	return text, nil
}

func (r Reader) file(path string) (string, error) {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		path = filepath.Join(r.Home, rest)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if len(data) > maxSize {
		return "", fmt.Errorf("%s: %w", path, errTooMuch)
	}
	return string(data), err
}

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
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out limited
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil { // what it said may hold the secret
		return "", fmt.Errorf("%s: %w", argv[0], err)
	}
	return out.buffer.String(), nil
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
		if rel, err := filepath.Rel(r.Workspace, real); r.Workspace != "" && err == nil && filepath.IsLocal(rel) {
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
