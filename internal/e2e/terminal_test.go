package e2e

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
)

// waiting ends the script of an agent that only answers signals.
const waiting = `; sleep 1000 & while :; do wait; done`

// The box has a terminal of its own, which is the agent's controlling one, and the
// agent is its foreground job.
func TestTerminalOfTheBox(t *testing.T) {
	const script = `tty; : </dev/tty && test -t 0 && test -t 1 && test -t 2 && echo all three
set -- $(ps -o pgid=,tpgid=,tty= -p $$); test $1 = $$ && test $2 = $$ && echo $3; exit 3`
	const want = "/dev/pts/0\r\nall three\r\npts/0\r\n"
	boxtest.Need(t, "ps")
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			s := newScreen(t, 24, 80)
			if r := finish(t, s.on(w.agentbox(t, "run", "--", "sh", "-c", script))); r.code != 3 || r.err != "" {
				t.Errorf("%+v", r)
			}
			if diff := gocmp.Diff(want, s.all()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Where input and output are not both a terminal, or the caller wants none, the
// agent has none: not even the caller's controlling one.
func TestNoTerminal(t *testing.T) {
	script := []string{"--", "sh", "-c", `tty; sh -c 'exec </dev/tty' 2>/dev/null || echo none to open; test -t 1 || test -t 2 || echo none at all`}
	const want = "not a tty|none to open|none at all|"
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			for name, tc := range map[string]struct {
				options []string
				change  func(cmd *exec.Cmd, out *strings.Builder)
			}{
				"the caller wants none": {[]string{"run", "-T"}, func(*exec.Cmd, *strings.Builder) {}},
				"output is a pipe":      {[]string{"run"}, func(cmd *exec.Cmd, out *strings.Builder) { cmd.Stdout = out }},
				"input is a pipe":       {[]string{"run"}, func(cmd *exec.Cmd, _ *strings.Builder) { cmd.Stdin, cmd.SysProcAttr.Ctty = strings.NewReader(""), 1 }},
			} {
				t.Run(name, func(t *testing.T) {
					s := newScreen(t, 24, 80)
					cmd := s.on(w.agentbox(t, append(tc.options, script...)...))
					var out strings.Builder
					tc.change(cmd, &out)
					r := finish(t, cmd)
					got := strings.NewReplacer("\r\n", "|", "\n", "|").Replace(s.all() + out.String())
					if r.code != 0 || got != want {
						t.Errorf("%+v, and the terminal shows %q", r, got)
					}
				})
			}
		})
	}
}

// However a box ends, the person gets the terminal back with the settings that it
// had, and with every mode undone that the agent left set.
func TestTheTerminalComesBack(t *testing.T) {
	kill := func(signal syscall.Signal, victim func(t testing.TB, supervisor int) int) func(*screen, int) {
		return func(s *screen, supervisor int) {
			if err := syscall.Kill(victim(s.t, supervisor), signal); err != nil {
				s.t.Error(err)
			}
		}
	}
	supervisor := func(_ testing.TB, s int) int { return s }
	agent := func(t testing.TB, s int) int { return only(t, only(t, s)) }
	for name, tc := range map[string]struct {
		end  func(s *screen, supervisor int)
		code int
	}{
		"the agent ends":               {func(s *screen, _ int) { s.send("\n") }, 3},
		"Ctrl-C":                       {func(s *screen, _ int) { s.send("\x03") }, 130},
		"the agent is killed":          {kill(syscall.SIGKILL, agent), 137},
		"PID 1 is killed":              {kill(syscall.SIGKILL, only), 137},
		"TERM is sent to agentbox":     {kill(syscall.SIGTERM, supervisor), 143},
		"HUP is sent to agentbox":      {kill(syscall.SIGHUP, supervisor), 129},
		"the agent is killed by QUIT":  {func(s *screen, _ int) { s.send("\x1c") }, 131},
		"agentbox is asked to kill it": {func(s *screen, _ int) { s.send("kill\n") }, 137},
	} {
		t.Run(name, func(t *testing.T) {
			for account, find := range accounts() {
				t.Run(account, func(t *testing.T) {
					boxtest.Leftovers(t)
					w := newWorld(t, find, "")
					s := newScreen(t, 24, 80)
					before := s.modes()
					cmd := w.agentbox(t, "run", "--", "sh", "-c",
						`printf '\033[?1049h\033[?2004h\033[?1000h\033[?25l'; echo ready; read -r word; test "$word" = kill && kill -9 $$; exit 3`)
					wait := s.begin(cmd)
					s.shows("ready", 1)
					until(t, "the terminal is raw", s.isRaw)
					tc.end(s, cmd.Process.Pid)
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
				})
			}
		})
	}
}

