package boxtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tmuxConf keeps the screen after the program has ended, and free of tmux's own
// line. It leaves window-size alone: "manual" ends tmux 3.3a at once, and
// resize-window sets it.
const tmuxConf = `set -g remain-on-exit on
set -g status off
set -g default-terminal tmux-256color
set -g set-clipboard on
set -sg escape-time 0
`

// pollStep is how often the screen is read while waiting.
const pollStep = 20 * time.Millisecond

// A Terminal is a program in a terminal of its own: a tmux server that nobody
// else uses, on a socket in the account's runtime directory.
type Terminal struct {
	t       testing.TB
	account *Account
	dir     string
	socket  string
}

// NewTerminal starts argv in dir, as the account, in a terminal of the given size. The
// server ends with the test.
func NewTerminal(t testing.TB, a *Account, dir string, width, height int, argv ...string) *Terminal {
	t.Helper()
	Need(t, Tmux)
	home, err := os.MkdirTemp(a.RuntimeDir, "tmux-")
	if err == nil {
		err = a.own(home)
	}
	if err != nil {
		t.Fatal(err)
	}
	term := &Terminal{t, a, dir, filepath.Join(home, "s")}
	conf := filepath.Join(home, "conf")
	a.WriteFile(t, conf, tmuxConf, 0o600)
	t.Cleanup(term.Close)
	// A single argument would go through a shell; env makes it two.
	args := append([]string{"-f", conf, "new-session", "-d", "-x", strconv.Itoa(width), "-y", strconv.Itoa(height),
		"--", "env"}, argv...)
	if _, err := term.run(args...); err != nil {
		t.Fatal(err)
	}
	return term
}

func (term *Terminal) run(args ...string) (string, error) {
	cmd := term.account.Command(term.t, term.dir, append([]string{"tmux", "-S", term.socket}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("tmux %s: %w", args[0], firstLine(out, err))
	}
	return string(out), nil
}

func (term *Terminal) must(args ...string) string {
	term.t.Helper()
	out, err := term.run(args...)
	if err != nil {
		term.t.Fatal(err)
	}
	return out
}

// Send presses keys, by tmux's names: "Enter", "C-c", "Up", or a single character.
func (term *Terminal) Send(keys ...string) {
	term.t.Helper()
	term.must(append([]string{"send-keys", "--"}, keys...)...)
}

// Type types text as it is.
func (term *Terminal) Type(text string) {
	term.t.Helper()
	term.must("send-keys", "-l", "--", text)
}

// Capture returns what the screen shows.
func (term *Terminal) Capture() string {
	term.t.Helper()
	return term.must("capture-pane", "-p")
}

// Resize gives the terminal another size.
func (term *Terminal) Resize(width, height int) {
	term.t.Helper()
	term.must("resize-window", "-x", strconv.Itoa(width), "-y", strconv.Itoa(height))
}

// WaitFor waits until the screen shows text and returns the screen. The test
// fails when that takes longer than limit.
func (term *Terminal) WaitFor(text string, limit time.Duration) string {
	term.t.Helper()
	return term.wait(fmt.Sprintf("show %q", text), limit, func(screen string) bool {
		return strings.Contains(screen, text)
	})
}

// WaitExit waits until the program has ended and returns its exit status, or 128
// and the number of the signal that killed it.
func (term *Terminal) WaitExit(limit time.Duration) int {
	term.t.Helper()
	code := -1
	term.wait("end", limit, func(string) bool {
		out := term.must("display-message", "-p", "#{pane_dead} #{pane_dead_status} #{pane_dead_signal}")
		dead, rest, _ := strings.Cut(strings.TrimRight(out, "\n"), " ")
		status, signal, _ := strings.Cut(rest, " ")
		if dead != "1" {
			return false
		}
		if n, err := strconv.Atoi(status); err == nil {
			code = n
		} else if n, err := strconv.Atoi(signal); err == nil {
			code = 128 + n
		} else {
			// tmux 3.3 can miss the SIGCHLD of the program it shows; that of a job makes it reap both.
			term.must("run-shell", "-b", "true")
		}
		return code >= 0
	})
	return code
}

func (term *Terminal) wait(what string, limit time.Duration, done func(screen string) bool) string {
	term.t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	step := time.NewTicker(pollStep)
	defer step.Stop()
	for {
		screen := term.Capture()
		if done(screen) {
			return screen
		}
		select {
		case <-deadline.C:
			term.t.Fatalf("the terminal does not %s within %v; it shows:\n%s", what, limit, screen)
		case <-step.C:
		}
	}
}

// Close ends the server and what runs in it. The test's end calls it too.
func (term *Terminal) Close() { term.run("kill-server") }
