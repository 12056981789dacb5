package secret

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func reader(t *testing.T) Reader {
	t.Helper()
	home := t.TempDir()
	for name, text := range map[string]string{"key": "s3cret\n", "empty": "\n", "large": strings.Repeat("x", maxSize+1), "ws/tool": "#!/bin/sh\necho theirs\n", "bin/tool": "#!/bin/sh\necho \"$1\"; pwd\n", "bin/loud": "#!/bin/sh\nhead -c 100000 /dev/zero\n", "bin/fails": "#!/bin/sh\necho s3cret; exit 3\n"} {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(home, "ws/tool"), filepath.Join(home, "bin/link")); err != nil {
		t.Fatal(err)
	}
	return Reader{Home: home, Workspace: filepath.Join(home, "ws"), Path: []string{".", filepath.Join(home, "ws"), filepath.Join(home, "bin")},
		Env: func(name string) (string, bool) {
			v, ok := map[string]string{"KEY": "s3cret", "EMPTY": ""}[name]
			return v, ok
		}}
}

func TestRead(t *testing.T) {
	r := reader(t)
	for name, tc := range map[string]struct{ reference, want, err string }{
		"a variable":                     {"env:KEY", "s3cret", ""},
		"a variable that is not set":     {"env:NONE", "", "the variable NONE is not set"},
		"a variable that is empty":       {"env:EMPTY", "", "it is empty"},
		"a file, without its line break": {"file:~/key", "s3cret", ""},
		"a file that is not there":       {"file:~/none", "", "no such file"},
		"an empty file":                  {"file:~/empty", "", "it is empty"},
		"a file that is too large":       {"file:~/large", "", "more than a secret"},
		"a directory":                    {"file:~/bin", "", "is not a file"},
		"a command, in the home":         {"command:tool x", "x\n" + r.Home, ""},
		"a command that fails":           {"command:fails", "", "fails: exit status 3"},
		"a command that writes too much": {"command:loud", "", "loud: "},
		"a command of the workspace":     {"command:" + filepath.Join(r.Home, "ws/tool"), "", "is not a program outside the workspace"},
		"a link into the workspace":      {"command:link", "", "is not a program outside the workspace"},
		"a command that there is not":    {"command:nosuchthing", "", "is not a program outside the workspace"},
		"no command":                     {"command:", "", "it names no program"},
		"something that is no reference": {"s3cret", "", "it is not"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := r.Read(context.Background(), tc.reference)
			switch {
			case tc.err == "" && (err != nil || got != tc.want):
				t.Errorf("%q, %v", got, err)
			case tc.err != "" && (err == nil || got != "" || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "s3cret")):
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}