// A start that fails has not touched the terminal.
func TestTheTerminalAfterAFailedStart(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			s := newScreen(t, 24, 80)
			before := s.modes()
			for name, tc := range map[string]struct {
				cmd  *exec.Cmd
				code int
			}{
				"no such command": {w.agentbox(t, "run", "--", "./nothing"), 127},
				"a layer missing": {boxtest.DenyCmd(t, w.agentbox(t, "run", "--", "true"), deny(unix.SYS_SECCOMP, unix.ENOSYS)...), 69},
			} {
				if r := finish(t, s.on(tc.cmd)); r.code != tc.code || s.modes() != before {
					t.Errorf("%s: %+v, and settings changed: %v", name, r, s.modes() != before)
				}
			}
			if got := s.all(); got != "" {
				t.Errorf("the terminal shows %q", got)
			}
		})
	}
}

// The agent knows the size from its first instruction, and hears of every change.
func TestWindowSizes(t *testing.T) {
	const script = `trap 'stty size' WINCH; stty size` + waiting
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			w.start(t, idle)
			for _, how := range []string{"run", "exec"} {
				s := newScreen(t, 41, 131)
				cmd := w.agentbox(t, how, "--", "sh", "-c", script)
				wait := s.begin(cmd)
				s.shows("41 131\r\n", 1)
				for _, n := range []uint16{50, 60, 3} {
					s.resize(n, n+100)
					s.shows(fmt.Sprintf("%d %d\r\n", n, n+100), 1)
				}
				if cmd.Process.Signal(unix.SIGTERM); wait() != 143 {
					t.Errorf("%s ended with %d", how, wait())
				}
			}
		})
	}
}

// Ctrl-C is the agent's own, however often it is pressed: agentbox, whose third
// SIGTERM or SIGINT ends the box, gets no signal. Ctrl-D ends the input.
func TestKeysOfTheAgent(t *testing.T) {
	const script = `trap 'n=$((n+1)); echo INT $n' INT; trap 'echo QUIT; trap - INT QUIT; cat; exit 9' QUIT; echo ready` + waiting
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			w.start(t, idle)
			for _, how := range []string{"run", "exec"} {
				s := newScreen(t, 24, 80)
				wait := s.begin(w.agentbox(t, how, "--", "sh", "-c", script))
				s.shows("ready", 1)
				for n := range 5 {
					s.send("\x03")
					s.shows(fmt.Sprintf("INT %d\r\n", n+1), 1)
				}
				s.send("\x1c")
				s.shows("QUIT", 1)
				s.send("line\n")
				s.shows("line\r\nline\r\n", 1)
				s.send("\x04")
				if code := wait(); code != 9 {
					t.Errorf("%s ended with %d", how, code)
				}
			}
		})
	}
}

// Nothing of a large output is lost at the end, and the agent's last words are not.
func TestLargeOutputOnATerminal(t *testing.T) {
	const lines = 50_000
	var want strings.Builder
	for n := range lines {
		fmt.Fprintf(&want, "%d\r\n", n+1)
	}
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			s := newScreen(t, 24, 80)
			if r := finish(t, s.on(w.agentbox(t, "run", "--", "seq", fmt.Sprint(lines)))); r.code != 0 {
				t.Errorf("%+v", r)
			}
			if got := s.all(); got != want.String() {
				t.Errorf("%d bytes of %d arrived, or others", len(got), want.Len())
			}
		})
	}
}

// A sequence is what the agent writes, as printf(1) takes it. Each arrives at the
// person's terminal where the profile lets its class through.
type sequence struct {
	text    string
	class   string // "always", "never", or one that a profile can name
	arrives string // empty: as it was written
}

var sequences = map[string]sequence{
	"colours":                       {text: `\033[1;31mred\033[0m`, class: "always"},
	"a title":                       {text: `\033]2;title\033\\`, class: "always"},
	"a link to the web":             {text: `\033]8;;https://example.org\033\\x\033]8;;\033\\`, class: "always"},
	"a question about the terminal": {text: `\033[c`, class: "always"},
	"text in the clipboard":         {text: `\033]52;c;aGVsbG8=\033\\`, class: "clipboard"},
	"a look at the clipboard":       {text: `\033]52;c;?\033\\`, class: "clipboard"},
	"the clipboard by UTF-8":        {text: `\302\23552;c;aGVsbG8=\302\234`, class: "clipboard", arrives: `\033]52;c;aGVsbG8=\033\\`},
	"the title as input":            {text: `\033[21t`, class: "title"},
	"a file":                        {text: `\033]1337;File=name=eA==:eA==\033\\`, class: "files"},
	"a link to a file":              {text: `\033]8;;file:///etc/passwd\033\\`, class: "never"},
	"keys with a meaning":           {text: `\033P1;1|17/6c73\033\\`, class: "never"},
	"a parcel for tmux":             {text: `\033Ptmux;x\033\\`, class: "never"},
	"a program of the terminal":     {text: `\033]9;7;sh\033\\`, class: "never"},
	"a print":                       {text: `\033[5i`, class: "never"},
	"an 8-bit introducer":           {text: `\23521t`, class: "never"},
}

