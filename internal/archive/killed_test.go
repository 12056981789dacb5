package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// A dying is a pass that kills itself.
type dying struct {
	Dir, Archive, Token, CA, Home string
	At                            int // the step, counted from 1, that is not reached
}

// shipAndDie is what the test program does instead of testing.
func shipAndDie(text string) error {
	var d dying
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return err
	}
	to, err := destination(d.Archive, d.Token, d.CA, d.Home, quick)
	if err != nil {
		return err
	}
	steps := 0
	to.step = func(string) {
		if steps++; steps == d.At {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	items, err := tryShip(context.Background(), d.Dir, to)
	if err != nil {
		return err
	}
	for _, i := range items {
		if i.Err != nil {
			return i.Err
		}
	}
	os.Exit(0)
	return nil
}

// A pass may be killed at each of its steps: after the next one the archive has every file once, and whole.
func TestKilledAtEveryStep(t *testing.T) {
	for name, start := range kinds() {
		t.Run(name, func(t *testing.T) {
			killed := 0
			for at := 1; ; at++ {
				b := start(t)
				dir, want := closedLogs(t, 10, 100_000)
				if !dies(t, dying{Dir: dir, Archive: b.archive, Token: b.token, CA: b.ca, Home: b.home, At: at}) {
					break
				}
				killed++
				for _, i := range ship(t, dir, to(t, b)) {
					if i.Err != nil {
						t.Errorf("step %d: %s: %v", at, i.Name, i.Err)
					}
				}
				b.holds(t, want)
				noSecretBelow(t, dir, b.token)
				if t.Failed() {
					t.Fatalf("step %d", at)
				}
			}
			if killed < 12 {
				t.Errorf("it was killed at %d steps alone", killed)
			}
		})
	}
}

// dies reports whether the pass was killed before it was over.
func dies(t *testing.T, d dying) bool {
	t.Helper()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), killEnv+"="+string(text))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case ok && status.Signaled() && status.Signal() == syscall.SIGKILL:
		return true
	case cmd.ProcessState.Success():
		return false
	}
	t.Fatal(fmt.Sprint(cmd.ProcessState, " ", out.String()))
	return false
}
