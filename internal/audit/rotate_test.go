package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// small makes a log go on in another file after a few records.
const small = 4 << 10

// long writes n records into a log of several files, without a seal, and returns the directory.
func long(t testing.TB, n int, o Options) (dir string, l *Log) {
	t.Helper()
	if o.Rotate == 0 {
		o.Rotate = small
	}
	l = create(t, o)
	for i := range n {
		if err := l.Append(&Exec{UID: i, Argv: Texts([]string{"sh", "-c", fmt.Sprint("echo ", i)})}); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Dir(l.Path()), l
}

// longEnded is long with its seal.
func longEnded(t testing.TB, n int, o Options) (dir string) {
	t.Helper()
	dir, l := long(t, n, o)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func verifyAll(t testing.TB, dir string, want Expected) Report {
	t.Helper()
	r, err := VerifyAll(Path(dir, "s1"), want)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// bytesOf is the whole log as one.
func bytesOf(t testing.TB, dir string) []byte {
	t.Helper()
	return contents(t, dir, "s1")
}

// execs are the numbers that long gave its records, in the order in which they are read.
func execs(t testing.TB, r io.Reader) (numbers []int) {
	t.Helper()
	for r, err := range Records(r) {
		if err != nil {
			t.Fatal(err)
		}
		if e, err := r.Event(); err == nil {
			if e, ok := e.(*Exec); ok {
				numbers = append(numbers, e.UID)
			}
		}
	}
	return numbers
}

// packAll compresses every closed file, as upkeep does.
func packAll(t testing.TB, dir string) {
	t.Helper()
	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	files, err := s.find("s1")
	if err != nil {
		t.Fatal(err)
	}
	for n := range files.last() {
		if err := s.pack(t.Context(), closedName("s1", n+1)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOneChainGoesThroughAllFiles(t *testing.T) {
	for name, key := range map[string]ed25519.PrivateKey{"plain": nil, "signed": key()} {
		t.Run(name, func(t *testing.T) {
			dir := longEnded(t, 200, Options{Key: key})
			want := Expected{}
			if key != nil {
				want.Key = publicKey()
			}
			r := verifyAll(t, dir, want)
			if r.Verdict != Sealed || r.Files < 5 || r.Signed != (key != nil) || r.Parts != 1 {
				t.Fatalf("%+v", r)
			}
			before := bytesOf(t, dir)
			packAll(t, dir)
			if packed, _ := filepath.Glob(filepath.Join(dir, "*.zst")); len(packed) != r.Files-1 {
				t.Errorf("compressed are %v", packed)
			}
			if diff := cmp.Diff(r, verifyAll(t, dir, want)); diff != "" {
				t.Errorf("compressed (-want +got):\n%s", diff)
			}
			if !bytes.Equal(bytesOf(t, dir), before) {
				t.Error("compressed it reads otherwise")
			}
			numbers := execs(t, bytes.NewReader(before))
			for i, n := range numbers {
				if i != n || len(numbers) != 200 {
					t.Fatalf("record %d of %d is %d", i, len(numbers), n)
				}
			}
		})
	}
}

// Every name of a log's files stands for the whole log.
func TestNamesOfFiles(t *testing.T) {
	dir := longEnded(t, 60, Options{})
	packAll(t, dir)
	r := verifyAll(t, dir, Expected{})
	for _, name := range []string{"s1.jsonl", "s1.000001.jsonl", "s1.000001.jsonl.zst", "s1.000002.jsonl.zst"} {
		if got, err := VerifyAll(filepath.Join(dir, name), Expected{}); err != nil || got.Verdict != Sealed || got.Last != r.Last {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, want := range map[string]bool{"s1.jsonl": true, "s1.000001.jsonl": true, "s1.1000000.jsonl.zst": true, "s1.jsonl.zst": false, "s1.0000001.jsonl": false,
		"s1.000000.jsonl": false, "s1.00001.jsonl": false, "s1.x.jsonl": false, ".s1.000001.jsonl.zst.tmp": false, ".jsonl": false, "s1.000001.000002.jsonl": false, "s1": false} {
		if _, _, _, ok := parseName(name); ok != want {
			t.Errorf("%s is taken for a log's file: %t", name, ok)
		}
	}
}

// Whoever commits has its record on disk, in whichever file; nobody waits for ever, and nothing is lost, when all write at once.
func TestRotationUnderManyWriters(t *testing.T) {
	l := create(t, Options{Rotate: small, Key: key()})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 100 {
				if err := errors.Join(l.Append(&Usage{Pids: uint64(i)}), l.Commit(&Freeze{By: "test"})); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r := verifyAll(t, filepath.Dir(l.Path()), Expected{Key: publicKey()})
	if r.Verdict != Sealed || r.Files < 20 || r.Records != uint64(8*200+2*(r.Files-1)+1) {
		t.Errorf("%+v", r)
	}
}

// A decision goes into the file that is there, or into another one where all are closed.
func TestContinueALogOfManyFiles(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, dir string){
		"as it was left":            func(*testing.T, string) {},
		"compressed":                func(t *testing.T, dir string) { packAll(t, dir) },
		"the last file is closed":   func(t *testing.T, dir string) { shelveLast(t, dir) },
		"all of it is compressed":   func(t *testing.T, dir string) { shelveLast(t, dir); packAll(t, dir) },
		"with a compression undone": func(t *testing.T, dir string) { write(t, dir, partName(packedName("s1", 1)), "x") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := longEnded(t, 60, Options{})
			prepare(t, dir)
			for range 2 {
				decided(t, dir, nil)
			}
			r := verifyAll(t, dir, Expected{})
			if r.Verdict != Sealed || r.Parts != 3 || r.Records < 66 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// shelveLast closes the last file of a session that has ended, as upkeep does.
func shelveLast(t testing.TB, dir string) {
	t.Helper()
	files, err := find(dir, "s1")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(Path(dir, "s1"), filepath.Join(dir, closedName("s1", files.last()+1))); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A log is followed through every file, however fast they change.
func TestFollowThroughRotations(t *testing.T) {
	for name, late := range map[string]bool{"at once": false, "when the other files are closed and compressed": true} {
		t.Run(name, func(t *testing.T) {
			dir, l := long(t, 1, Options{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				for i := range 3000 {
					if err := l.Append(&Exec{UID: i + 1}); err != nil {
						t.Error(err)
					}
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			}()
			n, seq := 0, uint64(0)
			for r, err := range Follow(t.Context(), Path(dir, "s1"), Filter{}) {
				if err != nil || r.Seq != seq {
					t.Fatalf("record %d, where %d belongs: %v", r.Seq, seq, err)
				}
				if late && seq == 0 {
					<-done
					packAll(t, dir)
				}
				seq++
				if r.Type == "session.exec" {
					n++
				}
			}
			if n != 3001 {
				t.Errorf("%d records", n)
			}
		})
	}
}

// A compressed file that somebody made does not fill the memory, and is not taken for a log's.
func TestCompressedFilesThatAreBad(t *testing.T) {
	dir := longEnded(t, 60, Options{})
	packAll(t, dir)
	name := packedName("s1", 2)
	good, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	for what, tc := range map[string]struct {
		data []byte
		says string
	}{
		"garbage":                   {[]byte("this is no such file"), "cannot be decompressed"},
		"nothing":                   {nil, "it is record"},
		"cut":                       {good[:len(good)/2], "cannot be decompressed"},
		"a bit is another":          {append(bytes.Clone(good[:len(good)-9]), append([]byte{good[len(good)-9] ^ 1}, good[len(good)-8:]...)...), ""},
		"something behind it":       {append(bytes.Clone(good), "more"...), "cannot be decompressed"},
		"a gigabyte of one letter":  {bomb(t, 1<<30, 1<<20), "longer than a record"},
		"a window of 128 mebibytes": {bomb(t, 200<<20, 128<<20), "cannot be decompressed"},
		"a record of another log":   {zipped(t, written(t, 3, Options{}), 1<<20), "it is record 0"},
	} {
		t.Run(what, func(t *testing.T) {
			write(t, dir, name, string(tc.data))
			r := verifyAll(t, dir, Expected{})
			if r.Verdict != Broken || !strings.Contains(r.Why, tc.says) {
				t.Errorf("%+v", r)
			}
			f, err := OpenAll(Path(dir, "s1"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			_, _ = io.Copy(io.Discard, io.LimitReader(f, 1<<20))
		})
	}
	write(t, dir, name, string(good))
	f, err := openClosed(dir, closedName("s1", 2))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	for what, whole := range map[string][]byte{"as it was": good, "made by another program, which knows the size": sized(t, data), "in two frames": slices.Concat(sized(t, data[:100]), sized(t, data[100:]))} {
		write(t, dir, name, string(whole))
		if r := verifyAll(t, dir, Expected{}); r.Verdict != Sealed {
			t.Errorf("%s: %+v", what, r)
		}
	}
}

func zipped(t testing.TB, data []byte, window int) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(z, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sized is a frame that says how long its content is.
func sized(t testing.TB, data []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return z.EncodeAll(data, nil)
}

func bomb(t testing.TB, size int64, window int) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(z, letters{}, size); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// Compression ends when it is told to, and leaves the file as it was.
func TestPackThatIsStopped(t *testing.T) {
	dir := longEnded(t, 60, Options{})
	before := bytesOf(t, dir)
	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := os.Stat(filepath.Join(dir, closedName("s1", 1))); err != nil {
		t.Skip("it was compressed before the log was closed")
	}
	if err := s.pack(ctx, closedName("s1", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	if !bytes.Equal(bytesOf(t, dir), before) {
		t.Error("it reads otherwise")
	}
}
