package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
)

// trapping is an agent that names each signal that reaches it.
const trapping = `for s in INT HUP QUIT USR1 USR2 WINCH; do trap "echo $s" $s; done; trap 'echo TERM; exit 9' TERM; echo ready` + waiting

// trapped are the signals that must reach it, the one that ends it at last.
var trapped = []unix.Signal{unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGTERM}

// ways are the two ways to start a command, in a world with a running box.
var ways = []string{"run", "exec"}

// begin starts a command whose agent says by its first line that it is ready.
func begin(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	b := &running{cmd, stdin, bufio.NewReader(stdout)}
	t.Cleanup(func() { b.end() })
	late := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	t.Cleanup(func() { late.Stop() })
	b.line(t)
	return b
}

func TestSignalsReachTheAgent(t *testing.T) {
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			w.start(t, idle)
			for _, how := range ways {
				b := begin(t, w.agentbox(t, how, "--", "sh", "-c", trapping))
				for _, s := range trapped {
					b.cmd.Process.Signal(s)
					if got := "SIG" + b.line(t); got != unix.SignalName(s) {
						t.Errorf("%s: sent %s, the agent got %s", how, unix.SignalName(s), got)
					}
				}
				if code := b.end(); code != 9 {
					t.Errorf("%s: ended with %d", how, code)
				}
			}
		})
	}
}

// The same with a terminal, where WINCH without another size is news, too: a program
// that was asked to draw again does so.
func TestSignalsReachTheAgentOfATerminal(t *testing.T) {
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			w.start(t, idle)
			for _, how := range ways {
				s := newScreen(t, 24, 80)
				cmd := w.agentbox(t, how, "--", "sh", "-c", trapping)
				wait := s.begin(cmd)
				s.shows("ready\r\n", 1)
				for _, sig := range trapped {
					cmd.Process.Signal(sig)
					s.shows(strings.TrimPrefix(unix.SignalName(sig), "SIG")+"\r\n", 1)
				}
				if code := wait(); code != 9 {
					t.Errorf("%s: ended with %d", how, code)
				}
			}
		})
	}
}

// Two requests to end are the agent's to handle; the third within five seconds is not.
func TestRequestsToEnd(t *testing.T) {
	const patient = `trap 'echo TERM' TERM; echo ready` + waiting
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			w.start(t, idle)
			for _, how := range ways {
				b := begin(t, w.agentbox(t, how, "--", "sh", "-c", patient))
				for range 2 {
					b.cmd.Process.Signal(unix.SIGTERM)
					if got := b.line(t); got != "TERM" {
						t.Errorf("%s: the agent got %s", how, got)
					}
				}
				b.cmd.Process.Signal(unix.SIGTERM)
				if code := b.end(); code != 137 {
					t.Errorf("%s: the third request ended it with %d", how, code)
				}
			}
		})
	}
}

// A signal that ends the agent ends agentbox with 128 and its number. What a
// terminal sends to a job goes to all of the agent's job, also where there is no
// terminal: a shell that waits for its child would never hear of it.
func TestSignalsThatEndTheAgent(t *testing.T) {
	scripts := map[string]string{"at once": `echo ready; exec sleep 1000`, "its child": `trap : INT QUIT; sh -c "echo ready; exec sleep 1000"; exit $?`}
	signals := map[string][]unix.Signal{
		"at once":   {unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2},
		"its child": {unix.SIGINT, unix.SIGQUIT},
	}
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			w.start(t, idle)
			for _, how := range ways {
				for which, script := range scripts {
					for _, s := range signals[which] {
						b := begin(t, w.agentbox(t, how, "--", "sh", "-c", script))
						b.cmd.Process.Signal(s)
						if code := b.end(); code != 128+int(s) {
							t.Errorf("%s, %s, %s: ended with %d", how, which, unix.SignalName(s), code)
						}
					}
				}
			}
		})
	}
}

// nohup(1) and a shell's background jobs ignore signals, and so does the agent then.
func TestSignalsThatTheCallerIgnores(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			for _, how := range []string{"nohup " + w.bin, w.bin} {
				cmd := w.Command(t, w.dir, "sh", "-c", "exec "+how+` run -- sh -c 'trap "echo HUP" HUP; trap "exit 4" USR1; echo ready`+waiting+"'")
				b := begin(t, cmd)
				b.cmd.Process.Signal(unix.SIGHUP)
				if how == w.bin {
					b.line(t)
				}
				b.cmd.Process.Signal(unix.SIGUSR1)
				if code := b.end(); code != 4 {
					t.Errorf("%s: ended with %d", how, code)
				}
			}
		})
	}
}

// The person closes the window: the agent hears of it, as it would without a box,
// and the box ends with it.
func TestTheTerminalGoesAway(t *testing.T) {
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			s := newScreen(t, 24, 80)
			wait := s.begin(w.agentbox(t, "run", "--", "sh", "-c", `trap 'echo hangup >mark; exit 5' HUP; echo ready`+waiting))
			s.shows("ready\r\n", 1)
			s.slave.Close()
			s.master.Close()
			if code := wait(); code != 5 || !w.exists("mark") {
				t.Errorf("ended with %d", code)
			}
		})
	}
}

// An agent that stops itself waits for the CONT that somebody sends to agentbox's
// job, and agentbox waits for the agent.
func TestAnAgentThatStopsItself(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			b := w.start(t, `echo ready; kill -STOP $$; echo goes on; exit 6`)
			agent := only(t, only(t, b.cmd.Process.Pid))
			until(t, "the agent is stopped", func() bool {
				stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", agent))
				return strings.Contains(string(stat), ") T ")
			})
			if r := finish(t, w.agentbox(t, "kill", "-s", "CONT")); r.code != 0 {
				t.Errorf("%+v", r)
			}
			if line, code := b.line(t), b.end(); line != "goes on" || code != 6 {
				t.Errorf("said %q, ended with %d", line, code)
			}
		})
	}
}
