package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
)

// ballast takes room on a small disk, so that it is full at some step of what follows.
func ballast(t *testing.T, dir string, size int64) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Wherever a rotation or a compression finds the disk full, the log ends with a whole record, everybody learns of it, and what
// was committed is there. Once there is room, it goes on.
func TestRotationOnAFullDisk(t *testing.T) {
	disk := smallDisk(t)
	for room := int64(1); room <= 13; room++ {
		dir := filepath.Join(disk, fmt.Sprint("audit", room))
		ballast(t, disk, 64<<10-room*4096)
		failed := make(chan error, 2)
		l, err := Create(dir, Options{Session: "s1", Rotate: small, Failed: func(err error) { failed <- err }})
		committed := 0
		for err == nil && committed < 100 {
			if err = l.Commit(&Exec{UID: committed, Argv: Texts([]string{strings.Repeat("x", 700)})}); err == nil {
				committed++
			}
		}
		if l != nil {
			if err == nil || !errors.Is(<-failed, unix.ENOSPC) || l.Close() == nil || len(failed) > 0 {
				t.Fatalf("%d pages: %v", room, err)
			}
			if r := verifyAll(t, dir, Expected{}); r.Verdict != Unsealed || r.Torn > 0 {
				t.Fatalf("%d pages: %+v", room, r)
			}
			if numbers := execs(t, strings.NewReader(string(bytesOf(t, dir)))); len(numbers) < committed {
				t.Fatalf("%d pages: %d records, %d were committed", room, len(numbers), committed)
			}
		}
		if err := os.Remove(filepath.Join(disk, "ballast")); err != nil {
			t.Fatal(err)
		}
		if l != nil {
			decided(t, dir, nil)
			if r := verifyAll(t, dir, Expected{}); r.Verdict != Unsealed || r.Parts != 2 {
				t.Fatalf("%d pages, and continued: %+v", room, r)
			}
			before := bytesOf(t, dir)
			err := (Upkeep{Dir: dir}).Run(t.Context())
			if err == nil {
				tidied(t, dir)
			} else if !errors.Is(err, unix.ENOSPC) { // the log fills all of the disk
				t.Fatalf("%d pages: %v", room, err)
			}
			if !bytes.Equal(bytesOf(t, dir), before) {
				t.Fatalf("%d pages: after upkeep it reads otherwise", room)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// A disk that is full stops no removal that is on record, and nothing is removed that cannot be recorded.
func TestUpkeepOnAFullDisk(t *testing.T) {
	disk := smallDisk(t)
	dir := filepath.Join(disk, "audit")
	aged(t, dir, "a", 100)
	if err := os.WriteFile(Path(dir, "b"), written(t, 3, Options{}), 0o600); err != nil {
		t.Fatal(err)
	}
	backdate(t, dir, "b", 3)
	var st unix.Statfs_t
	if err := unix.Statfs(disk, &st); err != nil {
		t.Fatal(err)
	}
	ballast(t, disk, int64(st.Bavail)*st.Bsize)
	before := sessions(t, dir)
	err := (Upkeep{Dir: dir, Retain: 90 * day}).Run(t.Context())
	if !errors.Is(err, unix.ENOSPC) || len(sessions(t, dir)) != len(before) {
		t.Errorf("%v; there are %v", err, sessions(t, dir))
	}
	for _, session := range before {
		if r := verifyFile(t, Path(dir, session)); r.Verdict != Sealed {
			t.Errorf("%s: %+v", session, r)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	if err := os.Remove(filepath.Join(disk, "ballast")); err != nil {
		t.Fatal(err)
	}
	if err := (Upkeep{Dir: dir, Retain: 90 * day}).Run(t.Context()); err != nil || len(sessions(t, dir)) != 1 {
		t.Errorf("with room: %v; there are %v", err, sessions(t, dir))
	}
	if r := verifyFile(t, Path(dir, RetentionLog)); r.Verdict == Broken || len(removals(t, dir)) != 1 {
		t.Errorf("%+v, %v", r, removals(t, dir))
	}
}

// A directory in which nothing can be made any more ends the log at a rotation, and what stands in it reads.
func TestRotationInADirectoryThatChanges(t *testing.T) {
	boxtest.Need(t, boxtest.Root)
	for name, tc := range map[string]struct {
		change func(dir string) error
		undo   func(dir string) error
		is     error
	}{
		"it is read-only": {func(dir string) error { return flags(dir, immutable) }, func(dir string) error { return flags(dir, 0) }, unix.EPERM},
		"the next name is taken": {func(dir string) error { return os.WriteFile(filepath.Join(dir, closedName("s1", 1)), nil, 0o600) },
			func(dir string) error { return os.Remove(filepath.Join(dir, closedName("s1", 1))) }, unix.EEXIST},
		"its file was renamed": {func(dir string) error { return os.Rename(Path(dir, "s1"), filepath.Join(dir, "other")) },
			func(dir string) error { return os.Rename(filepath.Join(dir, "other"), Path(dir, "s1")) }, unix.ENOENT},
		"it was moved away": {func(dir string) error { return os.Rename(dir, dir+"2") }, func(dir string) error { return os.Rename(dir+"2", dir) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir, l := long(t, 0, Options{})
			commit := func(n int) (err error) {
				for i := 0; i < n && err == nil; i++ {
					err = l.Commit(&Exec{Argv: Texts([]string{strings.Repeat("x", 500)})})
				}
				return err
			}
			if err := commit(1); err != nil {
				t.Fatal(err)
			}
			if err := tc.change(dir); errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EOPNOTSUPP) {
				t.Skip("no file can be made immutable here: ", err)
			} else if err != nil {
				t.Fatal(err)
			}
			err, closed := commit(20), l.Close()
			if undone := tc.undo(dir); undone != nil {
				t.Fatal(undone)
			}
			if !errors.Is(err, tc.is) || (closed == nil) != (tc.is == nil) {
				t.Errorf("%v, %v", err, closed)
			}
			want := Unsealed
			if tc.is == nil {
				want = Sealed
			}
			if r := verifyAll(t, dir, Expected{}); r.Verdict != want || r.Records < 5 {
				t.Errorf("%+v", r)
			}
			decided(t, dir, nil)
			if r := verifyAll(t, dir, Expected{}); r.Verdict != want || r.Parts != 2 {
				t.Errorf("continued: %+v", r)
			}
		})
	}
}

// immutable is FS_IMMUTABLE_FL of linux/fs.h.
const immutable = 0x10

// flags sets the attributes of a directory; see ioctl_iflags(2).
func flags(dir string, set uint32) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.IoctlSetPointerInt(int(d.Fd()), unix.FS_IOC_SETFLAGS, int(set))
}

// slow is a file that the disk takes its time for.
type slow struct {
	memory
	release chan struct{}
	begun   chan struct{}
}

func (s *slow) Sync() error {
	s.begun <- struct{}{}
	<-s.release
	return nil
}

// Where the disk is slow, records wait in order, none is dropped, and who commits is not let go before it is done.
func TestSlowDisk(t *testing.T) {
	f := &slow{release: make(chan struct{}), begun: make(chan struct{}, 1000)}
	l := start("x", f, Options{Session: "s1"})
	done := make(chan error, 1)
	go func() { done <- l.Commit(&Freeze{By: "test"}) }()
	<-f.begun
	const n = 4000 // more than the queue holds
	appended := make(chan int, n)
	go func() {
		for i := range n {
			if err := l.Append(&Exec{UID: i, Argv: Texts([]string{strings.Repeat("x", 1000)})}); err != nil {
				t.Error(err)
			}
			appended <- i
		}
		close(appended)
	}()
	for i := 0; i < 500; i++ { // what fits the queue does not wait
		<-appended
	}
	select {
	case err := <-done:
		t.Fatalf("the record was said to be on disk: %v", err)
	default:
	}
	if len(appended) > n/2 {
		t.Errorf("%d records wait in memory", len(appended))
	}
	close(f.release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for range appended {
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, f.data, Expected{}); r.Verdict != Sealed || r.Records != n+2 {
		t.Errorf("%+v", r)
	}
}
