package boxtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProbePrintsWhatItIsGiven(t *testing.T) {
	a := BareUser(t)
	dir := Project(t, a)
	probe := Probe(t, dir)
	file := filepath.Join(dir, "file")
	a.WriteFile(t, file, "", 0o600)
	out, err := a.Command(t, dir, "sh", "-c", `trap '' PIPE; umask 027; ulimit -S -n 99; exec ./probe 5<file 7>>file </dev/null | cat`).Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		IDs         struct{ UID, GID string }
		Umask, Cwd  string
		Signals     struct{ Blocked, Ignored []string }
		Rlimits     map[string]struct{ Soft string }
		Descriptors []struct {
			Number       int
			Kind, Access string
		}
		Processes []struct{ PID int }
		Mounts    []struct{ Point string }
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	var fds []string
	for _, d := range got.Descriptors {
		if d.Number > 9 { // the shell's own, or inherited from whoever runs the tests
			continue
		}
		fds = append(fds, fmt.Sprintf("%d %s %s", d.Number, d.Kind, d.Access))
	}
	want := []string{"0 device /dev/null r", "1 pipe w", "2 " + strings.TrimPrefix(fds[2], "2 "),
		"5 file " + file + " r", "7 file " + file + " w append"}
	if diff := cmp.Diff(want, fds); diff != "" {
		t.Errorf("descriptors:\n%s", diff)
	}
	uid := fmt.Sprintf("%d %[1]d %[1]d %[1]d", a.UID)
	if got.IDs.UID != uid || got.Umask != "0027" || got.Cwd != dir || got.Rlimits["nofile"].Soft != "99" ||
		!cmp.Equal(got.Signals.Ignored, []string{"SIGPIPE"}) || len(got.Signals.Blocked) > 0 {
		t.Errorf("posture %+v", got)
	}
	if len(got.Processes) < 2 || len(got.Mounts) < 2 || len(got.Rlimits) != 16 {
		t.Errorf("posture lacks processes, mounts or limits: %s", out)
	}
	again, _ := os.Stat(probe)
	if again.Mode().Perm() != 0o755 {
		t.Errorf("mode %v", again.Mode())
	}
}

func TestBinaryRunsForEveryUser(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the whole program")
	}
	path := Binary(t)
	if again := Binary(t); again != path {
		t.Errorf("built twice: %s, %s", path, again)
	}
	a := BareUser(t)
	cmd := a.Command(t, "/", path, "--help")
	if err := cmd.Run(); errors.As(err, new(*os.PathError)) {
		t.Error(err)
	}
	if out, _ := exec.Command("ldd", path).CombinedOutput(); !strings.Contains(string(out), "not a dynamic executable") &&
		!strings.Contains(string(out), "statically linked") {
		t.Errorf("ldd: %s", out)
	}
}

func TestBinaryFromTheEnvironment(t *testing.T) {
	for name, tc := range map[string]struct{ path, want string }{
		"a program":       {"/bin/sh", ""},
		"a relative path": {"agentbox", "is not an absolute path"},
		"a directory":     {"/bin/", "is not a program"},
		"nothing":         {"/no/such", "no such file"},
	} {
		err := checkBinary(tc.path)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
