package e2e

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
)

// leave are the keys that leave a session.
const leave = "\x10\x11"

// attachTo attaches from a terminal of the test's own.
func (w *world) attachTo(t *testing.T, options ...string) (s *screen, cmd *exec.Cmd, wait func() int) {
	t.Helper()
	s = newScreen(t, 30, 100)
	cmd = w.agentbox(t, append([]string{"attach"}, options...)...)
	return s, cmd, s.begin(cmd)
}

// A detached session's terminal is joined, left, joined again and by two at once; its agent goes on all the while,
// and its exit code is everybody's.
func TestAttachOnATerminal(t *testing.T) {
	const script = `tty; echo started; trap 'echo INT' INT; while :; do read -r line || continue; echo "got $line"; test "$line" = end && exit 7; stty size; done`
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			id := w.detach(t, script, "-t")
			one, _, left := w.attachTo(t)
			one.shows("/dev/pts/0\r\nstarted\r\n", 1) // before it was attached
			before := one.modes()
			until(t, "the terminal is raw", one.isRaw)
			one.send("hello\r")
			one.shows("got hello\r\n30 100\r\n", 1)
			one.resize(31, 101)
			one.send("again\r")
			one.shows("got again\r\n", 1)
			one.send(leave)
			if code := left(); code != 0 {
				t.Errorf("left with %d", code)
			}
			if one.isRaw() {
				t.Errorf("the terminal is still raw: %v", before)
			}
			if w.ps(t)[id].State != "running" {
				t.Fatal("the session has ended")
			}
			two, _, endOfTwo := w.attachTo(t, id[:11])
			three, _, endOfThree := w.attachTo(t, id)
			two.shows("got again\r\n", 1)
			three.shows("got again\r\n", 1)
			two.send("\x03")
			two.shows("INT\r\n", 1)
			three.shows("INT\r\n", 1)
			three.send("end\r")
			two.shows("got end\r\n", 1)
			if a, b := endOfTwo(), endOfThree(); a != 7 || b != 7 {
				t.Errorf("ended with %d and %d", a, b)
			}
			if s := w.ended(t, id); s.End == nil || s.End.ExitCode != 7 || !s.Terminal {
				t.Errorf("ps --all: %+v", s)
			}
		})
	}
}

// Ctrl-C is the agent's. One that does not care for it ends by it, and everybody hears how.
func TestCtrlCOfAnAttachedTerminal(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			w.detach(t, "echo started; exec sleep 1000", "-t")
			s, _, wait := w.attachTo(t)
			s.shows("started", 1)
			until(t, "the terminal is raw", s.isRaw)
			s.send("\x03")
			if code := wait(); code != 130 {
				t.Errorf("ended with %d", code)
			}
		})
	}
}

// However an attachment ends, the person gets the terminal back with the settings that it had and with every mode
// undone that the agent left set.
func TestTheTerminalComesBackFromAttach(t *testing.T) {
	for name, tc := range map[string]struct {
		end   func(s *screen, attach, supervisor int)
		code  int
		alive bool
	}{
		"the keys":              {func(s *screen, _, _ int) { s.send(leave) }, 0, true},
		"the agent ends":        {func(s *screen, _, _ int) { s.send("\r") }, 3, false},
		"Ctrl-C":                {func(s *screen, _, _ int) { s.send("\x03") }, 130, false},
		"TERM to attach":        {func(_ *screen, a, _ int) { syscall.Kill(a, syscall.SIGTERM) }, 143, true},
		"HUP to attach":         {func(_ *screen, a, _ int) { syscall.Kill(a, syscall.SIGHUP) }, 129, true},
		"the supervisor killed": {func(_ *screen, _, s int) { syscall.Kill(s, syscall.SIGKILL) }, 137, false},
		"TERM to supervisor":    {func(_ *screen, _, s int) { syscall.Kill(s, syscall.SIGTERM) }, 143, false},
	} {
		t.Run(name, func(t *testing.T) {
			for account, find := range rootAndUser() {
				t.Run(account, func(t *testing.T) {
					boxtest.Leftovers(t)
					w := newWorld(t, find, "")
					id := w.detach(t, `printf '\033[?1049h\033[?2004h\033[?1000h\033[?25l'; echo ready; read -r word; exit 3`, "-t")
					supervisor := w.ps(t)[id].PID
					s := newScreen(t, 24, 80)
					before := s.modes()
					cmd := w.agentbox(t, "attach")
					wait := s.begin(cmd)
					s.shows("ready", 1)
					until(t, "the terminal is raw", s.isRaw)
					tc.end(s, cmd.Process.Pid, supervisor)
					if code := wait(); code != tc.code {
						t.Errorf("ended with %d, not with %d", code, tc.code)
					}
					if diff := gocmp.Diff(before, s.modes()); diff != "" {
						t.Errorf("settings (-before +after)\n%s", diff)
					}
					_, after, _ := strings.Cut(s.all(), "ready")
					for _, undo := range []string{"\x1b[?1049l", "\x1b[?2004l", "\x1b[?1000l", "\x1b[?25h"} {
						if !strings.Contains(after, undo) {
							t.Errorf("%q is missing in %q", undo, after)
						}
					}
					if alive := w.ps(t)[id].State == "running"; alive != tc.alive {
						t.Errorf("the session goes on: %v", alive)
					}
					w.endAll(t)
					if w.run(t, "true").code != 0 { // sweeps
						t.Error("the next start")
					}
				})
			}
		})
	}
}

