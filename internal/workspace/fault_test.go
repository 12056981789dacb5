package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

var errCut = errors.New("cut off")

// cutAfter lets n calls through, and none from then on: what a kill or a power cut
// looks like from the disk.
func cutAfter(n int) func(string) error {
	return func(string) error {
		if n--; n < 0 {
			return errCut
		}
		return nil
	}
}

// failOnce fails one call, as a full disk does, and lets the others through.
func failOnce(n int, err error) func(string) error {
	return func(string) error {
		if n--; n == -1 {
			return err
		}
		return nil
	}
}

// copyOf makes the same fixture again from a template, which is quicker than to
// mount another overlay.
func (x *fixture) copyOf(t *testing.T) *fixture {
	t.Helper()
	y := *x
	y.t, y.dir = t, scratch(t)
	x.run(exec.Command("cp", "-a", x.lower, x.session, y.dir))
	y.lower, y.session = y.dir+"/project", y.dir+"/session"
	y.began = time.Now().Add(time.Hour) // copies are younger than the session
	return &y
}

// applyAll applies everything under a step function.
func (x *fixture) applyAll(step func(string) error) error {
	return applyAll(x.open(), step)
}

func applyAll(w *Workspace, step func(string) error) error {
	r, err := w.Review(context.Background())
	if err != nil {
		return err
	}
	p, err := w.Plan(r, Selection{All: true})
	if err != nil {
		return err
	}
	w.hand.step = step
	_, err = w.Apply(context.Background(), p, nil)
	return err
}

