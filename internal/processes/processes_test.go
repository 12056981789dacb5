package processes

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/audit"
)

// The tree is lines of printable text, whatever a process calls itself, and none of its processes is missing or shown
// twice, whatever it says of its parents.
func TestTreeOfHostileProcesses(t *testing.T) {
	v := View{Omitted: 2, Processes: []Process{
		{PID: 10, Parent: 1, Argv: []audit.Text{"init"}},
		{PID: 11, Parent: 10, Argv: []audit.Text{"a\x1b]0;x\x07", "b\nc", "\xff\u202e"}, State: "S"},
		{PID: 12, Parent: 99, Name: "kworker\x1b[2J"},
		{PID: 13, Parent: 11, Argv: []audit.Text{""}},
	}}
	tree := v.Tree()
	if lines := strings.Count(tree, "\n"); lines != 6 {
		t.Errorf("%d lines:\n%s", lines, tree)
	}
	for _, r := range tree {
		if r < ' ' && r != '\n' || r == 0x7f || r == 0x202e {
			t.Errorf("%q is in the tree", r)
		}
	}
	for _, want := range []string{`'a\x1b]0;x\x07' b\nc \xff\u202e`, `[kworker\x1b[2J]`, "and 2 more"} {
		if !strings.Contains(tree, want) {
			t.Errorf("%q is not in\n%s", want, tree)
		}
	}
}

// This test's own namespace has at least this process, with its files, its variables by name, and what it may do.
func TestOfThisProcess(t *testing.T) {
	t.Setenv("PROCESSES_TEST", "not this value")
	child := exec.Command("sleep", "100")
	child.Env = append(os.Environ(), "PROCESSES_TEST=not this value")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	v, err := Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range v.Processes {
		if p.PID != child.Process.Pid {
			continue
		}
		named := false
		for _, name := range p.Variables {
			named = named || name == "PROCESSES_TEST"
		}
		if p.Parent != os.Getpid() || !named || len(p.Files) < 3 || p.Credentials["CapEff"] == "" || p.Started.IsZero() || len(p.Errors) > 0 {
			t.Errorf("%+v", p)
		}
		for _, text := range v.Texts() {
			if strings.Contains(string(*text), "not this value") {
				t.Error("a value is in it")
			}
		}
		return
	}
	t.Errorf("it is not among %d processes", len(v.Processes))
}

func TestOfNobody(t *testing.T) {
	done := exec.Command("true")
	if err := done.Run(); err != nil {
		t.Fatal(err)
	}
	if v, err := Of(done.Process.Pid); err == nil {
		t.Errorf("%+v", v)
	}
}

// Who is stopped has not run, and who was woken has.
func TestRan(t *testing.T) {
	child := exec.Command("sh", "-c", "while :; do sleep 0.01; done")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	if err := child.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(child.Process.Pid, &status, unix.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("%v, %v", status, err)
	}
	v, err := Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	ran := func() bool { return slices.Contains(v.Ran(), child.Process.Pid) }
	if ran() {
		t.Error("it is stopped, and ran")
	}
	if err := child.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); !ran(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("it goes on, and has not run")
		}
	}
}
