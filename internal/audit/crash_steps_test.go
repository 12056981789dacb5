package audit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a child process does, and the number of the step behind which it is killed.
const (
	deedEnv = "AGENTBOX_TEST_AUDIT_DEED"
	stepEnv = "AGENTBOX_TEST_AUDIT_STEP"
)

// dieAt does a deed until its step number last, and kills itself there.
func dieAt(dir, deed, last string) int {
	left, err := strconv.Atoi(last)
	var mu sync.Mutex
	step := func(string) {
		mu.Lock()
		defer mu.Unlock()
		if left--; left < 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
	if err == nil && deed == "write" {
		err = writeRotated(dir, step)
	} else if err == nil {
		err = (Upkeep{Dir: dir, Retain: 90 * day, Agentbox: "test", step: step}).Run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// writeRotated says of each record when it is on disk.
func writeRotated(dir string, step func(string)) error {
	l, err := Create(dir, Options{Session: "s1", Key: key(), Rotate: small, step: step})
	if err != nil {
		return err
	}
	for n := range 30 {
		if err := l.Commit(&Exec{UID: n, Argv: Texts([]string{"sh", "-c", "echo"})}); err != nil {
			return err
		}
		fmt.Println(n)
	}
	l.packs.running.Wait()
	return l.Close()
}

// child runs a deed until a step, and returns what it said and whether it came to its end.
func child(t *testing.T, dir, deed string, step int) (lines [][]byte, whole bool) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), crashEnv+"="+dir, deedEnv+"="+deed, stepEnv+"="+strconv.Itoa(step))
	var said, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &complaint
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL) {
		t.Fatalf("%v: %s", err, complaint.Bytes())
	}
	for s := bufio.NewScanner(&said); s.Scan(); {
		lines = append(lines, bytes.Clone(s.Bytes()))
	}
	return lines, err == nil
}

// A supervisor that is killed at any step of a rotation or a compression leaves a log in which every committed record is, once;
// it can be continued, and upkeep finishes what was begun.
func TestKilledAtEveryStepOfARotation(t *testing.T) {
	for step, whole := 0, false; !whole; step++ {
		dir := filepath.Join(t.TempDir(), "audit")
		var said [][]byte
		said, whole = child(t, dir, "write", step)
		r := verifyAll(t, dir, Expected{Key: publicKey()})
		if r.Verdict != map[bool]Verdict{true: Sealed, false: Unsealed}[whole] {
			t.Fatalf("killed at step %d: %+v", step, r)
		}
		before := bytesOf(t, dir)
		numbers := execs(t, bytes.NewReader(before))
		for i, n := range numbers {
			if i != n {
				t.Fatalf("killed at step %d: record %d is %d", step, i, n)
			}
		}
		if len(numbers) < len(said) {
			t.Fatalf("killed at step %d: %d records, %d were committed", step, len(numbers), len(said))
		}
		if step%2 == 0 {
			decided(t, dir, key())
			r = verifyAll(t, dir, Expected{})
			if (r.Verdict == Sealed) != whole || r.Verdict == Broken || r.Parts != 2 {
				t.Fatalf("killed at step %d, and continued: %+v", step, r)
			}
			before = bytesOf(t, dir)
		}
		if err := (Upkeep{Dir: dir}).Run(t.Context()); err != nil {
			t.Fatalf("killed at step %d: upkeep: %v", step, err)
		}
		tidied(t, dir)
		if !bytes.Equal(bytesOf(t, dir), before) {
			t.Fatalf("killed at step %d: after upkeep it reads otherwise", step)
		}
	}
}

// tidied checks that nothing is left to do.
func tidied(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, number, packed, ok := parseName(e.Name()); !ok || number > 0 && !packed {
			t.Errorf("there still is %s", e.Name())
		}
	}
}

// An upkeep that is killed at any step leaves logs that read as they were, or without their end where they are removed; the next
// one finishes, and what was removed is on record once.
func TestKilledAtEveryStepOfAnUpkeep(t *testing.T) {
	model := filepath.Join(t.TempDir(), "audit")
	aged(t, model, "closed", 3)
	aged(t, model, "gone", 100)
	aged(t, model, "lost", 200)
	want := contents(t, model, "closed")
	for step, whole := 0, false; !whole; step++ {
		dir := filepath.Join(t.TempDir(), "audit")
		if out, err := exec.Command("cp", "-a", model, dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		_, whole = child(t, dir, "upkeep", step)
		for _, session := range sessions(t, dir) {
			r := verifyFile(t, Path(dir, session))
			if r.Verdict == Broken || r.Verdict != Sealed && (session == "closed" || !slices.ContainsFunc(removals(t, dir), func(s string) bool { return s[:4] == session })) {
				t.Fatalf("killed at step %d: %s is %+v", step, session, r)
			}
		}
		if err := (Upkeep{Dir: dir, Retain: 90 * day}).Run(t.Context()); err != nil {
			t.Fatalf("killed at step %d: the next upkeep: %v", step, err)
		}
		tidied(t, dir)
		if diff := cmp.Diff([]string{"closed"}, sessions(t, dir)); diff != "" || !bytes.Equal(contents(t, dir, "closed"), want) {
			t.Fatalf("killed at step %d: %s", step, diff)
		}
		if diff := cmp.Diff([]string{"lost age sealed", "gone age sealed"}, removals(t, dir)); diff != "" {
			t.Fatalf("killed at step %d: %s", step, diff)
		}
	}
}

func contents(t testing.TB, dir, session string) []byte {
	t.Helper()
	f, err := OpenAll(Path(dir, session))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