func TestControlSequences(t *testing.T) {
	var script strings.Builder
	for name, q := range sequences {
		fmt.Fprintf(&script, "printf '\\n%%s<' '%s'; printf '%s'; printf '>'\n", name, q.text)
	}
	for account, find := range rootAndUser() {
		for _, class := range []string{"", "clipboard", "title", "files"} {
			t.Run(strings.TrimSpace(account+" "+class), func(t *testing.T) {
				w := newWorld(t, find, "")
				if class != "" {
					w.profile(t, "[agent]\nterminal_allow = ['"+class+"']\n")
				}
				w.start(t, idle)
				for _, how := range []string{"run", "exec"} {
					s := newScreen(t, 24, 80)
					if r := finish(t, s.on(w.agentbox(t, how, "--", "sh", "-c", script.String()))); r.code != 0 {
						t.Errorf("%s: %+v", how, r)
					}
					checkSequences(t, how, class, s.all())
				}
			})
		}
	}
}

func checkSequences(t *testing.T, how, class, got string) {
	t.Helper()
	for name, q := range sequences {
		_, rest, _ := strings.Cut(got, "\n"+name+"<")
		text, _, found := strings.Cut(rest, ">")
		want := strings.NewReplacer(`\033`, "\x1b", `\\`, `\`).Replace(cmp.Or(q.arrives, q.text))
		passes := q.class == "always" || q.class == class
		if !found || passes && text != want || !passes && (strings.ContainsAny(text, "\x1b\u009d") || !utf8.ValidString(text)) {
			t.Errorf("%s, %s, with %q let through: %q", how, name, class, text)
		}
	}
}

// outerShell is a bash in a terminal, as a person uses one.
func outerShell(t *testing.T, find who) (*world, *boxtest.Terminal) {
	t.Helper()
	boxtest.Need(t, boxtest.Tmux)
	w := newWorld(t, find, "")
	rc := filepath.Join(w.RuntimeDir, "bashrc")
	w.WriteFile(t, rc, "PS1='ready> '; PATH="+filepath.Dir(w.bin)+":$PATH\n", 0o600)
	term := boxtest.NewTerminal(t, w.Account, w.dir, 120, 40, "bash", "--rcfile", rc)
	term.WaitFor("ready>", patience)
	return w, term
}

// settings are those of a terminal that no program has made raw.
const settings = `stty -a | grep -o ' icanon' | tr a-z A-Z`

// Ctrl-Z stops the agent and gives the outer shell its terminal; fg gives it back,
// with the size that it has then.
func TestJobOfTheOuterShell(t *testing.T) {
	const agent = `trap "echo continued; stty size" CONT; trap "echo bye; exit 7" INT; echo started` + waiting
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w, term := outerShell(t, find)
			w.WriteFile(t, filepath.Join(w.dir, "agent"), agent, 0o644)
			term.Type("agentbox run -- sh agent; echo code $?\n")
			term.WaitFor("started", patience)
			term.Send("C-z")
			term.WaitFor("Stopped", patience)
			term.Type("clear; " + settings + "\n")
			term.WaitFor(" ICANON", patience)
			term.Resize(100, 30)
			term.Type("clear; until stty size | grep -q '30 100'; do :; done; fg; echo code $?\n")
			term.WaitFor("continued\n30 100", patience)
			term.Send("C-z")
			term.WaitFor("Stopped", patience)
			term.Type("clear; echo again; fg; echo code $?\n")
			until(t, "the agent has continued again", func() bool {
				_, since, _ := strings.Cut(term.Capture(), "again\n")
				return strings.Contains(since, "continued\n30 100")
			})
			term.Send("C-c")
			term.WaitFor("bye\ncode 7", patience)
			term.Type("clear; " + settings + "\n")
			term.WaitFor(" ICANON", patience)
		})
	}
}

// kill -9 leaves agentbox no moment to restore the terminal, and nothing in a box
// may reach it. A shell that reads lines itself sets its own modes again, so
// the person can go on.
func TestTheOuterShellAfterTheSupervisorIsKilled(t *testing.T) {
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w, term := outerShell(t, find)
			w.WriteFile(t, filepath.Join(w.dir, "agent"), "echo started; exec sleep 1000", 0o644)
			term.Type("echo $$ >shell; agentbox run -- sh agent; echo code $?\n")
			term.WaitFor("started", patience)
			shell, err := os.ReadFile(filepath.Join(w.dir, "shell"))
			if err != nil {
				t.Fatal(err)
			}
			var pid int
			fmt.Sscan(string(shell), &pid)
			if err := syscall.Kill(only(t, pid), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			term.WaitFor("code 137", patience)
			term.Type("clear; " + settings + "\n")
			term.WaitFor(" ICANON", patience)
			if r := w.run(t, "true"); r.code != 0 { // it clears up
				t.Errorf("the next start: %+v", r)
			}
		})
	}
}
