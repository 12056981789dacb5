package audit

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

func typical() *Exec {
	return &Exec{UID: 1000, Argv: Texts([]string{"/usr/bin/git", "-c", "core.hooksPath=", "status", "--porcelain", "https://example.com/x"})}
}

// BenchmarkAppend is the sustained rate onto the disk of the scratch directory, seal and last sync included.
func BenchmarkAppend(b *testing.B) {
	for name, o := range map[string]Options{"plain": {}, "signed": {Key: key()}, "secrets": {Secrets: told()}, "rotated": {Rotate: 64 << 20},
		"rotated often": {Rotate: 4 << 20}} {
		b.Run(name, func(b *testing.B) {
			l := create(b, o)
			e := typical()
			b.ReportAllocs()
			for b.Loop() {
				if err := l.Append(e); err != nil {
					b.Fatal(err)
				}
			}
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func told() *Redactor {
	r := &Redactor{}
	r.Add("0123456789abcdef0123456789abcdef")
	r.Add("correct horse battery staple")
	return r
}

// BenchmarkFirstRecord is what a start pays before the agent runs, with a policy of 7 KiB; BenchmarkSync is the disk's part.
func BenchmarkFirstRecord(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "audit")
	policy := `{"agent":[` + strings.Repeat(`{"env":{"A":"some text here"},"x":1},`, 200) + `{}]}`
	e := &Start{Policy: []byte(policy), Argv: Texts([]string{"claude"})}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		l, err := Create(dir, Options{Session: strconv.Itoa(n)})
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Commit(e); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkSync is a file's first write and the two syncs that make it last, without a log.
func BenchmarkSync(b *testing.B) {
	dir, data, n := b.TempDir(), make([]byte, 8<<10), 0
	for b.Loop() {
		n++
		f, err := createFile(dir, strconv.Itoa(n))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := f.Write(data); err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	log := written(b, 20000, Options{})
	b.ReportAllocs()
	b.SetBytes(int64(len(log)))
	for b.Loop() {
		if r, err := Verify(bytes.NewReader(log), Expected{}); err != nil || r.Verdict != Sealed {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(20000*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// However many records there are, the writer and the readers hold no more of them.
func TestMemoryIsFlat(t *testing.T) {
	l := create(t, Options{})
	e := typical()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	fill := func() {
		for range 50_000 {
			if err := l.Append(e); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Commit(e); err != nil {
			t.Fatal(err)
		}
	}
	fill()
	before := heap()
	fill()
	fill()
	if after := heap(); after > before+2*maxQueued {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := Open(l.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var before2, after2 runtime.MemStats
	runtime.ReadMemStats(&before2)
	r, err := Verify(io.Reader(f), Expected{})
	runtime.ReadMemStats(&after2)
	if err != nil || r.Verdict != Sealed || r.Records != 3*50_001+1 {
		t.Errorf("%v, %v", r, err)
	}
	t.Logf("verifying took %d bytes a record in all", (after2.TotalAlloc-before2.TotalAlloc)/r.Records)
}

// BenchmarkPack compresses a closed file of a usual size, and reads it back.
func BenchmarkPack(b *testing.B) {
	dir := longEnded(b, 150_000, Options{Rotate: 1 << 40})
	shelveLast(b, dir)
	s, err := openStore(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	plain, err := s.open(closedName("s1", 1))
	if err != nil {
		b.Fatal(err)
	}
	defer plain.Close()
	st, err := plain.Stat()
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(st.Size())
	for b.Loop() {
		if _, err := plain.Seek(0, io.SeekStart); err != nil {
			b.Fatal(err)
		}
		if err := s.compress(b.Context(), plain, "part"); err != nil {
			b.Fatal(err)
		}
	}
	packed, err := os.Stat(filepath.Join(dir, "part"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(st.Size())/float64(packed.Size()), "times")
}