// What the filter takes out reaches the person's terminal neither by attach nor by logs, with a terminal of the box
// or without.
func TestControlSequencesOfADetachedSession(t *testing.T) {
	const script = `printf '\033]52;c;aGVsbG8=\033\\\033[21t\033[1mbold\033[0m\n'; echo done`
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			w.WriteFile(t, filepath.Join(w.dir, "go"), "", 0o666)
			for _, option := range []string{"-t", "-T"} {
				id := w.detach(t, script+"; exec sleep 1000", option)
				for _, how := range [][]string{{"attach", id}, {"logs", "-f", id}} {
					s := newScreen(t, 24, 80)
					cmd := w.agentbox(t, how...)
					wait := s.begin(cmd)
					s.shows("done", 1)
					cmd.Process.Signal(syscall.SIGTERM)
					wait()
					if got := s.all(); strings.Contains(got, "\x1b]52") || strings.Contains(got, "\x1b[21t") || !strings.Contains(got, "\x1b[1mbold") {
						t.Errorf("%v of %s: %q", how[0], option, got)
					}
				}
				raw := finish(t, w.agentbox(t, "logs", id)).out
				if has := strings.Contains(raw, "\x1b]52"); has != (option == "-T") {
					t.Errorf("logs of %s into a pipe: %q", option, raw)
				}
				finish(t, w.agentbox(t, "kill", "--now", id))
			}
		})
	}
}

// Without a terminal the streams stay apart, and the agent has an input where it was asked for.
func TestAttachWithoutATerminal(t *testing.T) {
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			id := w.detach(t, "echo ready >&2; cat; echo eof >&2; exit 5", "--interactive")
			cmd := w.agentbox(t, "attach", id)
			cmd.Stdin = strings.NewReader("hello\n")
			if r := finish(t, cmd); r.code != 5 || r.out != "hello\n" || r.err != "ready\neof\n" {
				t.Errorf("%+v", r)
			}
			w.WriteFile(t, filepath.Join(w.dir, "go"), "", 0o666)
			id = w.detach(t, "cat; echo no input"+waitingFor("go"))
			until(t, "it has read", func() bool { return finish(t, w.agentbox(t, "logs", id)).out == "no input\n" })
			cmd = w.agentbox(t, "attach", id)
			cmd.Stdin = strings.NewReader("hello\n")
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			text := make([]byte, 20)
			n, _ := out.Read(text) // it is attached
			if !w.exists("go") {
				t.Error("it did not wait")
			}
			rest, err := io.ReadAll(out)
			if cmd.Wait(); cmd.ProcessState.ExitCode() != 0 || string(text[:n])+string(rest) != "no input\n" || err != nil {
				t.Errorf("ended with %d, %q%q, %v", cmd.ProcessState.ExitCode(), text[:n], rest, err)
			}
		})
	}
}

// Ctrl-C in an attached terminal reaches an agent that has none.
func TestCtrlCWithoutATerminalOfTheBox(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			id := w.detach(t, "trap 'echo INT; exit 4' INT; echo ready"+waiting)
			s, _, wait := w.attachTo(t, id)
			s.shows("ready", 1)
			s.send("\x03")
			s.shows("INT", 1)
			if code := wait(); code != 4 {
				t.Errorf("ended with %d", code)
			}
		})
	}
}

