package launch

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"agentbox/internal/session"
)

// left makes what a killed supervisor leaves: a session without its lock, with a first process in libcontainer's state.
func left(t *testing.T, root string, e engineState) (id string) {
	t.Helper()
	s, err := session.Create(t.TempDir(), session.Info{State: session.Starting})
	must(t, err)
	defer s.Close()
	state := filepath.Join(s.Dir(), stateDir, boxName)
	must(t, os.MkdirAll(state, 0o700))
	data, err := json.Marshal(e)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(state, "state.json"), data, 0o600))
	must(t, os.CopyFS(filepath.Join(root, s.ID()), os.DirFS(s.Dir())))
	must(t, os.Chmod(filepath.Join(root, s.ID()), 0o700))
	return s.ID()
}

// waiting starts a process that waits for its input to end.
func waiting(t *testing.T) (cmd *exec.Cmd, e engineState) {
	t.Helper()
	cmd = exec.Command("cat")
	input, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { input.Close(); _ = cmd.Wait() })
	ticks, err := session.StartTicks(cmd.Process.Pid)
	must(t, err)
	return cmd, engineState{PID: cmd.Process.Pid, Start: ticks}
}

func sweepRoot(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "sessions")
	must(t, os.Mkdir(root, 0o700))
	return root
}

func TestSweepEndsWhatADeadSupervisorLeft(t *testing.T) {
	root := sweepRoot(t)
	cmd, e := waiting(t)
	id := left(t, root, e)
	must(t, sweep(root, id))
	_ = cmd.Wait()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Errorf("its first process ended with %v", cmd.ProcessState)
	}
	if _, err := os.Stat(filepath.Join(root, id)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory: %v", err)
	}
	if err := sweep(root, id); err != nil {
		t.Errorf("a second sweep: %v", err)
	}
}

// Nothing but that very process is ended: a pid may have been given to another, and a state file may say anything.
func TestSweepEndsNothingElse(t *testing.T) {
	for name, change := range map[string]func(*engineState){
		"a process with the same pid that started later": func(e *engineState) { e.Start++ },
		"no process":                   func(e *engineState) { e.PID = 0 },
		"every process of the group":   func(e *engineState) { e.PID = -1 },
		"the host's own first process": func(e *engineState) { e.PID = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			root := sweepRoot(t)
			cmd, e := waiting(t)
			change(&e)
			id := left(t, root, e)
			must(t, sweep(root, id))
			if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
				t.Errorf("the process has ended: %v", err)
			}
			if _, err := os.Stat(filepath.Join(root, id)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("its directory: %v", err)
			}
		})
	}
}

func TestSweepLeavesASessionThatRuns(t *testing.T) {
	root := sweepRoot(t)
	s, err := session.Create(root, session.Info{State: session.Running})
	must(t, err)
	defer s.Close()
	must(t, sweep(root, s.ID()))
	if _, err := os.Stat(s.Dir()); err != nil {
		t.Errorf("its directory: %v", err)
	}
}

// A state that is cut names no process, and the rest is taken away all the same.
func TestSweepWithoutAReadableState(t *testing.T) {
	root := sweepRoot(t)
	id := left(t, root, engineState{PID: 4})
	state, err := os.OpenFile(filepath.Join(root, id, stateDir, boxName, "state.json"), os.O_WRONLY|os.O_TRUNC, 0)
	must(t, err)
	_, err = io.WriteString(state, `{"init_process_pid": 4`)
	must(t, errors.Join(err, state.Close()))
	must(t, sweep(root, id))
	if _, err := os.Stat(filepath.Join(root, id)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory: %v", err)
	}
}
