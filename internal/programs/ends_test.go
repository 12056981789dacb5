package programs

import (
	"os/exec"
	"testing"
	"time"
)

func TestEndsOfProcesses(t *testing.T) {
	got := make(chan End, 1)
	e, err := newEnds(func(end End) { got <- end })
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	cmd := exec.Command("sh", "-c", "read x; exit 7")
	in, _ := cmd.StdinPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	e.watch(Start{PID: cmd.Process.Pid, Path: "/bin/sh", At: time.Now()})
	in.Close()
	cmd.Wait()
	select {
	case end := <-got:
		if end.PID != cmd.Process.Pid || end.Path != "/bin/sh" || end.Known && end.Status.ExitStatus() != 7 {
			t.Errorf("%+v", end)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody said so")
	}
}