// A client that does not read holds up neither the agent nor the others, nor the end.
func TestAClientThatDoesNotRead(t *testing.T) {
	boxtest.Leftovers(t)
	w := newWorld(t, mappedUser, "")
	w.WriteFile(t, filepath.Join(w.dir, "go"), "", 0o666)
	id := w.detach(t, "echo ready"+waitingFor("go")+"head -c 3000000 /dev/zero; exit 6")
	lazy := w.agentbox(t, "attach", id)
	pipe, err := lazy.StdoutPipe()
	if err == nil {
		err = lazy.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	pipe.Read(make([]byte, 6))
	if err := lazy.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer lazy.Wait()
	defer lazy.Process.Kill()
	brisk := w.agentbox(t, "attach", id)
	out, err := brisk.StdoutPipe()
	if err == nil {
		err = brisk.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	first, _ := out.Read(make([]byte, 6)) // it is attached
	w.exists("go")
	defer time.AfterFunc(patience, func() { brisk.Process.Kill() }).Stop()
	rest, err := io.Copy(io.Discard, out)
	if brisk.Wait(); brisk.ProcessState.ExitCode() != 6 || first+int(rest) != 3000000+len("ready\n") || err != nil {
		t.Errorf("ended with %d after %d bytes, %v", brisk.ProcessState.ExitCode(), first+int(rest), err)
	}
	supervisor := w.ps(t)[id].PID
	until(t, "the supervisor has ended", func() bool { return gone(supervisor) })
}

// As a person does it, in a real terminal: start, look, leave, close the window, look again.
func TestDetachedInARealTerminal(t *testing.T) {
	const agent = `echo started; trap "echo bye; exit 7" INT; while :; do read -r line && echo "got $line"; done`
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w, term := outerShell(t, find)
			w.WriteFile(t, filepath.Join(w.dir, "agent"), agent, 0o644)
			term.Type("id=$(agentbox run -d -t -- sh agent); echo code $? $id\n")
			term.WaitFor("code 0 1", patience)
			term.Type("clear; agentbox attach; echo code $?\n")
			term.WaitFor("started", patience)
			term.Type("hello\n")
			term.WaitFor("got hello", patience)
			term.Send("C-p", "C-q")
			term.WaitFor("which goes on\ncode 0", patience)
			term.Type("clear; " + settings + "\n")
			term.WaitFor(" ICANON", patience)
			term.Type("clear; agentbox attach\n")
			term.WaitFor("got hello", patience)
			term.Close() // hangs up
			r := finish(t, w.agentbox(t, "ps"))
			if !strings.Contains(r.out, "  running  ") {
				t.Errorf("ps: %+v", r)
			}
			s, _, wait := w.attachTo(t)
			s.shows("got hello", 1)
			until(t, "the terminal is raw", s.isRaw)
			s.send("\x03")
			if code := wait(); code != 7 || !strings.Contains(s.all(), "bye") {
				t.Errorf("ended with %d: %q", code, s.all())
			}
		})
	}
}

// Other keys than docker's leave those to the agent.
func TestDetachKeysCanBeChosen(t *testing.T) {
	w := newWorld(t, mappedUser, "")
	id := w.detach(t, "stty -ixon; cat -v", "-t")
	s, _, wait := w.attachTo(t, "--detach-keys", "ctrl-]", id)
	until(t, "the terminal is raw", s.isRaw)
	s.send(leave + "x\r")
	s.shows("^P^Qx\r\n", 1)
	s.send("\x1d")
	if code := wait(); code != 0 {
		t.Errorf("ended with %d", code)
	}
	if r := finish(t, w.agentbox(t, "attach", "--detach-keys", "ctrl", id)); r.code != 64 {
		t.Errorf("%+v", r)
	}
}

// A frozen box stands still, says so, is not joined, and can be ended.
func TestFreezeAndResume(t *testing.T) {
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			id := w.detach(t, "trap 'exit 9' TERM; n=0; while :; do n=$((n+1)); echo $n >count; done")
			count := func() string {
				data, _ := os.ReadFile(filepath.Join(w.dir, "count"))
				return string(data)
			}
			goesOn := func() {
				t.Helper()
				before := count()
				until(t, "the agent goes on", func() bool { c := count(); return c != before && c != "" })
			}
			goesOn()
			for range 3 {
				if r := finish(t, w.agentbox(t, "freeze")); r.code != 0 {
					t.Fatalf("freeze: %+v", r)
				}
				before := count()
				if s := w.ps(t)[id]; s.State != "frozen" || s.Usage.Pids == 0 {
					t.Errorf("ps: %+v", s)
				}
				if r := finish(t, w.agentbox(t, "exec", "--", "true")); r.code != 125 || !strings.Contains(r.err, "is frozen") {
					t.Errorf("exec: %+v", r)
				}
				if after := count(); after != before {
					t.Errorf("it counted from %s to %s", before, after)
				}
				if r := finish(t, w.agentbox(t, "resume", id)); r.code != 0 || w.ps(t)[id].State != "running" {
					t.Fatalf("resume: %+v", r)
				}
				goesOn()
			}
			finish(t, w.agentbox(t, "freeze"))
			if r := finish(t, w.agentbox(t, "kill")); r.code != 0 {
				t.Errorf("kill: %+v", r)
			}
			if s := w.ended(t, id); s.End == nil || s.End.ExitCode != 9 {
				t.Errorf("the agent had no chance: %+v", s)
			}
		})
	}
}
