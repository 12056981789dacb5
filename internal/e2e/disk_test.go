package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
)

// A medium is one of the ways to keep what an agent writes, with who has it.
type medium struct {
	find        who
	upper       string
	enforcement string
	full        string // what the agent or the person is told when the limit is reached
	code        int    // how a box ends that writes on and on
}

func media(t testing.TB) map[string]medium {
	t.Helper()
	const told = "No space left on device"
	m := map[string]medium{
		"root, a file system in a file": {boxtest.Superuser, "disk", "kernel", told, 1},
		"root, memory":                  {boxtest.Superuser, "tmpfs", "kernel", told, 1},
		"user, memory":                  {mappedUser, "tmpfs", "kernel", told, 1},
		"bare user, memory":             {boxtest.BareUser, "tmpfs", "kernel", told, 1},
		"user, watched":                 {mappedUser, "disk", "watched", "disk limit 16MiB reached", 137},
	}
	if why := lacksLoop(); why != "" {
		t.Logf("no file system in a file: %s", why)
		delete(m, "root, a file system in a file")
	}
	return m
}

func lacksLoop() string {
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return err.Error()
	}
	if !boxtest.Has("mkfs.ext4") {
		return "there is no mkfs.ext4"
	}
	return ""
}

func (m medium) profile(disk string) string {
	return fmt.Sprintf("upper = %q\n[limits]\ndisk = %q\nenforcement = %q\n", m.upper, disk, m.enforcement)
}

// What an agent writes is bounded, in bytes and in names, whatever it does with them. With a larger limit it does the same
// and nobody minds.
func TestDiskLimit(t *testing.T) {
	boxtest.Need(t, boxtest.Python)
	const overlay = "[workspace]\nmode = \"overlay\"\n"
	scripts := map[string]struct{ script, narrow, wide string }{
		"one file after the other":    {`for i in 1 2 3 4; do head -c 12M /dev/zero >big$i || exit 1; done; sleep 0.4`, "16MiB", "64MiB"},
		"one large file":              {`head -c 24M /dev/zero >big && head -c 24M /dev/zero >more && sleep 0.4`, "16MiB", "64MiB"},
		"more names than bytes":       {python(`[open("f%d" % i, "w").close() for i in range(10100)]; time.sleep(0.4)`), "16MiB", "256MiB"},
		"files that have no name":     {python(`l = [os.open("x%d" % i, os.O_CREAT | os.O_WRONLY) for i in range(4)]; [os.unlink("x%d" % i) for i in range(4)]; [os.write(f, bytes(12 << 20)) for f in l]; time.sleep(0.4)`), "16MiB", "64MiB"},
		"behind a closed directory":   {`mkdir d; exec 7>d/a 8>d/b 9>d/c; chmod 0 d; for i in 7 8 9; do head -c 12M /dev/zero >&$i || exit 1; done; sleep 0.4; chmod 700 d`, "16MiB", "64MiB"},
		"a file of the project grown": {`for i in 1 2 3 4; do head -c 12M /dev/zero >>big || exit 1; mv big big$i; done; sleep 0.4`, "16MiB", "64MiB"},
	}
	for name, m := range media(t) {
		t.Run(name, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newOverlay(t, m.find, "")
			for what, s := range scripts {
				t.Run(what, func(t *testing.T) {
					code, full := m.code, m.full
					if code == 137 && what == "one large file" {
						code, full = 153, "File size limit exceeded" // of each process alone, by the kernel
					}
					r := w.attempt(t, attempt{script: s.script, profile: overlay + m.profile(s.narrow)})
					if r.code != code || !strings.Contains(r.err, full) {
						t.Errorf("%+v", r)
					}
					// What is full at the end is said, too, whoever was told before; a process that the kernel ended at the
					// limit may be gone before somebody has looked, or not.
					told := code == 137 || code == 1 && what != "files that have no name"
					if said := strings.Contains(r.err, "disk limit 16MiB reached"); said != told && code != 153 {
						t.Errorf("people are told: %v: %s", said, r.err)
					}
					if r := w.attempt(t, attempt{script: s.script, profile: overlay + m.profile(s.wide)}); r.code != 0 {
						t.Errorf("with a wider limit: %+v", r)
					}
				})
			}
		})
	}
}

// Wherever the writes lie, what is applied is the tree that the agent saw.
func TestWritesOnEveryMedium(t *testing.T) {
	const project = `mkdir -p old/deep kept; echo a >old/a; echo b >old/deep/b; echo k >kept/k; echo m >mode; ln -s kept link`
	const agent = `rm -rf old; mkdir -p old/new; echo n >old/new/n; echo more >>kept/k; chmod 750 mode; ln kept/k again
printf 'x\n' >"$(printf 'odd\nname\377')"; truncate -s 8M holes; printf end >>holes; mkdir closed; echo c >closed/c; chmod 500 closed; ln -sfn old link; touch -d @1000000000.5 kept/k`
	for name, m := range media(t) {
		t.Run(name, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newOverlay(t, m.find, m.profile("64MiB"))
			w.host(t, project)
			before := listing(t, w.dir, true)
			w.agent(t, agent)
			if diff := cmp.Diff(before, listing(t, w.dir, true)); diff != "" {
				t.Errorf("before apply, the project changed:\n%s", diff)
			}
			w.apply(t, "--all")
			alike := boxtest.Project(t, w.Account)
			if r := finish(t, w.Command(t, alike, "bash", "-ec", project+"\n"+agent)); r.code != 0 {
				t.Fatalf("%+v", r)
			}
			if diff := cmp.Diff(listing(t, alike, false), listing(t, w.dir, false)); diff != "" {
				t.Errorf("(-what the agent made +what was applied):\n%s", diff)
			}
			if n := loopsBelow(t, w.Home); n != 0 {
				t.Errorf("%d loop devices are left", n)
			}
		})
	}
}

