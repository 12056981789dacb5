package programs

import (
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
	s := &seen{Start: Start{PID: cmd.Process.Pid, Path: "/bin/sh", At: time.Now()}, pidfd: -1}
	if s.pidfd, err = unix.PidfdOpen(s.PID, 0); err != nil {
		t.Fatal(err)
	}
	e.watch(s)
	in.Close()
	cmd.Wait()
	e.take()
	if end := <-got; end.PID != cmd.Process.Pid || end.Path != "/bin/sh" || end.Known && end.Status.ExitStatus() != 7 {
		t.Errorf("%+v", end)
	}
}
