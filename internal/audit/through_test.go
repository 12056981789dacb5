package audit

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"testing"
)

// What went through is in the file, in its order, whoever else writes; and it goes to disk though nobody waits for that.
func TestThroughAmongOthers(t *testing.T) {
	synced := make(chan int, 1<<10)
	f := &memory{}
	l := start("x", &locked{file: f, synced: synced}, Options{Session: "s1", Key: key()})
	var all sync.WaitGroup
	for who, how := range []func(*Log, Event) error{(*Log).Append, (*Log).Through, (*Log).Through, (*Log).Commit} {
		all.Go(func() {
			for n := range 200 {
				if err := how(l, &Exec{UID: who*1000 + n}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for len(synced) > 0 {
		<-synced
	}
	if err := l.Through(&Ready{}); err != nil {
		t.Fatal(err)
	}
	<-synced // without a call that asks for it
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, f.data, Expected{Key: publicKey()}); r.Verdict != Sealed || bytes.Count(f.data, []byte(`"session.exec"`)) != 800 {
		t.Errorf("%+v", r)
	}
	if err := l.Through(&Ready{}); err != ErrClosed {
		t.Errorf("behind the seal: %v", err)
	}
}

// Before Through returns, the record is in the file.
func TestThroughIsWritten(t *testing.T) {
	f := &memory{}
	lock := &locked{file: f, synced: make(chan int, 1<<10)}
	l := start("x", lock, Options{Session: "s1"})
	for n := range 100 {
		if err := l.Through(&Exec{UID: n}); err != nil {
			t.Fatal(err)
		}
		if got := lock.lines(); got != n+1 {
			t.Fatalf("%d records are in the file, want %d", got, n+1)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// A locked file can be written while it is brought to disk, as the kernel lets one.
type locked struct {
	file   *memory
	mu     sync.Mutex
	synced chan int
}

func (f *locked) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Write(b)
}

func (f *locked) lines() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return bytes.Count(f.file.data, []byte("\n"))
}

func (f *locked) Sync() error {
	f.synced <- 0
	return nil
}

func (f *locked) Truncate(size int64) error { return f.file.Truncate(size) }
func (f *locked) Close() error              { return nil }

// BenchmarkThrough is what a start of a program pays for its record.
func BenchmarkThrough(b *testing.B) {
	for name, how := range map[string]func(*Log, Event) error{"append": (*Log).Append, "through": (*Log).Through} {
		b.Run(name, func(b *testing.B) {
			l := create(b, Options{})
			e := &ProgramStart{PID: 1, Parent: 2, UID: 1000, Path: "/usr/bin/true", Argv: Texts([]string{"true", "a"}), Dir: "/home/me/project"}
			for b.Loop() {
				if err := how(l, e); err != nil {
					b.Fatal(err)
				}
			}
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// Where the log goes on in another file, what went through is in it all the same, and the chain holds.
func TestThroughARotation(t *testing.T) {
	l := create(t, Options{Session: "s1", Rotate: small})
	dir := filepath.Dir(l.Path())
	var all sync.WaitGroup
	for who, how := range []func(*Log, Event) error{(*Log).Append, (*Log).Through, (*Log).Through} {
		all.Go(func() {
			for n := range 200 {
				if err := how(l, &Exec{UID: who*1000 + n}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for n := range 100 {
		if err := l.Through(&Exec{UID: 9000 + n}); err != nil {
			t.Fatal(err)
		}
		r, err := OpenAll(l.Path())
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		r.Close()
		if err != nil || !bytes.Contains(data, fmt.Appendf(nil, `"uid":%d,`, 9000+n)) {
			t.Fatalf("record %d is not in the log yet: %v", n, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r := verifyAll(t, dir, Expected{}); r.Verdict != Sealed || r.Files < 10 || bytes.Count(bytesOf(t, dir), []byte(`"session.exec"`)) != 700 {
		t.Errorf("%+v", r)
	}
}
