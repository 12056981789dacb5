// Package secret reads what a profile's references lead to: "env:NAME", "file:PATH" and "command:PROGRAM ARGS".
//
// What it promises. A secret that it returns is in no error and no log of this package, and a Value shows itself nowhere.
// A program is one outside the workspace, with a fixed argv, in the person's home, with their ids; its PATH leads past the
// workspace, and no variable changes what the loader loads into it.
//
// What it does not: a Value's text stays in memory until the collector has taken it, and a program has the rest of the
// caller's environment.
package secret

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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

	now func() time.Time // nil: time.Now
}

const maxSize = 64 << 10

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

func (r Reader) expanded(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(r.Home, rest)
	}
	return path
}

func (r Reader) file(path string) (string, error) {
	path = r.expanded(path)
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
