package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"agentbox/internal/boxtest"
)

// A programRecord is a record about a program.
type programRecord struct {
	Type string
	Data struct {
		PID, Parent, UID, Joined int
		Path, Dir, Refused, How  string
		Argv                     []string
		Missing, Cut             bool
		ExitCode                 int `json:"exit_code"`
		Microseconds             int64
	}
}

// programs are the records about programs of the session that was last.
func (w *world) programs(t testing.TB) (list []programRecord) {
	t.Helper()
	for line := range strings.Lines(finish(t, w.agentbox(t, "log", "--json", "--type", "program")).out) {
		var r programRecord
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

// about are those of starts whose arguments have a word, and of ends of the same processes.
func about(list []programRecord, word string) (starts, ends []programRecord) {
	for _, r := range list {
		switch {
		case r.Type == "program.start" && !r.Data.Missing && slices.Contains(r.Data.Argv, word):
			starts = append(starts, r)
		case r.Type == "program.end" && len(starts) > 0 && r.Data.PID == starts[len(starts)-1].Data.PID:
			ends = append(ends, r)
		}
	}
	return starts, ends
}

// However a program is started, its record has what the kernel knows of it. A start that fails reads like one that
// does not, but for a file that is not there.
func TestEveryKindOfStart(t *testing.T) {
	boxtest.Need(t, "gcc")
	program := compiled(t, "../../testdata/starts/kinds.c")
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			w.WriteFile(t, filepath.Join(w.dir, "kinds"), program, 0o755)
			w.WriteFile(t, filepath.Join(w.dir, "script"), "#!/bin/true\n", 0o755)
			w.WriteFile(t, filepath.Join(w.dir, "notes"), "", 0o644)
			w.WriteFile(t, filepath.Join(w.dir, "garbage"), "\x00\x01", 0o755)
			if r := w.run(t, "./kinds"); r.code != 0 || r.out != "./absent 2\n./notes 13\n./garbage 8\n/bin/true 7\n" {
				t.Fatalf("%+v", r)
			}
			list := w.programs(t)
			all, _ := about(list, "./kinds")
			if len(all) != 1 {
				t.Fatalf("%+v", all)
			}
			parent := all[0].Data
			for way, path := range map[string]string{"fork": "/bin/true", "vfork": "/bin/true", "spawn": "/bin/true", "thread": "/bin/true",
				"memory": "/memfd:in-memory (deleted)", "descriptor": "/usr/bin/true", "directory": "/usr/bin/true", "relative": "bin/true", "script": "./script"} {
				dir := w.dir
				if way == "relative" {
					dir = "/usr"
				}
				starts, ends := about(list, way)
				if len(starts) != 1 || len(ends) != 1 {
					t.Errorf("%s: %d starts, %d ends", way, len(starts), len(ends))
					continue
				}
				s, e := starts[0].Data, ends[0].Data
				if s.Path != path || s.Parent != parent.PID || s.UID != parent.UID || s.UID == 0 || s.Dir != dir || s.Joined != 0 {
					t.Errorf("%s: %+v of %+v", way, s, parent)
				}
				if e.Path != path || e.How == "exited" && e.ExitCode != 0 || e.How == "signaled" || e.Microseconds <= 0 {
					t.Errorf("%s: %+v", way, e)
				}
			}
			w.failedStarts(t, list)
		})
	}
}

func (w *world) failedStarts(t *testing.T, list []programRecord) {
	t.Helper()
	failed := map[string]string{}
	for _, r := range list {
		if len(r.Data.Argv) == 2 && r.Data.Argv[0] == "fails" {
			failed[r.Data.Path] = fmt.Sprint(r.Data.Missing, " ", r.Data.Cut, " ", len(r.Data.Argv[1]) > 10_000)
		}
	}
	if got, want := fmt.Sprint(failed), "map[./absent:true false false ./garbage:false false false ./notes:false false false /bin/true:false true true]"; got != want {
		t.Errorf("on the record are %s, want %s", got, want)
	}
}

