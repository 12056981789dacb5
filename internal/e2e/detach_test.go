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
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
)

// detach starts a shell script as a detached agent and returns the session's ID.
func (w *world) detach(t testing.TB, script string, options ...string) string {
	t.Helper()
	args := slices.Concat([]string{"run", "--detach"}, options, []string{"--", "sh", "-c", script})
	return w.detached(t, finish(t, w.agentbox(t, args...)))
}

// detached reads the answer of `run --detach`; the session ends with the test.
func (w *world) detached(t testing.TB, r result) string {
	t.Helper()
	id := strings.TrimSuffix(r.out, "\n")
	if r.code != 0 || len(id) != 12 || r.err != "" {
		t.Fatalf("run --detach: %+v", r)
	}
	t.Cleanup(func() { w.agentbox(t, "kill", "--now", id).Run() })
	return id
}

// A listed session is what `ps --all --json` says of one.
type listed struct {
	ID, State   string
	PID         int
	Workspace   string
	Detached    bool
	Terminal    bool
	OutputBytes int64        `json:"output_bytes"`
	Uptime      float64      `json:"uptime_seconds"`
	End         *sessionEnd  `json:"result"`
	Usage       sessionUsage `json:"usage"`
}

type sessionEnd struct {
	Cause    string
	ExitCode int `json:"exit_code"`
}

type sessionUsage struct {
	Memory uint64 `json:"memory_bytes"`
	Pids   uint64
	Limits []struct{ Name, Value, State string }
}

// ps lists the sessions of this project.
func (w *world) ps(t testing.TB) map[string]listed {
	t.Helper()
	var answer struct{ Sessions []listed }
	r := finish(t, w.agentbox(t, "ps", "--all", "--json"))
	if err := json.Unmarshal([]byte(r.out), &answer); err != nil {
		t.Fatalf("%v in %+v", err, r)
	}
	list := map[string]listed{}
	for _, s := range answer.Sessions {
		if s.Workspace == w.dir {
			list[s.ID] = s
		}
	}
	return list
}

// ended waits for a session's end.
func (w *world) ended(t testing.TB, id string) listed {
	t.Helper()
	until(t, "session "+id+" has ended", func() bool { s := w.ps(t)[id]; return s.State == "ended" || s.State == "lost" })
	return w.ps(t)[id]
}

// waitingFor ends the script of an agent that goes on when the test removes a file.
func waitingFor(name string) string { return "; while test -e " + name + "; do :; done; " }

// The output, the exit code and the two streams of a detached session can be had while it runs and after its end.
func TestDetachedSession(t *testing.T) {
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			w.WriteFile(t, filepath.Join(w.dir, "go"), "", 0o666)
			id := w.detach(t, `echo out; echo err >&2; read -r x || echo no input; pwd`+waitingFor("go")+`echo end; exit 3`)
			s := w.ps(t)[id]
			if s.State != "running" || !s.Detached || s.Terminal || s.Usage.Pids == 0 || s.Uptime <= 0 {
				t.Errorf("ps: %+v", s)
			}
			checkSupervisor(t, s.PID, w.dir)
			follow := w.agentbox(t, "logs", "--follow")
			var out, errs strings.Builder
			follow.Stdout, follow.Stderr = &out, &errs
			if err := follow.Start(); err != nil {
				t.Fatal(err)
			}
			if !w.exists("go") {
				t.Fatal("it did not wait")
			}
			defer time.AfterFunc(patience, func() { follow.Process.Kill() }).Stop()
			follow.Wait()
			want := "out\nno input\n" + w.dir + "\nend\n"
			if follow.ProcessState.ExitCode() != 0 || out.String() != want || errs.String() != "err\n" {
				t.Errorf("logs --follow: %d, %q, %q", follow.ProcessState.ExitCode(), &out, &errs)
			}
			if s := w.ended(t, id); s.End == nil || s.End.Cause != "exited" || s.End.ExitCode != 3 || s.OutputBytes == 0 {
				t.Errorf("ps --all: %+v", s)
			}
			if r := finish(t, w.agentbox(t, "logs", id[:11])); r.code != 0 || r.out != want || r.err != "err\n" {
				t.Errorf("logs: %+v", r)
			}
			if r := finish(t, w.agentbox(t, "attach", id)); r.code != 1 || !strings.Contains(r.err, "has ended") {
				t.Errorf("attach: %+v", r)
			}
		})
	}
}

// checkSupervisor sees that a supervisor holds nothing of its caller but the working directory.
func checkSupervisor(t *testing.T, pid int, dir string) {
	t.Helper()
	if sid, err := unix.Getsid(pid); err != nil || sid != pid {
		t.Errorf("its session is %d, not %d (%v)", sid, pid, err)
	}
	for n := range 3 {
		if to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, n)); to != "/dev/null" {
			t.Errorf("its descriptor %d is %q (%v)", n, to, err)
		}
	}
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); cwd != dir {
		t.Errorf("it works in %q (%v)", cwd, err)
	}
}

