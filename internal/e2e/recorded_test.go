package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"agentbox/internal/boxtest"
)

// programStarts counts, by argument, the starts of /bin/true on the record of the latest session, and how many of them
// have an end with code 0.
func (w *world) programStarts(t *testing.T) (starts map[string]int, ended int) {
	t.Helper()
	starts = map[string]int{}
	for line := range strings.Lines(finish(t, w.agentbox(t, "log", "--json", "--type", "program")).out) {
		var r struct {
			Type string
			Data struct {
				Path     string
				Argv     []string
				How      string
				ExitCode int `json:"exit_code"`
			}
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		switch {
		case r.Data.Path != "/bin/true":
		case r.Type == "program.start" && len(r.Data.Argv) == 2:
			starts[r.Data.Argv[1]]++
		case r.Type == "program.end" && r.Data.How != "signaled" && r.Data.ExitCode == 0:
			ended++
		}
	}
	return starts, ended
}

// Ten thousand programs that live for a millisecond are all on the record, once, however they were started, and none
// notices. A line of the profile turns it off.
func TestTenThousandPrograms(t *testing.T) {
	boxtest.Need(t, "gcc")
	program := compiled(t, "../../testdata/starts/starts.c")
	signals, err := os.ReadFile(boxtest.Signals(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			w.WriteFile(t, filepath.Join(w.dir, "starts"), program, 0o755)
			w.WriteFile(t, filepath.Join(w.dir, "signals"), string(signals), 0o755)
			r := w.sh(t, `i=0; while [ $i -lt 3000 ]; do /bin/true loop || exit 9; i=$((i+1)); done
				i=0; while [ $i -lt 500 ]; do /bin/true left | /bin/true right || exit 8; i=$((i+1)); done
				./starts double 2000 && ./starts signals 1000 && ./signals 1000 /bin/true go && ./starts race 2000`)
			if r.code != 0 {
				t.Fatalf("%+v", r)
			}
			starts, ended := w.programStarts(t)
			race := starts["A-race"] + starts["B-race"]
			delete(starts, "A-race")
			delete(starts, "B-race")
			if got, want := fmt.Sprint(starts, race, ended), "map[double:2000 go:1000 left:500 loop:3000 right:500 signals:1000] 2000 10000"; got != want {
				t.Errorf("on the record are %s, want %s", got, want)
			}
			if r := finish(t, w.agentbox(t, "log", "verify")); r.code != 0 {
				t.Errorf("%+v", r)
			}
			w.profile(t, "audit.exec = false\n")
			if r := w.sh(t, "/bin/true loop"); r.code != 0 {
				t.Fatalf("%+v", r)
			}
			if starts, _ := w.programStarts(t); len(starts) != 0 {
				t.Errorf("with audit.exec = false: %v", starts)
			}
		})
	}
}

// While the supervisor is stopped no program starts; afterwards all goes on, and nothing is missing.
func TestNothingStartsUnrecorded(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			b := w.start(t, `echo ready; (while [ ! -e stop ]; do /bin/true loop || exit 9; echo >>n; done; touch over) & cat >/dev/null; touch stop; wait`)
			until(t, "it starts programs", func() bool { return w.size("n") > 10 })
			var stopped int64
			w.stopped(t, b.cmd.Process.Pid, func() {
				stopped = w.startsNothing(t)
			})
			until(t, "it goes on", func() bool { return w.size("n") > stopped+10 })
			if code := b.end(); code != 0 || !w.exists("over") {
				t.Errorf("it ended with %d", code)
			}
			starts, ended := w.programStarts(t)
			if n := int(w.size("n")); starts["loop"] != n || ended != n {
				t.Errorf("%d programs ran; on the record are %v, and %d ends", n, starts, ended)
			}
		})
	}
}

// startsNothing checks that a loop which adds to the file n for each program stands still, and returns where.
func (w *world) startsNothing(t *testing.T) int64 {
	t.Helper()
	before := w.size("n")
	w.settled(t, "n")
	after := w.size("n")
	if after > before+1 { // one had its answer
		t.Errorf("%d programs started while nobody was there to record them", after-before)
	}
	return after
}

// settled returns when a file has not grown for a while.
func (w *world) settled(t *testing.T, name string) {
	t.Helper()
	last, same := w.size(name), 0
	until(t, name+" is left alone", func() bool {
		now := w.size(name)
		if same++; now != last {
			last, same = now, 0
		}
		return same > 100
	})
}

// compiled is a program of C, for a project.
func compiled(t *testing.T, source string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	compile(t, program, source)
	code, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	return string(code)
}

// compile makes a program of C.
func compile(t *testing.T, program string, sources ...string) {
	t.Helper()
	if out, err := exec.Command("gcc", append([]string{"-O1", "-pthread", "-o", program}, sources...)...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
}
