package audit

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
)

// A memory is a file that fails where a test wants it to.
type memory struct {
	data     []byte
	room     int   // bytes that fit, when full is not nil
	full     error // what a write beyond them returns
	sync     error
	truncate error
	synced   chan int // gets the size
}

func (m *memory) Write(b []byte) (int, error) {
	n := len(b)
	if m.full != nil {
		n = min(n, m.room-len(m.data))
	}
	m.data = append(m.data, b[:n]...)
	if n < len(b) {
		return n, m.full
	}
	return n, nil
}

func (m *memory) Sync() error {
	if m.synced != nil {
		m.synced <- len(m.data)
	}
	return m.sync
}

func (m *memory) Truncate(size int64) error {
	if m.truncate == nil {
		m.data = m.data[:size]
	}
	return m.truncate
}

func (m *memory) Close() error { return nil }

// Wherever a write stops, the log ends with a whole record, everybody learns of it, and nobody waits for ever.
func TestDiskThatIsFullAtAnyByte(t *testing.T) {
	whole := written(t, 3, Options{})
	for room := range len(whole) - 10 {
		failed := make(chan error, 2)
		f := &memory{room: room, full: unix.ENOSPC}
		l := start("x", f, Options{Session: "s1", Failed: func(err error) { failed <- err }})
		var all sync.WaitGroup
		var errs [5]error
		for i := range errs {
			how := []func(*Log, Event) error{(*Log).Commit, (*Log).Through}[i%2]
			all.Go(func() { errs[i] = how(l, &Exec{Argv: Texts([]string{"sh", "-c", "echo 1"})}) })
		}
		all.Wait()
		if err := errors.Join(errs[:]...); !errors.Is(err, unix.ENOSPC) || !errors.Is(<-failed, unix.ENOSPC) || l.Close() == nil || len(failed) > 0 {
			t.Fatalf("room for %d bytes: %v", room, err)
		}
		good := 0
		for _, err := range errs {
			if err == nil {
				good++
			}
		}
		r := verify(t, f.data, Expected{})
		if r.Verdict != Unsealed || r.Torn > 0 || r.Records < uint64(good) {
			t.Fatalf("room for %d bytes, %d records committed: %+v", room, good, r)
		}
	}
}

// A log whose torn end cannot be cut off reads all the same.
func TestTornEndStays(t *testing.T) {
	f := &memory{room: 700, full: unix.EIO, truncate: unix.EIO}
	l := start("x", f, Options{Session: "s1"})
	for err := error(nil); err == nil; err = l.Commit(&Ready{}) {
	}
	if r := verify(t, f.data, Expected{}); r.Verdict != Unsealed || r.Torn == 0 || r.Records == 0 {
		t.Errorf("%+v", r)
	}
}

// What the disk may not have kept is not taken away: it may be all that there is.
func TestSyncThatFails(t *testing.T) {
	f := &memory{sync: unix.EIO}
	l := start("x", f, Options{Session: "s1"})
	if err := l.Commit(&Ready{}); !errors.Is(err, unix.EIO) {
		t.Errorf("%v", err)
	}
	if err := l.Append(&Ready{}); !errors.Is(err, unix.EIO) {
		t.Errorf("afterwards: %v", err)
	}
	if !errors.Is(l.Close(), unix.EIO) || bytes.Count(f.data, []byte("\n")) != 1 {
		t.Errorf("%s", f.data)
	}
}

func TestDevFull(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	l := start("/dev/full", f, Options{Session: "s1"})
	if err := l.Commit(&Ready{}); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "/dev/full cannot be written") {
		t.Errorf("%v", err)
	}
}

// smallDisk is a filesystem of 64 KiB, mounted where only root can.
func smallDisk(t *testing.T) string {
	t.Helper()
	boxtest.Need(t, boxtest.Root)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullFilesystem(t *testing.T) {
	dir := smallDisk(t)
	failed := make(chan error, 2)
	l, err := Create(filepath.Join(dir, "audit"), Options{Session: "s1", Failed: func(err error) { failed <- err }})
	if err != nil {
		t.Fatal(err)
	}
	committed := uint64(0)
	for ; err == nil; committed++ {
		err = l.Commit(&Exec{Argv: Texts([]string{strings.Repeat("x", 5000)})})
	}
	if !errors.Is(err, unix.ENOSPC) || !errors.Is(<-failed, unix.ENOSPC) || l.Close() == nil {
		t.Errorf("%v", err)
	}
	if r := verify(t, content(t, l), Expected{}); r.Verdict != Unsealed || r.Torn > 0 || r.Records < committed-1 || r.Records == 0 {
		t.Errorf("%d were committed: %+v", committed-1, r)
	}
}

func TestReadOnlyFilesystem(t *testing.T) {
	dir := smallDisk(t)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, Options{Session: "s1"}); !errors.Is(err, unix.EROFS) {
		t.Errorf("%v", err)
	}
	if _, err := Create(filepath.Join(dir, "audit"), Options{Session: "s1"}); !errors.Is(err, unix.EROFS) {
		t.Errorf("in a new directory: %v", err)
	}
}

// Nothing that somebody planted is written to, and no directory is used in which somebody else could exchange the log.
func TestCreateRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(dir string) error
		session string
		is      error  // or
		says    string // part of the message
	}{
		"a log that exists":                 {func(d string) error { return os.WriteFile(Path(d, "s1"), nil, 0o600) }, "s1", fs.ErrExist, ""},
		"closed files of the name":          {func(d string) error { return os.WriteFile(filepath.Join(d, packedName("s1", 1)), nil, 0o600) }, "s1", fs.ErrExist, ""},
		"a name like that of a closed file": {func(string) error { return nil }, "s1.000001", nil, "cannot be the name"},
		"a link":                            {func(d string) error { return os.Symlink("elsewhere", Path(d, "s1")) }, "s1", fs.ErrExist, ""},
		"a pipe":                            {func(d string) error { return unix.Mkfifo(Path(d, "s1"), 0o600) }, "s1", fs.ErrExist, ""},
		"a directory that all may write":    {func(d string) error { return os.Chmod(d, 0o777) }, "s1", nil, "may be written by other users"},
		"a directory that a group writes":   {func(d string) error { return os.Chmod(d, 0o770) }, "s1", nil, "may be written by other users"},
		"a file in place of a directory":    {func(d string) error { return errors.Join(os.Remove(d), os.WriteFile(d, nil, 0o600)) }, "s1", unix.ENOTDIR, ""},
		"a name with a slash":               {func(string) error { return nil }, "../s1", nil, "cannot be the name"},
		"a hidden name":                     {func(string) error { return nil }, ".s1", nil, "cannot be the name"},
		"no name":                           {func(string) error { return nil }, "", nil, "cannot be the name"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "audit")
			if err := errors.Join(os.Mkdir(dir, 0o700), tc.prepare(dir)); err != nil {
				t.Fatal(err)
			}
			l, err := Create(dir, Options{Session: tc.session})
			if l != nil || err == nil || tc.is != nil && !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v", err)
			}
		})
	}
	if _, err := Create(t.TempDir(), Options{Session: "s1", Key: []byte("short")}); !errors.Is(err, errKey) {
		t.Errorf("a key of the wrong length: %v", err)
	}
}

func TestDirectoryOfAnotherUser(t *testing.T) {
	boxtest.Need(t, boxtest.Root)
	dir := t.TempDir()
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, Options{Session: "s1"}); err == nil || !strings.Contains(err.Error(), "belongs to user 65534") {
		t.Errorf("%v", err)
	}
}
