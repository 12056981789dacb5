package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"agentbox/internal/boxtest"
)

// children lists the processes that a process started, by their pids outside.
func children(pid int) (list []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range files {
		data, _ := os.ReadFile(file)
		for _, field := range strings.Fields(string(data)) {
			child, _ := strconv.Atoi(field)
			list = append(list, child)
		}
	}
	return list
}

// only is the one child of a process.
func only(t testing.TB, pid int) int {
	t.Helper()
	list := children(pid)
	if len(list) != 1 {
		t.Fatalf("process %d has the children %v, not one", pid, list)
	}
	return list[0]
}

func gone(pid int) bool { return syscall.Kill(pid, 0) == syscall.ESRCH }

// readResult reads what --result wrote.
func readResult(t testing.TB, path string) (r struct {
	Cause, Signal, Layer, Error string
	ExitCode                    int `json:"exit_code"`
}) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		t.Error(err)
	}
	return r
}

// Whichever process of a box is killed, the others go too, and the next start finds
// nothing that it does not take away.
func TestKillOneProcess(t *testing.T) {
	for name, tc := range map[string]struct {
		victim func(t *testing.T, supervisor int) int
		code   int
		cause  string
	}{
		"the supervisor": {func(t *testing.T, s int) int { return s }, -1, ""},
		"PID 1":          {func(t *testing.T, s int) int { return only(t, s) }, 137, "killed"},
		"the agent":      {func(t *testing.T, s int) int { return only(t, only(t, s)) }, 137, "signaled"},
	} {
		t.Run(name, func(t *testing.T) {
			for account, find := range accounts() {
				t.Run(account, func(t *testing.T) {
					boxtest.Leftovers(t)
					w := newWorld(t, find, "")
					b := w.start(t, `sleep 1000 & `+idle, "--result", "result.json")
					supervisor := b.cmd.Process.Pid
					first := only(t, supervisor)
					agent := only(t, first)
					if err := syscall.Kill(tc.victim(t, supervisor), syscall.SIGKILL); err != nil {
						t.Fatal(err)
					}
					if code := b.end(); code != tc.code {
						t.Errorf("ended with %d, not with %d", code, tc.code)
					}
					until(t, "the box has gone", func() bool { return gone(first) && gone(agent) })
					if tc.cause != "" {
						if r := readResult(t, filepath.Join(w.dir, "result.json")); r.Cause != tc.cause || r.ExitCode != tc.code {
							t.Errorf("result %+v", r)
						}
					}
					if r := w.run(t, "true"); r.code != 0 {
						t.Errorf("the next start: %+v", r)
					}
				})
			}
		})
	}
}

// The agent's signals do not reach a daemon that ignores them, the end of the box
// does.
func TestDaemonDoesNotOutliveTheSession(t *testing.T) {
	const daemon = `setsid sh -c 'trap "" TERM HUP INT; (touch started; while :; do sleep 1000; done) & exit' &
while ! test -e started; do :; done; echo started`
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t) // finds processes of other PID namespaces
			w := newWorld(t, find, "")
			if r := w.sh(t, daemon); r.out != "started\n" || r.code != 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// Ctrl-C and worse at fifty points of the way to the agent's first instruction.
func TestSignalsDuringTheStart(t *testing.T) {
	const points = 50
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			for account, find := range accounts() {
				t.Run(account, func(t *testing.T) {
					boxtest.Leftovers(t)
					w := newWorld(t, find, "")
					began := time.Now()
					w.starts(t, w.agentbox(t, append([]string{"run"}, touch...)...))
					whole := time.Since(began)
					for i := range points {
						r := w.signalled(t, signal, whole*time.Duration(i)/points, i%2 == 1)
						early := strings.Contains(r.err, "nothing was started")
						if ran := w.exists("RAN"); early && ran || r.code == 0 && !ran {
							t.Errorf("point %d: the agent ran: %v, and agentbox ended with %+v", i, ran, r)
						}
						if r.code != 0 && r.code != 128+int(signal) && r.code != -1 {
							t.Errorf("point %d: %+v", i, r)
						}
					}
					w.starts(t, w.agentbox(t, append([]string{"run"}, touch...)...))
				})
			}
		})
	}
}

// signalled starts a box and sends a signal after a while, to agentbox or, as a
// terminal does, to its whole process group.
func (w *world) signalled(t *testing.T, signal syscall.Signal, after time.Duration, group bool) result {
	t.Helper()
	cmd := w.agentbox(t, append([]string{"run"}, touch...)...)
	cmd.SysProcAttr.Setpgid = true
	var out, diag strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &diag
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	target := cmd.Process.Pid
	if group {
		target = -target
	}
	defer time.AfterFunc(after, func() { syscall.Kill(target, signal) }).Stop()
	defer time.AfterFunc(patience, func() { cmd.Process.Kill() }).Stop()
	waitIgnoringExit(t, cmd)
	return result{cmd.ProcessState.ExitCode(), out.String(), diag.String()}
}

func waitIgnoringExit(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Wait(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
}
