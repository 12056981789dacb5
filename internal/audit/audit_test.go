package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "rewrite golden files")

// key is the same in every run.
func key() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
}

// written makes a log with n records before its seal, and returns its bytes.
func written(t testing.TB, n int, o Options) []byte {
	t.Helper()
	o.Session = "s1"
	l, err := Create(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := l.Append(&Exec{UID: i, Argv: Texts([]string{"sh", "-c", fmt.Sprint("echo ", i)})}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(l.Path())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func verify(t testing.TB, data []byte, want Expected) Report {
	t.Helper()
	r, err := Verify(bytes.NewReader(data), want)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestVerify(t *testing.T) {
	whole := written(t, 5, Options{})
	signed := written(t, 5, Options{Key: key()})
	lines := bytes.SplitAfter(whole, []byte("\n"))
	join := func(order ...int) []byte {
		var b []byte
		for _, i := range order {
			b = append(b, lines[i]...)
		}
		return b
	}
	stranger, _, _ := ed25519.GenerateKey(rand.NewChaCha8([32]byte{}))
	for name, tc := range map[string]struct {
		log     []byte
		want    Expected
		verdict Verdict
		line    uint64
	}{
		"a whole log is sealed":                     {whole, Expected{}, Sealed, 0},
		"signed by the expected key":                {signed, Expected{Key: key().Public().(ed25519.PublicKey)}, Sealed, 0},
		"signed by another":                         {signed, Expected{Key: stranger}, Broken, 7},
		"not signed, where that is expected":        {whole, Expected{Key: stranger}, Broken, 7},
		"another last hash was noted":               {whole, Expected{Last: strings.Repeat("0", 64)}, Broken, 7},
		"the end is cut":                            {join(0, 1, 2, 3), Expected{}, Unsealed, 0},
		"a record is half written":                  {append(join(0, 1, 2), lines[3][:20]...), Expected{}, Unsealed, 0},
		"it is empty":                               {nil, Expected{}, Unsealed, 0},
		"the beginning is cut":                      {join(1, 2, 3, 4, 5), Expected{}, Broken, 1},
		"a record is missing":                       {join(0, 1, 3, 4, 5), Expected{}, Broken, 3},
		"two records are exchanged":                 {join(0, 2, 1, 3, 4, 5), Expected{}, Broken, 2},
		"a record is there twice":                   {join(0, 1, 1, 2, 3, 4, 5), Expected{}, Broken, 3},
		"something follows the seal":                {join(0, 1, 2, 3, 4, 5, 5), Expected{}, Broken, 7},
		"bytes follow the seal":                     {append(join(0, 1, 2, 3, 4, 5), 'x'), Expected{}, Broken, 7},
		"a record is edited":                        {bytes.Replace(whole, []byte("echo 2"), []byte("echo 9"), 1), Expected{}, Broken, 3},
		"a blank is added":                          {bytes.Replace(whole, []byte(`"seq":1,`), []byte(`"seq": 1,`), 1), Expected{}, Broken, 2},
		"a record of another log":                   {append(join(0, 1), bytes.SplitAfter(signed, []byte("\n"))[2]...), Expected{}, Broken, 3},
		"a seal of a log with fewer records":        {append(join(0, 1, 2), lines[5]...), Expected{}, Broken, 4},
		"it is no log":                              {[]byte("hello\n"), Expected{}, Broken, 1},
		"a line longer than a record can be at all": {bytes.Repeat([]byte("x"), maxLine+2), Expected{}, Broken, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if r := verify(t, tc.log, tc.want); r.Verdict != tc.verdict || r.Line != tc.line || (r.Why == "") != (tc.verdict == Sealed) {
				t.Errorf("%+v", r)
			}
		})
	}
}

// Any single edit of a log is noticed, and the place that is named is not behind it.
func TestAnyEditShows(t *testing.T) {
	whole := written(t, 20, Options{Key: key()})
	random := rand.New(rand.NewPCG(3, 4))
	starts := []int{0}
	for i, c := range whole {
		if c == '\n' && i+1 < len(whole) {
			starts = append(starts, i+1)
		}
	}
	lineOf := func(at int) uint64 { return uint64(bytes.Count(whole[:at], []byte("\n"))) + 1 }
	line := func(i int) []byte { return bytes.SplitAfter(whole, []byte("\n"))[i] }
	for range 5000 {
		at, n := random.IntN(len(whole)), random.IntN(len(starts))
		var edited []byte
		var where uint64
		switch random.IntN(5) {
		case 0: // a bit
			edited, where = bytes.Clone(whole), lineOf(at)
			edited[at] ^= 1 << random.IntN(8)
		case 1: // some bytes are gone
			end := min(len(whole), at+1+random.IntN(300))
			edited, where = append(bytes.Clone(whole[:at]), whole[end:]...), lineOf(at)
		case 2: // the end is gone
			edited, where = whole[:at], lineOf(at)
		case 3: // a line is there twice
			edited, where = append(append(bytes.Clone(whole[:starts[n]]), line(n)...), whole[starts[n]:]...), uint64(n)+2
		case 4: // a byte is new
			edited, where = append(append(bytes.Clone(whole[:at]), byte(random.Uint32())), whole[at:]...), lineOf(at)
		}
		r := verify(t, edited, Expected{})
		if r.Verdict == Sealed || r.Verdict == Broken && r.Line > where || r.Verdict == Unsealed && r.Records > where {
			t.Fatalf("an edit at byte %d, line %d: %+v", at, where, r)
		}
	}
}

// A writer that dies at any byte leaves a log that reads up to the last whole record.
func TestCutAtAnyByte(t *testing.T) {
	whole := written(t, 3, Options{})
	for at := range whole {
		r := verify(t, whole[:at], Expected{})
		if want := uint64(bytes.Count(whole[:at], []byte("\n"))); r.Verdict != Unsealed || r.Records != want {
			t.Fatalf("cut at %d: %+v, not %d records", at, r, want)
		}
		n := uint64(0)
		for _, err := range Records(bytes.NewReader(whole[:at])) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != r.Records {
			t.Fatalf("cut at %d: %d records are read, %d verified", at, n, r.Records)
		}
	}
}

func TestTextsAreLosslessAndHarmless(t *testing.T) {
	for _, s := range []string{"", "plain", "\x00\x1b]52;c;AAAA\x07", "\xff\xfe", "ü€𝄞", "\u202eevil\u2028", `"\` + "\n", "\xed\xb2\x80", "a\xf0\x9d", "\x7f\u009b31m"} {
		b, _ := Text(s).MarshalJSON()
		for _, c := range b {
			if c < ' ' || c > '~' {
				t.Errorf("%q is written as %q", s, b)
			}
		}
		var back Text
		if err := back.UnmarshalJSON(b); err != nil || string(back) != s {
			t.Errorf("%q came back as %q (%v)", s, back, err)
		}
	}
}

func TestSecretsAreCut(t *testing.T) {
	for name, tc := range map[string]struct{ argv, gone string }{
		"Anthropic":        {"ANTHROPIC_API_KEY=sk-ant-api03-abcdefghij", "abcdefghij"},
		"OpenAI":           {"sk-proj-abcdefghijklmnopqrstuv", "klmnop"},
		"GitHub":           {"https://x:ghp_abcdefghijklmnopqrstuvwxyz@github.com", "abcdef"},
		"a URL's password": {"https://me:hunter2secret@example.com/x", "hunter2secret"},
		"AWS":              {"AKIAABCDEFGHIJKLMNOP", "ABCDEFGH"},
		"a header":         {`curl -H "Authorization: Bearer abc.def-ghi"`, "abc.def"},
		"a JWT":            {"eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", "eyJzdWI"},
		"a private key":    {"-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\n-----END RSA PRIVATE KEY-----", "MIIEabc"},
		"a value it knows": {"--token=correct horse\x01battery", "horse"},
	} {
		t.Run(name, func(t *testing.T) {
			secrets := &Redactor{}
			secrets.Add("correct horse\x01battery")
			data, err := encodeEvent(&Exec{Argv: Texts([]string{tc.argv, "kept"})}, secrets)
			if err != nil || bytes.Contains(data, []byte(tc.gone)) || !bytes.Contains(data, []byte("[redacted")) || !bytes.Contains(data, []byte(`"kept"`)) {
				t.Errorf("%s, %v", data, err)
			}
			if _, err := (Record{Type: "session.exec", Data: data}).Event(); err != nil {
				t.Errorf("what is left is no JSON: %v", err)
			}
		})
	}
}

// A committed record is on disk when Commit returns, and an appended one within 100 ms.
func TestOnDisk(t *testing.T) {
	l, err := Create(t.TempDir(), Options{Session: "s"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	records := func() int {
		data, _ := os.ReadFile(l.Path())
		return bytes.Count(data, []byte("\n"))
	}
	if err := l.Commit(&Freeze{By: "test"}); err != nil || records() != 1 {
		t.Errorf("%d records, %v", records(), err)
	}
	began := time.Now()
	if err := l.Append(&Resume{By: "test"}); err != nil {
		t.Fatal(err)
	}
	for records() < 2 && time.Since(began) < 10*time.Second {
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(began); took > 100*time.Millisecond {
		t.Logf("it took %v; the disk is busy", took)
	}
	st, err := os.Stat(l.Path())
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if _, err := Create(filepath.Dir(l.Path()), Options{Session: "s"}); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second log of the session: %v", err)
	}
}

func TestManyWritersOneChain(t *testing.T) {
	l, err := Create(t.TempDir(), Options{Session: "s"})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 200 {
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
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(l.Path())
	if r := verify(t, data, Expected{}); r.Verdict != Sealed || r.Records != 8*201+1 {
		t.Errorf("%+v", r)
	}
	if err := l.Append(&Usage{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after the seal: %v", err)
	}
}

// A full disk is noticed, told once, and leaves a log that reads.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a small filesystem")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	failed := make(chan error, 10)
	l, err := Create(filepath.Join(dir, "audit"), Options{Session: "s", Failed: func(err error) { failed <- err }})
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		err = l.Commit(&Exec{Argv: Texts([]string{strings.Repeat("x", 5000)})})
	}
	if !errors.Is(err, unix.ENOSPC) || !errors.Is(<-failed, unix.ENOSPC) || l.Close() == nil {
		t.Errorf("%v", err)
	}
	data, _ := os.ReadFile(l.Path())
	if r := verify(t, data, Expected{}); r.Verdict != Unsealed || r.Records == 0 || !bytes.HasSuffix(data, []byte("\n")) {
		t.Errorf("%+v", r)
	}
}

func TestDirectoryThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(filepath.Join(file, "audit"), Options{Session: "s"}); err == nil {
		t.Error("made")
	}
}

// The golden log fixes the format: a change of its bytes is a new version.
func TestFormat(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	var b []byte
	var prev [32]byte
	for i, e := range []Event{
		&Start{Agentbox: "1.0", Argv: Texts([]string{"claude", "\xff\x1b"}), Layers: Texts([]string{"preset default"}), Policy: []byte(`{"a":"é"}`), Limits: []Limit{}, Degraded: []Degraded{}},
		&End{Cause: "exited", ExitCode: 3, Seconds: 1.5}, &Seal{Records: 2},
	} {
		data, err := encodeEvent(e, &Redactor{})
		if err != nil {
			t.Fatal(err)
		}
		b, prev = appendRecord(b, record{seq: uint64(i), time: at, session: "s", kind: e.Type(), data: data, prev: prev})
	}
	golden := filepath.Join("testdata", "format.jsonl")
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(golden, b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(b)); diff != "" {
		t.Error(diff)
	}
	if r := verify(t, b, Expected{Last: hex.EncodeToString(prev[:])}); r.Verdict != Sealed {
		t.Errorf("%+v", r)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(written(f, 2, Options{Key: key()}))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := verify(t, data, Expected{})
		n := uint64(0)
		for _, err := range Records(bytes.NewReader(data)) {
			if err == nil {
				n++
			}
		}
		if r.Verdict == "" || n < r.Records {
			t.Errorf("%+v; %d records can be read", r, n)
		}
	})
}

func FuzzText(f *testing.F) {
	f.Add("a\xff\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		b, _ := Text(s).MarshalJSON()
		var back Text
		if err := back.UnmarshalJSON(b); err != nil || string(back) != s {
			t.Errorf("%q as %s came back as %q, %v", s, b, back, err)
		}
		_ = back.UnmarshalJSON([]byte(s))
	})
}

func BenchmarkAppend(b *testing.B) {
	l, err := Create(b.TempDir(), Options{Session: "s"})
	if err != nil {
		b.Fatal(err)
	}
	e := &Exec{UID: 1000, Argv: Texts([]string{"/usr/bin/git", "status", "--porcelain"})}
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
}
