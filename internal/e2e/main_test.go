package e2e

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentbox/internal/boxtest"
)

// patience is how long something may take that takes milliseconds.
const patience = 20 * time.Second

func TestMain(m *testing.M) { os.Exit(boxtest.Main(m)) }

// A who finds an account. Which box it gets is the key in accounts.
type who func(testing.TB) *boxtest.Account

// accounts returns the ways to start a box: root, a user whose IDs newuidmap
// maps, and a user without, whose box nests two user namespaces. Each skips its
// own test where the machine lacks it.
func accounts() map[string]who {
	return map[string]who{"root": boxtest.Superuser, "user": mappedUser, "bare user": boxtest.BareUser}
}

// rootAndUser leaves the bare user out.
func rootAndUser() map[string]who {
	return map[string]who{"root": boxtest.Superuser, "user": mappedUser}
}

func mappedUser(t testing.TB) *boxtest.Account {
	boxtest.Need(t, boxtest.Userns)
	boxtest.Need(t, boxtest.Newuidmap)
	return boxtest.User(t)
}

// A world is an account with a project and the binary.
type world struct {
	*boxtest.Account
	dir, bin string
}

// newWorld makes a project for the account and, unless the text is empty, a
// profile of the account's own, which lies over the preset that run takes.
func newWorld(t testing.TB, find who, profile string) *world {
	t.Helper()
	w := &world{Account: find(t), bin: boxtest.Binary(t)}
	w.dir = boxtest.Project(t, w.Account)
	w.Path = "/usr/bin:/bin"
	w.profile(t, profile)
	return w
}

// profile writes the person's profile. The workspace is of mode "rw" in it unless the text says another: what the agent
// wrote is to be on the host.
func (w *world) profile(t testing.TB, text string) {
	t.Helper()
	const direct = "mode = \"rw\"\n"
	switch {
	case strings.Contains(text, "mode ="):
	case strings.Contains(text, "[workspace]\n"):
		text = strings.Replace(text, "[workspace]\n", "[workspace]\n"+direct, 1)
	default:
		text = "workspace." + direct + text
	}
	w.WriteFile(t, filepath.Join(w.Home, ".config/agentbox/profile.toml"), text, 0o644)
}

// agentbox is a command of the binary, as the account, in the project.
func (w *world) agentbox(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	return w.Command(t, w.dir, append([]string{w.bin}, args...)...)
}

// run runs an agent to its end.
func (w *world) run(t testing.TB, agent ...string) result {
	t.Helper()
	return finish(t, w.agentbox(t, append([]string{"run", "--"}, agent...)...))
}

// sh runs a shell script as the agent.
func (w *world) sh(t testing.TB, script string) result {
	t.Helper()
	return w.run(t, "sh", "-c", script)
}

// A result is how a command ended: its exit code as a shell would say it.
type result struct {
	code     int
	out, err string
}

func finish(t testing.TB, cmd *exec.Cmd) result {
	t.Helper()
	var out, diag strings.Builder
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	cmd.Stderr = &diag
	err := cmd.Run()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), diag.String()}
}

// exists says whether the project has a file, and takes it away.
func (w *world) exists(name string) bool {
	return os.Remove(filepath.Join(w.dir, name)) == nil
}

// A running box has an agent that has said that it is ready.
type running struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
}

// start runs a shell script as the agent and waits for its first line. The box
// ends with its input, or with the test.
func (w *world) start(t testing.TB, script string, options ...string) *running {
	t.Helper()
	args := append([]string{"run"}, options...)
	b := &running{cmd: w.agentbox(t, append(args, "--", "sh", "-c", script)...)}
	stdin, err1 := b.cmd.StdinPipe()
	stdout, err2 := b.cmd.StdoutPipe()
	b.cmd.Stderr = os.Stderr
	if err := errors.Join(err1, err2, b.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	b.stdin, b.out = stdin, bufio.NewReader(stdout)
	t.Cleanup(func() { b.end() })
	b.line(t)
	return b
}

// line is the agent's next line.
func (b *running) line(t testing.TB) string {
	t.Helper()
	line, err := b.out.ReadString('\n')
	if err != nil {
		t.Fatalf("the agent said %q, and then: %v", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

// end closes the agent's input and returns the exit code of agentbox, which is
// killed if that takes too long.
func (b *running) end() int {
	if b.cmd.ProcessState == nil {
		b.stdin.Close()
		defer time.AfterFunc(patience, func() { b.cmd.Process.Kill() }).Stop()
		io.Copy(io.Discard, b.out)
		b.cmd.Wait()
	}
	return b.cmd.ProcessState.ExitCode()
}

// until polls until done, and fails the test when that takes too long.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	step := time.NewTicker(2 * time.Millisecond)
	defer step.Stop()
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", patience, what)
		}
		<-step.C
	}
}

// idle is an agent that waits for the end of its input.
const idle = `echo ready; exec cat`