// Who is killed while it waits for an answer has started nothing, and is not on the record; what comes later is.
func TestKilledBeforeTheAnswer(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			b := w.start(t, `echo ready; (while [ ! -e go ]; do :; done; (exec /bin/true killed) & p=$!; echo >asked
				i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; kill -9 $p; wait $p; echo $? >code; /bin/true later; echo >over) & cat >/dev/null; wait`)
			w.stopped(t, b.cmd.Process.Pid, func() {
				w.WriteFile(t, filepath.Join(w.dir, "go"), "", 0o644)
				until(t, "it is killed", func() bool { return w.size("code") > 0 })
			})
			until(t, "it goes on", func() bool { return w.exists("over") })
			code, _ := os.ReadFile(filepath.Join(w.dir, "code"))
			if end := b.end(); end != 0 || string(code) != "137\n" {
				t.Errorf("ended with %d, its program with %q", end, code)
			}
			list := w.programs(t)
			killed, _ := about(list, "killed")
			later, ends := about(list, "later")
			if len(killed) != 0 || len(later) != 1 || len(ends) != 1 {
				t.Errorf("%d were killed; %d later, %d ends", len(killed), len(later), len(ends))
			}
		})
	}
}

// stopped does something while the supervisor cannot do anything.
func (w *world) stopped(t *testing.T, pid int, while func()) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGCONT)
	until(t, "the supervisor is stopped", func() bool {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return strings.Contains(string(stat), ") T ")
	})
	while()
}

// When the supervisor is killed nothing starts any more, and what has left a trace is on the record.
func TestKilledSupervisor(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			for range 3 {
				w := newWorld(t, find, "")
				b := w.start(t, `echo ready; i=0; while :; do i=$((i+1)); /bin/touch t$i; done`)
				until(t, "it starts programs", func() bool { _, err := os.Stat(filepath.Join(w.dir, "t20")); return err == nil })
				if err := b.cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				b.end()
				names, err := filepath.Glob(filepath.Join(w.dir, "t*"))
				if err != nil {
					t.Fatal(err)
				}
				recorded := map[string]bool{}
				for _, r := range w.programs(t) {
					if len(r.Data.Argv) == 2 {
						recorded[r.Data.Argv[1]] = true
					}
				}
				for _, name := range names {
					if !recorded[filepath.Base(name)] {
						t.Errorf("%s is there, and not on the record with its %d programs", filepath.Base(name), len(recorded))
					}
				}
			}
		})
	}
}

// Against the limit of processes, with as many programs waiting for an answer as there can be, all go on; what the
// supervisor remembers of them does not grow with their number.
func TestStormOfPrograms(t *testing.T) {
	boxtest.Need(t, "gcc")
	const count = 1500
	program := compiled(t, "../../testdata/starts/starts.c")
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "limits.pids = 60\n")
			w.WriteFile(t, filepath.Join(w.dir, "starts"), program, 0o755)
			b := w.start(t, fmt.Sprintf("echo ready; ./starts storm 500; echo once; read x; ./starts storm %d; echo $?; exec cat", count))
			b.line(t)
			before := resident(t, b.cmd.Process.Pid)
			fmt.Fprintln(b.stdin)
			if got := b.line(t); got != "0" {
				t.Errorf("it ended with %s", got)
			}
			if after := resident(t, b.cmd.Process.Pid); after > before+(16<<10) {
				t.Errorf("the supervisor took %d KiB, and takes %d", before, after)
			}
			b.end()
			starts, ends := 0, 0
			for _, r := range w.programs(t) {
				if r.Type == "program.start" && slices.Contains(r.Data.Argv, "storm") && r.Data.Path == "/bin/true" {
					starts++
				} else if r.Type == "program.end" && r.Data.Path == "/bin/true" {
					ends++
				}
			}
			if starts != count+500 || ends != count+500 {
				t.Errorf("%d starts and %d ends are on the record, of %d", starts, ends, count+500)
			}
		})
	}
}

// resident is the memory of a process in KiB.
func resident(t *testing.T, pid int) (kib int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "\nVmRSS:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}
