package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"agentbox/internal/boxtest"
)

// waiting is a project of an account in which the changes of a session wait.
type waiting struct {
	t       *testing.T
	account *boxtest.Account
	dir     string
	binary  string
}

// waits makes a project of 400 files, and a session whose agent wrote to each of them.
func waits(t *testing.T, find func(testing.TB) *boxtest.Account) *waiting {
	t.Helper()
	w := &waiting{t: t, binary: boxtest.Binary(t), account: find(t)}
	w.dir = boxtest.Project(t, w.account)
	for i := range 400 {
		w.account.WriteFile(t, filepath.Join(w.dir, fmt.Sprintf("d%d/f%d", i%20, i)), "host\n", 0o644)
	}
	w.must("run", "--", "sh", "-c", "for f in d*/*; do echo agent >$f; done; rm -r d7; mkdir n; echo n >n/n")
	return w
}

func (w *waiting) command(args ...string) *exec.Cmd {
	return w.account.Command(w.t, w.dir, append([]string{w.binary}, args...)...)
}

func (w *waiting) must(args ...string) string {
	w.t.Helper()
	out, err := w.command(args...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// state counts the files that are as the host had them, and as the agent left them; other ones are a fault.
func (w *waiting) state() (host, agent int) {
	w.t.Helper()
	err := filepath.Walk(w.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		switch string(data) {
		case "host\n":
			host++
		case "agent\n", "n\n":
			agent++
		default:
			w.t.Errorf("%s holds %q", path, data)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return host, agent
}

// cut kills an apply as soon as a mark of the engine is there; it reports whether that was in time.
func (w *waiting) cut(mark string) bool {
	w.t.Helper()
	found, err := filepath.Glob(filepath.Join(w.account.Home, ".local/state/agentbox/sessions/*/workspace"))
	if err != nil || len(found) != 1 {
		w.t.Fatal(found, err)
	}
	cmd := w.command("apply", "--all")
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		if _, err := os.Lstat(filepath.Join(found[0], mark)); err == nil {
			_ = cmd.Process.Signal(syscall.SIGKILL) // or it has ended
			return <-ended != nil
		}
		select {
		case err := <-ended:
			if err != nil {
				w.t.Error(err)
			}
			return false
		default:
		}
	}
}

// Wherever an apply is killed, the next command leaves the project as before it or as after it, says which, and has it on
// record.
func TestKilledApplyIsRepaired(t *testing.T) {
	boxtest.Need(t, boxtest.Userns)
	boxtest.Leftovers(t)
	for account, find := range map[string]func(testing.TB) *boxtest.Account{"root": boxtest.Superuser, "a user": boxtest.User} {
		for _, mark := range []string{"apply.begin", "apply.journal", "apply.done"} {
			t.Run(account+" at "+mark, func(t *testing.T) {
				w := waits(t, find)
				if !w.cut(mark) {
					t.Log("it ended before it was killed")
					return
				}
				out, err := w.command("apply", "--dry-run", "--all").CombinedOutput()
				host, agent := w.state()
				undone, finished := strings.Contains(string(out), "cut off: it was undone"), strings.Contains(string(out), "cut off: it was finished, receipt ")
				switch {
				case undone == finished || err != nil:
					t.Errorf("%v\n%s", err, out)
				case undone && (host != 400 || agent != 0), finished && (host != 0 || agent != 381):
					t.Errorf("%d files of the host, %d of the agent\n%s", host, agent, out)
				}
				log := w.must("log")
				outcome := map[bool]string{true: "undone", false: "finished"}[undone]
				if !regexp.MustCompile(`(?s)workspace.begin .*log.continue +a further part by user \d+; the one before has no seal\n.*workspace.recover +an apply that was cut off was ` + outcome).MatchString(log) {
					t.Error(log)
				}
				if strings.Contains(log, "workspace.apply") != finished {
					t.Error(log)
				}
				w.must("apply", "--all")
				if host, agent := w.state(); host != 0 || agent != 381 {
					t.Errorf("in the end %d files of the host, %d of the agent", host, agent)
				}
			})
		}
	}
}

// An apply that is interrupted writes all or nothing, and says which.
func TestInterruptedApply(t *testing.T) {
	boxtest.Need(t, boxtest.Userns)
	boxtest.Leftovers(t)
	w := waits(t, boxtest.User)
	found, err := filepath.Glob(filepath.Join(w.account.Home, ".local/state/agentbox/sessions/*/workspace"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	cmd := w.command("apply", "--all")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Lstat(filepath.Join(found[0], "apply.begin")); err == nil {
			break
		}
		if _, err := os.Lstat(found[0]); err != nil {
			break
		}
	}
	_ = cmd.Process.Signal(syscall.SIGINT)
	err = cmd.Wait()
	host, agent := w.state()
	switch code := cmd.ProcessState.ExitCode(); {
	case code == 0 && host == 0 && agent == 381: // it had been decided
	case code == 130 && host == 400 && agent == 0 && strings.Contains(out.String(), "interrupted by SIGINT\nagentbox: nothing was applied\n"):
	default:
		t.Errorf("%v: %d files of the host, %d of the agent\n%s", err, host, agent, out.String())
	}
	if left, _ := filepath.Glob(filepath.Join(w.dir, ".agentbox-*")); left != nil {
		t.Error(left)
	}
}

// On a terminal, a command that does not say what to apply shows what there is, and asks.
func TestApplyAndDiscardAskOnATerminal(t *testing.T) {
	term, dir := shell(t, map[string]string{"a": "host\n"})
	term.Type("agentbox run --apply none -- sh -c 'echo agent >a; echo new >b'; echo code $?\n")
	term.WaitFor("code 0", limit)
	content := func() string {
		data, err := os.ReadFile(filepath.Join(dir, "a"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for _, step := range []struct{ command, question, answer, want, code, a string }{
		{"apply", "apply nothing? [a/i/N]", "\n", "nothing was applied", "code 1", "host\n"},
		{"discard", "for ever? [y/N]", "\n", "nothing was discarded", "code 1", "host\n"},
		{"apply", "apply nothing? [a/i/N]", "\x03", "nothing was applied", "code 130", "host\n"},
		{"apply a", "", "", "1 change applied, receipt ", "code 0", "agent\n"},
		{"apply", "apply nothing? [a/i/N]", "i\nn\n", "nothing was applied", "code 1", "agent\n"},
		{"discard", "1 change (1 added) of session", "y\n", "the project is as it was", "code 0", "agent\n"},
	} {
		term.Type("clear; agentbox " + step.command + "; echo code $?\n")
		if step.question != "" {
			term.WaitFor(step.question, limit)
			term.Type(step.answer)
		}
		screen := term.WaitFor(step.code, limit)
		if !strings.Contains(screen, step.want) || content() != step.a {
			t.Errorf("%s, answered %q: the file holds %q, the screen\n%s", step.command, step.answer, content(), screen)
		}
	}
}