// template is a project with changes of each kind, and its two right trees.
func template(t *testing.T) (x *fixture, before, after []string, steps int) {
	x = newFixture(t, Trusted)
	x.host(manyHost)
	x.agent(manyAgent)
	y := x.copyOf(t)
	before = tree(t, y.lower, true)
	err := y.applyAll(func(string) error { steps++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return x, before, tree(t, y.lower, false), steps
}

func TestCutOffAtEveryCall(t *testing.T) {
	x, before, after, steps := template(t)
	t.Logf("%d calls", steps)
	was, is := 0, 0
	for n := range steps {
		y := x.copyOf(t)
		if err := y.applyAll(cutAfter(n)); !errors.Is(err, errCut) {
			t.Fatalf("cut after %d calls: %v", n, err)
		}
		if _, err := y.open().Recover(nil); err != nil {
			t.Fatalf("cut after %d calls: recover: %v", n, err)
		}
		switch {
		case slices.Equal(tree(t, y.lower, true), before):
			was++
		case slices.Equal(tree(t, y.lower, false), after):
			is++
		default:
			t.Fatalf("cut after %d of %d calls: neither tree: from before %s", n, steps, cmp.Diff(before, tree(t, y.lower, true)))
		}
		y.settled(t)
	}
	if was == 0 || is == 0 {
		t.Errorf("%d cuts were undone and %d finished", was, is)
	}
}

// settled asserts that nothing is left of an apply.
func (x *fixture) settled(t *testing.T) {
	t.Helper()
	if x.open().Pending() {
		t.Fatal("something is left to recover")
	}
	for _, name := range []string{beginName, journalName, undoName, doneName} {
		for _, suffix := range []string{"", ".next"} {
			if _, err := os.Lstat(x.session + "/" + name + suffix); err == nil {
				t.Fatalf("%s is left", name+suffix)
			}
		}
	}
}

// A recovery that is cut off too is recovered by the next one.
func TestRecoveryCutOffAtEveryCall(t *testing.T) {
	x, before, after, steps := template(t)
	for n := 5; n < steps; n += 17 {
		for m := 0; ; m += 3 {
			y := x.copyOf(t)
			if err := y.applyAll(cutAfter(n)); !errors.Is(err, errCut) {
				t.Fatal(err)
			}
			w := y.open()
			w.hand.step = cutAfter(m)
			_, err := w.Recover(nil)
			w.Close()
			if _, err := y.open().Recover(nil); err != nil {
				t.Fatalf("cut after %d and %d calls: %v", n, m, err)
			}
			if !slices.Equal(tree(t, y.lower, true), before) && !slices.Equal(tree(t, y.lower, false), after) {
				t.Fatalf("cut after %d and %d calls: neither tree", n, m)
			}
			y.settled(t)
			if err == nil {
				break
			}
		}
	}
}

func TestEachCallFailsOnce(t *testing.T) {
	x, before, after, steps := template(t)
	for n := range steps {
		y := x.copyOf(t)
		err := y.applyAll(failOnce(n, unix.ENOSPC))
		now := tree(t, y.lower, true)
		if _, err := y.open().Recover(nil); err != nil {
			t.Fatalf("call %d fails: recover: %v", n, err)
		}
		switch {
		case errors.Is(err, unix.ENOSPC) && slices.Equal(now, before):
		case errors.Is(err, unix.ENOSPC) && slices.Equal(tree(t, y.lower, true), before): // the cleaning failed
		case slices.Equal(tree(t, y.lower, false), after):
		default:
			t.Fatalf("call %d fails: %v: from before %s", n, err, cmp.Diff(before, now))
		}
		y.settled(t)
	}
}

// noExchange answers like a filesystem that can neither exchange two names nor
// rename without replacing, as NFS.
func noExchange(step func(string) error) func(string) error {
	return func(what string) error {
		if err := step(what); err != nil {
			return err
		}
		if what == "exchange" || what == "move" {
			return unix.EINVAL
		}
		return nil
	}
}

func TestAFilesystemThatCannotExchange(t *testing.T) {
	x, before, after, _ := template(t)
	steps := 0
	y := x.copyOf(t)
	if err := y.applyAll(noExchange(func(string) error { steps++; return nil })); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(after, tree(t, y.lower, false)); diff != "" {
		t.Fatal(diff)
	}
	for n := 0; n < steps; n += 2 {
		y := x.copyOf(t)
		if err := y.applyAll(noExchange(cutAfter(n))); !errors.Is(err, errCut) {
			t.Fatalf("cut after %d calls: %v", n, err)
		}
		w := y.open()
		w.hand.step = noExchange(func(string) error { return nil })
		if _, err := w.Recover(nil); err != nil {
			t.Fatalf("cut after %d calls: recover: %v", n, err)
		}
		if !slices.Equal(tree(t, y.lower, true), before) && !slices.Equal(tree(t, y.lower, false), after) {
			t.Fatalf("cut after %d calls: neither tree: %s", n, cmp.Diff(before, tree(t, y.lower, true)))
		}
		y.settled(t)
	}
}

// The host goes on working between the cut and the next command.
func TestTheHostChangesThingsAfterTheCut(t *testing.T) {
	const host = "echo a >a; echo b >b; mkdir d; echo c >d/c; echo z >z"
	const agent = "echo 2 >>a; echo 2 >>b; rm -r d; mkdir n; echo n >n/n; echo 2 >>z"
	tests := map[string]struct{ script, want string }{
		"nothing":                         {"true", ""},
		"a file that is still to be done": {"echo host >z", "z: host"},
		"a file that is done":             {"echo host >a", "a: host"},
		"both":                            {"echo host >a; echo host >z", "a: host"},
		"a new file in a directory":       {"mkdir -p n; echo host >n/host", "n/host: host"},
		"a file where one was taken":      {"mkdir -p d; echo host >d/c", "d/c: host"},
		"a directory in place of a file":  {"rm -f a; mkdir a; echo host >a/x", "a/x: host"},
		"a link in place of a directory":  {"rm -rf d; mkdir e; ln -s e d; echo host >e/x", "e/x: host"},
		"the whole of the new directory":  {"rm -rf n", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			x := newFixture(t, Trusted)
			x.host(host)
			x.agent(agent)
			steps := 0
			if err := x.copyOf(t).applyAll(func(string) error { steps++; return nil }); err != nil {
				t.Fatal(err)
			}
			for n := range steps {
				y := x.copyOf(t)
				if err := y.applyAll(cutAfter(n)); !errors.Is(err, errCut) {
					t.Fatal(err)
				}
				fileClock(t, y.dir)
				y.host(test.script)
				if _, err := y.open().Recover(nil); err != nil {
					t.Fatalf("cut after %d: %v", n, err)
				}
				y.settled(t)
				y.kept(t, n, test.want)
			}
		})
	}
}

// kept asserts that the host's own words, "name: text", stand in the project.
func (x *fixture) kept(t *testing.T, n int, want string) {
	t.Helper()
	name, text, ok := strings.Cut(want, ": ")
	if !ok {
		return
	}
	if data, err := os.ReadFile(x.lower + "/" + name); err != nil || string(data) != text+"\n" {
		t.Errorf("cut after %d calls: the host's %s is lost: %q, %v", n, name, data, err)
	}
}

// applyAndDie applies everything of LOWER SESSION FLAVOUR, and kills its own
// process at a call, if that is reached. Its exit code is 3 when nothing was applied.
func applyAndDie(args []string) int {
	flavour, _ := strconv.Atoi(args[2])
	n, _ := strconv.Atoi(args[3])
	x := fixture{lower: args[0], session: args[1], flavour: Flavour(flavour), began: time.Now().Add(time.Hour)}
	w, err := Open(x.config())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	err = applyAll(w, func(string) error {
		if n--; n < 0 {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	return 0
}

const never = "1000000"

func TestKilledForReal(t *testing.T) {
	x, before, after, steps := template(t)
	for n := 0; n < steps; n += steps / 12 {
		y := x.copyOf(t)
		cmd := exec.Command("/proc/self/exe", "apply-and-die", y.lower, y.session, strconv.Itoa(int(Trusted)), strconv.Itoa(n))
		if err := cmd.Run(); cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("it was not killed: %v", err)
		}
		if _, err := y.open().Recover(nil); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(tree(t, y.lower, true), before) && !slices.Equal(tree(t, y.lower, false), after) {
			t.Fatalf("killed at call %d: neither tree", n)
		}
		y.settled(t)
	}
}

// What was taken back is no change of the host's: it can be applied afterwards. What
// the host did change stays a conflict.
func TestTakenBackIsNoConflict(t *testing.T) {
	fixtures(t, func(t *testing.T, x *fixture) {
		x.host("echo 1 >a; echo 2 >b; echo 3 >c; mkdir d; echo 4 >d/e; echo 5 >both")
		x.agent("echo x >a; rm b; mv c c2; rm -r d; echo x >both; echo x >new")
		x.host("echo host >both")
		apply := func(step func(string) error) error {
			w := x.open()
			r, err := w.Review(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			p, err := w.Plan(r, Selection{All: true, Resolve: map[string]Resolution{"both": TakeAgent}})
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Held) > 0 {
				t.Fatalf("held: %v", p.Held)
			}
			w.hand.step = step
			_, err = w.Apply(context.Background(), p, nil)
			return err
		}
		undone := 0
		for n := range 200 {
			err := apply(func(what string) error {
				if n--; n < 0 && (what == "exchange" || what == "move") {
					n = 1 << 20
					return unix.EIO
				}
				return nil
			})
			var back *UndoneError
			if !errors.As(err, &back) {
				break
			}
			undone++
			r, err := x.open().Review(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range r.Changes {
				if (c.Conflict != "") != (c.Path == "both") {
					t.Fatalf("%s: conflict %q", c.Path, c.Conflict)
				}
			}
		}
		if undone < 5 {
			t.Errorf("only %d applies were taken back", undone)
		}
	})
}
