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
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
			return "", &missing{fmt.Sprintf("the variable %s is not set", rest)}
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
		return "", &missing{"it is empty"}
	}
	return text, nil
}

func (r Reader) expanded(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(r.Home, rest)
	}
	return path
}

// ErrMissing is that there is nothing where a reference leads: no such variable, file or key.
var ErrMissing = errors.New("missing")

type missing struct{ text string }

func (m *missing) Error() string        { return m.text }
func (m *missing) Is(target error) bool { return target == ErrMissing }

// file reads a file, or of a JSON file the text behind the keys that follow "#".
func (r Reader) file(reference string) (string, error) {
	path, keys, within := strings.Cut(r.expanded(reference), "#")
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", &missing{err.Error()}
	}
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
	if within && err == nil {
		return textAt(path, data, strings.Split(keys, "."))
	}
	return string(data), err
}

// textAt is the text behind keys of a JSON object. No error shows what the file holds.
func textAt(path string, data []byte, keys []string) (string, error) {
	for _, key := range keys {
		var object map[string]json.RawMessage
		if err := json.Unmarshal(data, &object); err != nil {
			return "", fmt.Errorf("%s is no JSON object at %q", path, key)
		}
		if data = object[key]; data == nil {
			return "", &missing{fmt.Sprintf("%s has no %q", path, key)}
		}
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return "", fmt.Errorf("%s has no text at %q", path, keys[len(keys)-1])
	}
	return text, nil
}