// A start that fails ends as `run` would have ended, with the same words, and is not listed.
func TestDetachedStartFails(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			w.WriteFile(t, filepath.Join(w.dir, "bad.toml"), "colour = 'red'\n", 0o644)
			w.WriteFile(t, filepath.Join(w.dir, "script"), "#!/bin/sh\n", 0o644)
			for name, tc := range map[string]struct {
				options []string
				code    int
			}{
				"a wrong option":       {[]string{"--mode", "none", "--", "true"}, 64},
				"a wrong profile":      {[]string{"-p", "./bad.toml", "--", "true"}, 65},
				"no such profile":      {[]string{"-p", "nothing", "--", "true"}, 64},
				"not executable":       {[]string{"--", "./script"}, 126},
				"not found":            {[]string{"--", "nothing"}, 127},
				"no command":           {nil, 64},
				"no place for results": {[]string{"--result", "nowhere/x", "--", "true"}, 64},
				"a layer missing":      {[]string{"--", "true"}, 69},
			} {
				here := w.agentbox(t, append([]string{"run"}, tc.options...)...)
				there := w.agentbox(t, append([]string{"--color", "never", "run", "-d"}, tc.options...)...)
				if tc.code == 69 {
					no := deny(unix.SYS_SECCOMP, unix.ENOSYS)
					here, there = boxtest.DenyCmd(t, here, no...), boxtest.DenyCmd(t, there, no...)
				}
				want, got := finish(t, here), finish(t, there)
				if diff := gocmp.Diff(want, got, gocmp.AllowUnexported(result{})); diff != "" || got.code != tc.code {
					t.Errorf("%s: ended with %d; (-run +run --detach)\n%s", name, got.code, diff)
				}
			}
			if list := w.ps(t); len(list) > 0 {
				t.Errorf("listed: %+v", list)
			}
			state := filepath.Join(w.Home, ".local/state/agentbox/sessions")
			if names, _ := os.ReadDir(state); len(names) > 0 {
				t.Errorf("%s holds %v", state, names)
			}
		})
	}
}

// Ctrl-C at twenty points of the way: either the ID was printed and the session runs, or nothing is left. After kill -9 a
// session may run whose ID nobody was told; "ps" tells it.
func TestSignalsDuringADetachedStart(t *testing.T) {
	const points = 20
	for account, find := range rootAndUser() {
		for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
			t.Run(account+" "+signal.String(), func(t *testing.T) {
				boxtest.Leftovers(t)
				w := newWorld(t, find, "")
				began := time.Now()
				id := w.detach(t, "sleep 1000")
				whole := time.Since(began)
				finish(t, w.agentbox(t, "kill", "--now", id))
				for i := range points {
					cmd := w.agentbox(t, "run", "-d", "--", "sleep", "1000")
					stop := time.AfterFunc(whole*time.Duration(i)/points, func() {
						until(t, "it runs", func() bool { return cmd.Process != nil })
						cmd.Process.Signal(signal)
					})
					r := finish(t, cmd)
					stop.Stop()
					switch {
					case r.code == 0:
						w.detached(t, r)
					case signal == syscall.SIGINT && r.code != 130 && r.code != -1: // -1: before it took signals
						t.Errorf("point %d: %+v", i, r)
					case signal == syscall.SIGKILL:
						// The supervisor has noticed at the latest when it could not tell the ID. Killed between being told and
						// saying so, it leaves a session that runs, and that is listed.
						until(t, "the session runs, or has ended", func() bool { return !starts(w.ps(t)) })
					}
					w.endAll(t)
				}
			})
		}
	}
}

func starts(list map[string]listed) bool {
	for _, s := range list {
		if s.State == "starting" {
			return true
		}
	}
	return false
}

func (w *world) endAll(t testing.TB) {
	for id, s := range w.ps(t) {
		if s.State == "running" {
			finish(t, w.agentbox(t, "kill", "--now", id))
		}
	}
}

// When its supervisor is killed, the box goes, the listing says so, and the next start clears up.
func TestKilledSupervisorOfADetachedSession(t *testing.T) {
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			id := w.detach(t, "echo started; sleep 1000 & sleep 1000", "--result", "result.json")
			supervisor := w.ps(t)[id].PID
			first := only(t, supervisor)
			agent := only(t, first)
			attached := w.agentbox(t, "attach")
			stdout, err := attached.StdoutPipe()
			var errs strings.Builder
			attached.Stderr = &errs
			if err == nil {
				err = attached.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stdout.Read(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(supervisor, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if attached.Wait(); attached.ProcessState.ExitCode() != 137 || !strings.Contains(errs.String(), "was killed") {
				t.Errorf("attach ended with %d: %s", attached.ProcessState.ExitCode(), &errs)
			}
			until(t, "the box has gone", func() bool { return gone(first) && gone(agent) })
			if s := w.ended(t, id); s.State != "lost" || s.End != nil {
				t.Errorf("ps --all: %+v", s)
			}
			if r := finish(t, w.agentbox(t, "logs", "-f", id)); r.out != "started\n" || r.code != 0 {
				t.Errorf("logs: %+v", r)
			}
			if r := w.run(t, "true"); r.code != 0 || r.err != "" {
				t.Errorf("the next start: %+v", r)
			}
		})
	}
}

