package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentbox/internal/boxtest"
)

// What a joined command starts is on the record, itself included, under the number of the command; and it counts.
func TestJoinedCommandsOnRecord(t *testing.T) {
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "limits.execs = 8\n")
			b := w.start(t, idle) // a shell, and cat
			first := finish(t, w.agentbox(t, "exec", "--", "sh", "-c", "/bin/true first; exec /bin/sh -c '/bin/true last; exit 3'"))
			second := finish(t, w.agentbox(t, "exec", "--", "/bin/true", "second"))
			third := finish(t, w.agentbox(t, "exec", "--", "sh", "-c", "/bin/true over || echo refused"))
			fourth := finish(t, w.agentbox(t, "exec", "--", "/bin/true"))
			const unavailable = "cannot be executed in the box: resource temporarily unavailable"
			if first.code != 3 || second.code != 0 || third.out != "refused\n" || fourth.code != 126 || !strings.Contains(fourth.err, unavailable) {
				t.Errorf("%+v\n%+v\n%+v\n%+v", first, second, third, fourth)
			}
			b.end()
			list := w.programs(t)
			for word, want := range map[string]string{"first": "1 1 ", "last": "1 1 ", "second": "1 2 ", "echo ready; exec cat": "1 0 "} {
				starts, ends := about(list, word)
				got := fmt.Sprintf("%d ", len(starts))
				for _, s := range starts {
					got += fmt.Sprintf("%d %s", s.Data.Joined, s.Data.Refused)
				}
				if got != want || len(ends) != 1 || ends[0].Data.Joined != starts[0].Data.Joined {
					t.Errorf("%s: %q, want %q; %+v", word, got, want, ends)
				}
			}
			if n := strings.Count(finish(t, w.agentbox(t, "log", "--json", "--type", "session.exec")).out, `"joined":`); n != 4 {
				t.Errorf("%d commands have a number", n)
			}
		})
	}
}

// While the supervisor is stopped a joined command starts nothing, and the client that waits for it may be killed: what it
// started fails only when the command ends with it.
func TestJoinedCommandsWaitForTheSupervisor(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			b := w.start(t, idle)
			joined := w.agentbox(t, "exec", "--", "sh", "-c", `while [ ! -e stop ]; do /bin/true loop || exit 9; echo >>n; done; echo >over`)
			if err := joined.Start(); err != nil {
				t.Fatal(err)
			}
			until(t, "it starts programs", func() bool { return w.size("n") > 10 })
			var at int64
			w.stopped(t, b.cmd.Process.Pid, func() {
				at = w.startsNothing(t)
				if r := finish(t, w.agentbox(t, "exec", "--", "touch", "RAN")); r.code == 0 || !strings.Contains(r.err, "could not be put on record") || w.exists("RAN") {
					t.Errorf("another command: %+v", r)
				}
			})
			until(t, "it goes on", func() bool { return w.size("n") > at+10 })
			w.WriteFile(t, filepath.Join(w.dir, "stop"), "", 0o644)
			if err := joined.Wait(); err != nil || !w.exists("over") {
				t.Errorf("%v", err)
			}
			b.end()
			starts, ended := w.programStarts(t)
			if n := int(w.size("n")); starts["loop"] != n || ended != n {
				t.Errorf("%d programs ran; on the record are %v, and %d ends", n, starts, ended)
			}
		})
	}
}

// A supervisor that has gone takes no command, and a client that is killed leaves the agent's programs alone.
func TestJoinedCommandsWhoseClientIsKilled(t *testing.T) {
	boxtest.Leftovers(t)
	w := newWorld(t, boxtest.Superuser, "")
	b := w.start(t, `echo ready; while [ ! -e stop ]; do /bin/true agent || exit 9; echo >>n; done; cat`)
	joined := w.agentbox(t, "exec", "--", "sh", "-c", `while :; do /bin/true loop || exit 9; echo >>m; done`)
	if err := joined.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "both start programs", func() bool { return w.size("n") > 5 && w.size("m") > 5 })
	if err := joined.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = joined.Wait() // killed
	at := w.size("n")
	until(t, "the agent goes on", func() bool { return w.size("n") > at+20 })
	w.settled(t, "m")
	if err := os.WriteFile(filepath.Join(w.dir, "stop"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if code := b.end(); code != 0 {
		t.Errorf("ended with %d", code)
	}
	starts, _ := w.programStarts(t)
	if n, m := int(w.size("n")), int(w.size("m")); starts["agent"] != n || starts["loop"] < m || starts["loop"] > m+1 {
		t.Errorf("%d and %d ran; on the record are %v", n, m, starts)
	}
}