// loopsBelow counts the loop devices of files below a directory.
func loopsBelow(t testing.TB, dir string) (n int) {
	t.Helper()
	list, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range list {
		if file, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(file), dir) {
			n++
		}
	}
	return n
}

// A session that starts again finds what it wrote, and writes on.
func TestResumeOnEveryMedium(t *testing.T) {
	for name, m := range media(t) {
		t.Run(name, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newOverlay(t, m.find, m.profile("64MiB"))
			w.host(t, `mkdir d; echo a >d/a`)
			w.agent(t, `rm -r d; mkdir d; echo 1 >d/one`)
			id := w.latest(t)
			if r := finish(t, w.agentbox(t, "run", "--resume", id, "--", "sh", "-ec", `ls d; mv d/one d/two`)); r.code != 0 || r.out != "one\n" {
				t.Fatalf("%+v", r)
			}
			w.apply(t, "--all")
			if got := w.host(t, `ls d`); got != "two\n" {
				t.Errorf("after apply: %q", got)
			}
		})
	}
}

// latest is the ID of the session that has changes, of which there is one.
func (w *world) latest(t testing.TB) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(w.Home, ".local/state/agentbox/sessions/*/workspace"))
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	return filepath.Base(filepath.Dir(list[0]))
}

// A supervisor that is killed loses what was in memory, and says so afterwards; what was on disk is there.
func TestKilledSupervisorOnEveryMedium(t *testing.T) {
	for name, m := range media(t) {
		t.Run(name, func(t *testing.T) {
			w := newOverlay(t, m.find, m.profile("16MiB"))
			b := w.start(t, `echo x >new; sync; echo written; exec cat`)
			first := only(t, b.cmd.Process.Pid)
			if err := b.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			b.end()
			until(t, "the box has gone", func() bool { return gone(first) && loopsBelow(t, w.Home) == 0 })
			said := w.apply(t, "--all")
			lost := m.upper == "tmpfs"
			if strings.Contains(said, "was lost with its supervisor") != lost || w.exists("new") == lost {
				t.Errorf("lost: %v; apply said %q", lost, said)
			}
		})
	}
}

// Who may only be watched has to say so, or to write to memory.
func TestDiskLimitThatTheKernelCannotHold(t *testing.T) {
	w := newOverlay(t, mappedUser, "")
	run := func(profile string) result {
		return w.attempt(t, attempt{script: "touch RAN", options: []string{"-v"}, profile: "[workspace]\n" + profile})
	}
	r := run("mode = 'overlay'\n[limits]\ndisk = '1GiB'\nenforcement = 'kernel'")
	if r.code != 69 || !strings.Contains(r.err, "cannot set up the layer disk limit: ") || !strings.Contains(r.err, `workspace.upper = "tmpfs"`) {
		t.Errorf("%+v", r)
	}
	if r := run("mode = 'overlay'\nupper = 'tmpfs'\n[limits]\ndisk = '1GiB'\nenforcement = 'kernel'"); r.code != 0 || strings.Contains(r.err, "watched") {
		t.Errorf("in memory: %+v", r)
	}
	if r := run("mode = 'overlay'\n[limits]\ndisk = '1GiB'\nenforcement = 'watched'"); r.code != 0 || !strings.Contains(r.err, "watched, not enforced: disk") {
		t.Errorf("watched: %+v", r)
	}
	if r := run("mode = 'rw'\n[limits]\ndisk = '1GiB'\nenforcement = 'watched'"); r.code != 65 || !strings.Contains(r.err, "limits.disk") {
		t.Errorf("in the project itself: %+v", r)
	}
}

// Where a person is at the terminal, a box that is only watched is frozen, and they decide.
func TestDiskLimitAtATerminal(t *testing.T) {
	boxtest.Leftovers(t)
	w := newOverlay(t, mappedUser, "[limits]\ndisk = '16MiB'\nenforcement = 'watched'\n")
	s := newScreen(t, 24, 160)
	cmd := s.on(w.agentbox(t, "run", "--", "sh", "-c", `n=0; while :; do n=$((n+1)); head -c 1M /dev/zero >f$n; done`))
	cmd.Stdout, cmd.Stderr = s.slave, s.slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	frozen := func(times int) {
		t.Helper()
		until(t, "the box is frozen", func() bool { return strings.Count(s.text(), "the box is frozen") == times })
		for id, session := range w.ps(t) {
			if session.State != "frozen" {
				t.Errorf("session %s is %s", id, session.State)
			}
		}
	}
	frozen(1)
	if got := s.text(); !strings.Contains(got, "disk limit 16MiB reached; ") || !strings.Contains(got, "agentbox resume") {
		t.Errorf("%q", got)
	}
	if r := finish(t, w.agentbox(t, "resume")); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	frozen(2)
	if r := finish(t, w.agentbox(t, "kill", "--signal", "KILL")); r.code != 0 {
		t.Errorf("%+v", r)
	}
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 128+int(unix.SIGKILL) {
		t.Errorf("%v", cmd.ProcessState)
	}
}
