package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files")

// key is the same in every run.
func key() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
}

func publicKey() ed25519.PublicKey { return ed25519.PublicKey(key()[ed25519.SeedSize:]) }

func create(t testing.TB, o Options) *Log {
	t.Helper()
	o.Session = "s1"
	l, err := Create(filepath.Join(t.TempDir(), "audit"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func content(t testing.TB, l *Log) []byte {
	t.Helper()
	data, err := os.ReadFile(l.Path())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// written makes a log with n records before its seal, not counting checkpoints, and returns its bytes.
func written(t testing.TB, n int, o Options) []byte {
	t.Helper()
	l := create(t, o)
	for i := range n {
		if err := l.Append(&Exec{UID: i, Argv: Texts([]string{"sh", "-c", fmt.Sprint("echo ", i)})}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return content(t, l)
}

func verify(t testing.TB, data []byte, want Expected) Report {
	t.Helper()
	r, err := Verify(bytes.NewReader(data), want)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCommitReturnsWhenTheRecordIsInTheFile(t *testing.T) {
	l := create(t, Options{})
	for i := range 3 {
		if err := l.Commit(&Freeze{By: "test"}); err != nil {
			t.Fatal(err)
		}
		if r := verify(t, content(t, l), Expected{}); r.Records != uint64(i)+1 {
			t.Errorf("%d records after %d commits", r.Records, i+1)
		}
	}
	st, err := os.Stat(l.Path())
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

// A submitted record is on its way while the caller does something else.
func TestSubmit(t *testing.T) {
	l := create(t, Options{})
	first, second := l.Submit(&Ready{BoxPID: 1}), l.Submit(&Ready{BoxPID: 2})
	if err := errors.Join(second.Wait(), first.Wait(), first.Wait()); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, content(t, l), Expected{}); r.Records != 2 {
		t.Errorf("%v", r)
	}
	if (Receipt{}).Wait() == nil {
		t.Error("the receipt for nothing is good")
	}
}

// An appended record needs nobody who waits to reach the disk.
func TestAppendedRecordsReachTheDisk(t *testing.T) {
	f := &memory{synced: make(chan int, 100)}
	l := start("x", f, Options{Session: "s1"})
	began := time.Now()
	if err := l.Append(&Resume{By: "test"}); err != nil {
		t.Fatal(err)
	}
	if n := <-f.synced; n == 0 {
		t.Error("nothing was written before the sync")
	}
	t.Logf("synced after %v", time.Since(began))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestManyWritersOneChain(t *testing.T) {
	l := create(t, Options{Key: key()})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 400 {
				if err := l.Append(&Usage{Pids: uint64(i)}); err != nil {
					t.Error(err)
				}
			}
			if err := l.Commit(&Freeze{}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, content(t, l), Expected{Key: publicKey()}); r.Verdict != Sealed || r.Records != 8*401+8*401/1024+1 || r.Vouched != r.Records {
		t.Errorf("%+v", r)
	}
	if err := errors.Join(l.Append(&Usage{})); !errors.Is(err, ErrClosed) {
		t.Errorf("after the seal: %v", err)
	}
	if err := l.Commit(&Usage{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after the seal: %v", err)
	}
}

// Time passes although the wall clock may be set.
func TestElapsedGrows(t *testing.T) {
	last := time.Duration(-1)
	for r, err := range Records(bytes.NewReader(written(t, 5, Options{}))) {
		if err != nil || r.Elapsed <= last {
			t.Errorf("%v after %v, %v", r.Elapsed, last, err)
		}
		last = r.Elapsed
	}
}

// The golden logs fix the format: a change of their bytes is a new version.
func TestFormat(t *testing.T) {
	start := &Start{Agentbox: "1.0", Argv: Texts([]string{"claude", "\xff\x1b"}), Layers: Texts([]string{"preset default"}),
		Policy: []byte(`{"a": "é", "n": [1, true]}`), Limits: []Limit{{Name: "memory", Value: "2GiB", State: "enforced", By: "cgroup v2"}}}
	end := &End{Cause: "exited", ExitCode: 3, Seconds: 1.5}
	for name, key := range map[string]ed25519.PrivateKey{"format.jsonl": nil, "signed.jsonl": key()} {
		f := &memory{}
		l := Log{options: Options{Session: "s", Key: key}, file: f, encoder: encoder{secrets: &Redactor{}}}
		at := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
		put := func(e Event) {
			data, err := l.encoder.append(nil, e)
			if err != nil {
				t.Fatal(err)
			}
			l.queue, l.last = appendRecord(l.queue, record{seq: l.seq, time: at, elapsed: time.Duration(l.seq) * 1e9, session: "s", kind: e.Type(), data: data, prev: l.last})
			l.seq++
		}
		sign := func(e signable) {
			s := signature{Records: l.seq}
			if key != nil {
				s.PublicKey, s.Signature = publicKey(), ed25519.Sign(key, signedBytes(e.Type(), "s", l.seq, l.last))
			}
			e.set(s)
			put(e)
		}
		put(start)
		if key != nil {
			sign(&Checkpoint{})
		}
		put(end)
		sign(&Seal{})
		golden(t, filepath.Join("testdata", name), l.queue)
		if r := verify(t, l.queue, Expected{Last: hex.EncodeToString(l.last[:])}); r.Verdict != Sealed || r.Signed != (key != nil) {
			t.Errorf("%+v", r)
		}
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, got, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-file +got; -update rewrites it):\n%s", path, diff)
	}
}
