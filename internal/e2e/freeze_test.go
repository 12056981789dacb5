package e2e

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentbox/internal/boxtest"
	"agentbox/internal/session"
)

// The two ways to freeze: the kernel's freezer, for a box with a control group, and SIGSTOP from PID 1.
func frozenBy() map[string]struct {
	find    who
	profile string
} {
	return map[string]struct {
		find    who
		profile string
	}{
		"the kernel's freezer": {boxtest.Superuser, "[limits]\nmemory = '2GiB'"},
		"stop signals":         {mappedUser, ""},
	}
}

// freezeAndResume stops the session's box for a while and lets it go on.
func (w *world) freezeAndResume(t *testing.T, while func()) {
	t.Helper()
	if r := finish(t, w.agentbox(t, "freeze")); r.code != 0 {
		t.Fatalf("freeze: %+v", r)
	}
	while()
	if r := finish(t, w.agentbox(t, "resume")); r.code != 0 {
		t.Fatalf("resume: %+v", r)
	}
}

// size is that of a file in the project, or 0.
func (w *world) size(name string) int64 {
	fi, err := os.Stat(filepath.Join(w.dir, name))
	if err != nil {
		return 0
	}
	return fi.Size()
}

// quiet watches that nothing is written, for longer than processes that run would leave it.
func (w *world) quiet(t *testing.T, name string) {
	t.Helper()
	before := w.size(name)
	step := time.NewTicker(5 * time.Millisecond)
	defer step.Stop()
	for range 60 {
		<-step.C
		if now := w.size(name); now != before {
			t.Fatalf("while it was frozen, the box wrote %d bytes", now-before)
		}
	}
}

// storm is an agent that forks all the time, and says in a file that it does.
const storm = `
storm() { while :; do (echo x >>storm; :) & wait $!; done; }
storm & storm & storm & storm &
echo ready; exec cat`

// Processes that fork all the time are stopped as well, all of them, and go on.
func TestFreezeInAForkStorm(t *testing.T) {
	for how, by := range frozenBy() {
		t.Run(how, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, by.find, by.profile)
			w.start(t, storm)
			for range 5 {
				w.freezeAndResume(t, func() { w.quiet(t, "storm") })
				seen := w.size("storm")
				until(t, "the storm goes on", func() bool { return w.size("storm") > seen })
			}
		})
	}
}

// A box whose time is over while it is frozen does not go on to use the grace, which is for an agent that hears: it ends.
func TestTimeoutOfAFrozenBox(t *testing.T) {
	for how, by := range frozenBy() {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t, by.find, "[limits]\ntimeout = '5s'\ngrace = '1s'\n"+strings.TrimPrefix(by.profile, "[limits]\n"))
			b := w.start(t, `trap : TERM; echo ready; while :; do echo x >>work; sleep 0.01; done`)
			if r := finish(t, w.agentbox(t, "freeze")); r.code != 0 {
				t.Fatalf("freeze: %+v", r)
			}
			before := w.size("work")
			if code := b.end(); code != 124 || before == 0 || w.size("work") != before {
				t.Errorf("it ended with %d, and wrote %d bytes when it was frozen, %d in all", code, before, w.size("work"))
			}
		})
	}
}

// linger ends an agent with its input, so that there is a box to freeze even when its work is done.
const linger = "; read end || :"

// Programs do not notice that they are frozen and looked at: what they wait for comes, what they read and write is whole.
func TestFreezeLeavesProgramsUnharmed(t *testing.T) {
	boxtest.Need(t, boxtest.Python)
	digest := sha256.New()
	for i := range 2_000_000 {
		fmt.Fprintln(digest, i+1)
	}
	for how, by := range frozenBy() {
		for name, tc := range map[string]struct{ agent, want string }{
			"a pipe":  {`seq 2000000 | (read one; echo "$one"; cat) | sha256sum | cut -d" " -f1`, fmt.Sprintf("%x", digest.Sum(nil))},
			"a sleep": {`sleep 0.7 && echo slept`, "slept"},
			"timers": {python(`
import select, signal
rang = []
signal.signal(signal.SIGALRM, lambda *a: rang.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
r, w = os.pipe()
while len(rang) < 10: select.select([r], [], [], 0.3)
print("rang")`), "rang"},
			"a deadline": {python(`
import threading
print(threading.Event().wait(0.7), time.monotonic() > 0.7)`), "False True"},
		} {
			t.Run(how+"/"+name, func(t *testing.T) {
				w := newWorld(t, by.find, by.profile)
				b := w.start(t, "echo ready; read go; "+tc.agent+linger)
				fmt.Fprintln(b.stdin, "go")
				for range 3 {
					w.freezeAndResume(t, func() { w.evidence(t, 0) })
				}
				if got := b.line(t); got != tc.want {
					t.Errorf("got %q, want %q", got, tc.want)
				}
				if code := b.end(); code != 0 {
					t.Errorf("ended with %d", code)
				}
			})
		}
	}
}

// A compiler is many processes that read what others have just written.
func TestFreezeLeavesACompilerUnharmed(t *testing.T) {
	boxtest.Need(t, boxtest.Go)
	const build = `export GOCACHE=/tmp/cache GOFLAGS=-buildvcs=false CGO_ENABLED=0; echo ready; go build -o /tmp/hello . && /tmp/hello 2>&1` + linger
	for how, by := range frozenBy() {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t, by.find, by.profile)
			w.Path = w.goPath(t)
			w.WriteFile(t, filepath.Join(w.dir, "go.mod"), "module example.org/hello\n\ngo 1.21\n", 0o644)
			w.WriteFile(t, filepath.Join(w.dir, "main.go"), "package main\n\nfunc main() { println(\"built\") }\n", 0o644)
			b := w.start(t, build)
			for range 4 {
				w.freezeAndResume(t, func() { w.evidence(t, 0) })
			}
			if got := b.line(t); !strings.Contains(got, "built") {
				t.Errorf("the program said %q", got)
			}
			if code := b.end(); code != 0 {
				t.Errorf("ended with %d", code)
			}
		})
	}
}

// A command that was let in by a look at the session before it was frozen does not join it then.
func TestNobodyJoinsAFrozenBox(t *testing.T) {
	boxtest.Leftovers(t)
	w := newWorld(t, boxtest.Superuser, "")
	w.start(t, "echo ready; exec cat")
	info, err := session.Find("/run/agentbox", "", w.dir)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() session.Reply {
		reply, err := session.Call("/run/agentbox", info.ID, session.Request{Op: session.OpExec, Argv: []string{"true"}}, patience)
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
	if reply := ask(); !reply.OK || reply.Joined == 0 {
		t.Errorf("one that runs: %+v", reply)
	}
	w.freezeAndResume(t, func() {
		if reply := ask(); reply.OK || !strings.Contains(reply.Error, "frozen") {
			t.Errorf("one that is frozen: %+v", reply)
		}
	})
}
