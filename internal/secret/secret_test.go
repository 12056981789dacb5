package secret

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentbox/internal/boxtest"
)

func reader(t *testing.T) Reader {
	t.Helper()
	home := t.TempDir()
	for name, text := range map[string]string{"key": "s3cret\n", "empty": "\n", "large": strings.Repeat("x", maxSize+1), "login": `{"oauth": {"token": "s3cret", "n": 1}}`, "ws/tool": "#!/bin/sh\necho theirs\n", "bin/tool": "#!/bin/sh\necho \"$1\"; pwd\n", "bin/loud": "#!/bin/sh\nhead -c 100000 /dev/zero\n", "bin/fails": "#!/bin/sh\necho s3cret; exit 3\n"} {
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
			v, ok := map[string]string{"KEY": "s3cret", "EMPTY": "", "LINES": "s3cret\nX: y"}[name]
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
		"a text in a JSON file":          {"file:~/login#oauth.token", "s3cret", ""},
		"a key that it has not":          {"file:~/login#oauth.other", "", `has no "other"`},
		"a key of what is no object":     {"file:~/login#oauth.token.x", "", `is no JSON object at "x"`},
		"a key of what is no text":       {"file:~/login#oauth.n", "", `has no text at "n"`},
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

// script puts a program where the reader finds it.
func script(t *testing.T, r Reader, name, body string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.Home, "bin", name), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestTheEnvironmentOfACommand(t *testing.T) {
	r := reader(t)
	if err := os.Symlink(r.Workspace, filepath.Join(r.Home, "also")); err != nil {
		t.Fatal(err)
	}
	r.Path = append(r.Path, filepath.Join(r.Home, "also"), "/nosuchdirectory", "", "/usr/bin")
	got := r.environment([]string{"LANG=C", "LD_PRELOAD=/evil.so", "LD_LIBRARY_PATH=/evil", "GLIBC_TUNABLES=x", "HOME=/root", "PATH=/evil", "PWD=/evil", "OLDPWD=/evil", "A=b=c", "LDX=1"})
	want := []string{"LANG=C", "A=b=c", "LDX=1", "HOME=" + r.Home, "PWD=" + r.Home, "PATH=" + filepath.Join(r.Home, "bin") + ":/usr/bin"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestACommandHasTheCallersVariables(t *testing.T) {
	r := reader(t)
	t.Setenv("OF_THE_CALLER", "here")
	t.Setenv("LD_DEBUG_OUTPUT", "/nowhere")
	script(t, r, "says", `echo "$OF_THE_CALLER $LD_DEBUG_OUTPUT $HOME"`)
	if got, err := r.Read(t.Context(), "command:says"); err != nil || got != "here  "+r.Home {
		t.Errorf("%q, %v", got, err)
	}
}

// Root's own command would leave root's files in the home of the person who called sudo, and obey theirs.
func TestRootRunsACommandAsWhoOwnsTheHome(t *testing.T) {
	boxtest.Need(t, boxtest.Root)
	const nobody = 65534
	r := reader(t)
	script(t, r, "who", "/usr/bin/id -u; /usr/bin/id -G; : >left")
	for dir := r.Home; dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := r.Read(t.Context(), "command:who"); err != nil || !strings.HasPrefix(got, "0\n") {
		t.Errorf("in root's home: %q, %v", got, err)
	}
	for _, path := range []string{r.Home, filepath.Join(r.Home, "left")} {
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := r.Read(t.Context(), "command:who"); err != nil || got != "65534\n65534" {
		t.Errorf("in another's: %q, %v", got, err)
	}
}