// Two sessions of one project: the latest is meant, an ID says otherwise, and a prefix of both is refused.
func TestTwoSessionsOfAProject(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			one := w.detach(t, "echo one; trap 'exit 11' TERM"+waiting)
			two := w.detach(t, "echo two; trap 'exit 22' TERM"+waiting)
			w.start(t, idle) // in the foreground, and not meant by attach and logs
			if s := w.ps(t); s[one].State != "running" || s[two].State != "running" || len(s) != 3 {
				t.Fatalf("ps: %+v", s)
			}
			until(t, "both have spoken", func() bool {
				return finish(t, w.agentbox(t, "logs", one)).out == "one\n" && finish(t, w.agentbox(t, "logs")).out == "two\n"
			})
			for _, command := range [][]string{{"logs", one[:1]}, {"attach", one[:1]}, {"kill", one[:1]}, {"freeze", one[:1]}, {"exec", one[:1], "--", "true"}} {
				if r := finish(t, w.agentbox(t, command...)); r.code == 0 || !strings.Contains(r.err, "ambiguous session ID") || !strings.Contains(r.err, two) {
					t.Errorf("%v: %+v", command, r)
				}
			}
			for id, code := range map[string]int{one: 11, two: 22} {
				attached := w.agentbox(t, "attach", "--no-input", id)
				out, err := attached.StdoutPipe()
				if err == nil {
					err = attached.Start()
				}
				if err != nil {
					t.Fatal(err)
				}
				out.Read(make([]byte, 10)) // it is attached
				if r := finish(t, w.agentbox(t, "kill", id)); r.code != 0 {
					t.Errorf("kill: %+v", r)
				}
				if attached.Wait(); attached.ProcessState.ExitCode() != code {
					t.Errorf("attach to %s ended with %d", id, attached.ProcessState.ExitCode())
				}
				if s := w.ended(t, id); s.End == nil || s.End.ExitCode != code {
					t.Errorf("ps --all: %+v", s)
				}
			}
			if r := finish(t, w.agentbox(t, "kill", one)); r.code != 1 || !strings.Contains(r.err, "has ended") {
				t.Errorf("kill of one that has ended: %+v", r)
			}
		})
	}
}

// What is kept has an end, at both ends, and a fast agent is not held up by a slow reader.
func TestDetachedOutputIsBounded(t *testing.T) {
	w := newWorld(t, mappedUser, "")
	const lines = 3_000_000
	id := w.detach(t, fmt.Sprintf("seq %d; touch mark", lines))
	until(t, "all is written", func() bool { return w.exists("mark") })
	if s := w.ended(t, id); s.OutputBytes > 8<<20 {
		t.Errorf("%d bytes are kept", s.OutputBytes)
	}
	r := finish(t, w.agentbox(t, "logs", id))
	if !strings.HasPrefix(r.out, "1\n2\n3\n") || !strings.HasSuffix(r.out, fmt.Sprintf("\n%d\n", lines)) || !strings.Contains(r.err, "were not kept") {
		t.Errorf("%d bytes, from %.20q, %q", len(r.out), r.out, r.err)
	}
}

// The agent of a detached session finds neither its socket nor what is kept.
func TestDetachedSessionIsNotInTheBox(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			state := filepath.Join(w.Home, ".local/state/agentbox")
			script := fmt.Sprintf(`ls -d %s/agentbox /run/agentbox %s; find / -name attach.sock -o -name control.sock 2>/dev/null; cat /proc/net/unix | tail -n +2; echo end`, w.RuntimeDir, state)
			id := w.detach(t, script)
			w.ended(t, id)
			if r := finish(t, w.agentbox(t, "logs", id)); r.out != "end\n" {
				t.Errorf("it found %+v", r)
			}
		})
	}
	t.Run("a workspace that holds it", func(t *testing.T) {
		w := newWorld(t, mappedUser, "")
		cmd := w.agentbox(t, "run", "-d", "--", "touch", "ran")
		cmd.Env = append(cmd.Env, "XDG_STATE_HOME="+filepath.Join(w.dir, "state"))
		if r := finish(t, cmd); r.code != 65 || w.exists("ran") || !strings.Contains(r.err, "where agentbox keeps its own files") {
			t.Errorf("%+v", r)
		}
	})
}
