package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// stranger is another key than the log's.
func stranger() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize))
}

// decided adds a part with one record to the log of a directory, and returns the log's bytes.
func decided(t testing.TB, dir string, key ed25519.PrivateKey) []byte {
	t.Helper()
	l, err := Continue(dir, Options{Session: "s1", Key: key}, Continued{Agentbox: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Commit(&Discard{Changes: 3, Why: "asked"}), l.Close()); err != nil {
		t.Fatal(err)
	}
	return content(t, l)
}

// ended makes a directory with a session's log of four records and, unless it is cut, a seal.
func ended(t testing.TB, key ed25519.PrivateKey, cut bool) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "audit")
	data := written(t, 4, Options{Key: key})
	if cut {
		data = data[:bytes.LastIndexByte(data[:len(data)-1], '\n')+1]
	}
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(Path(dir, "s1"), data, 0o600)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What follows in a log is verified with it; what its writer, a crash or a stranger left shows.
func TestParts(t *testing.T) {
	hexKey := hex.EncodeToString(publicKey())
	for name, tc := range map[string]struct {
		first, second ed25519.PrivateKey
		cut           bool
		want          Expected
		report        string
		vouched       uint64
		signed        bool
	}{
		"a part without a key":                        {report: "sealed: 8 records"},
		"both signed":                                 {first: key(), second: key(), report: "sealed: 8 records; 8 signed by " + hexKey, vouched: 8, signed: true},
		"the second cannot be signed":                 {first: key(), report: "sealed: 8 records; 5 signed by " + hexKey, vouched: 5},
		"the second alone is signed":                  {second: key(), report: "sealed: 8 records"},
		"another key signs nothing":                   {first: key(), second: stranger(), report: "sealed: 8 records; 5 signed by " + hexKey, vouched: 5},
		"an unsigned part where the key is expected":  {first: key(), want: Expected{Key: publicKey()}, report: "broken at record 7 (line 8, byte N): it is not signed by the expected key; 5 signed by " + hexKey, vouched: 5},
		"the session's writer had died":               {cut: true, report: "unsealed after record 3: there is no seal, and a later part follows"},
		"it had died, and a signature does not vouch": {cut: true, first: key(), second: key(), want: Expected{Key: publicKey()}, report: "unsealed after record 3: there is no seal, and a later part follows"},
	} {
		t.Run(name, func(t *testing.T) {
			data := decided(t, ended(t, tc.first, tc.cut), tc.second)
			r := verify(t, data, tc.want)
			got := strings.Replace(r.String(), fmt.Sprintf("byte %d", r.Offset), "byte N", 1)
			if got != tc.report || r.Vouched != tc.vouched || r.Signed != tc.signed || r.Parts != 2 {
				t.Errorf("%s\n%+v", got, r)
			}
		})
	}
}

// No edit, cut or reordering of parts reads as sealed; but for a cut behind a seal, which only the last hash shows.
func TestPartsThatAreTamperedWith(t *testing.T) {
	dir := ended(t, nil, false)
	decided(t, dir, nil)
	whole := decided(t, dir, nil) // 0…3, seal; continue, discard, seal; continue, discard, seal
	lines := slices.Collect(bytes.Lines(whole))
	join := func(order ...int) (b []byte) {
		for _, i := range order {
			b = append(b, lines[i]...)
		}
		return b
	}
	last := verify(t, whole, Expected{}).Last
	for name, tc := range map[string]struct {
		log     []byte
		last    string
		verdict Verdict
	}{
		"as they were written":                     {whole, "", Sealed},
		"the last part is gone":                    {join(0, 1, 2, 3, 4, 5, 6, 7), "", Sealed},
		"the last part is gone, its hash is noted": {join(0, 1, 2, 3, 4, 5, 6, 7), last, Broken},
		"the part between is gone":                 {join(0, 1, 2, 3, 4, 8, 9, 10), "", Broken},
		"two parts are exchanged":                  {join(0, 1, 2, 3, 4, 8, 9, 10, 5, 6, 7), "", Broken},
		"a part is there twice":                    {join(0, 1, 2, 3, 4, 5, 6, 7, 5, 6, 7, 8, 9, 10), "", Broken},
		"the seal between is gone":                 {join(0, 1, 2, 3, 4, 5, 6, 8, 9, 10), "", Broken},
		"a part does not begin as one":             {join(0, 1, 2, 3, 4, 6, 7), "", Broken},
		"a record of a part is edited":             {bytes.Replace(whole, []byte(`"changes":3`), []byte(`"changes":4`), 1), "", Broken},
		"the end of the last part is cut":          {join(0, 1, 2, 3, 4, 5, 6, 7, 8, 9), "", Unsealed},
		"the session's own part is gone":           {join(5, 6, 7, 8, 9, 10), "", Broken},
	} {
		t.Run(name, func(t *testing.T) {
			if r := verify(t, tc.log, Expected{Last: tc.last}); r.Verdict != tc.verdict {
				t.Errorf("%+v", r)
			}
		})
	}
}

// A writer of a part that dies at any byte leaves a log that reads up to the last whole record, and that can go on.
func TestPartCutAtAnyByte(t *testing.T) {
	whole := decided(t, ended(t, nil, false), nil)
	first := len(bytes.Join(bytes.SplitAfter(whole, []byte("\n"))[:5], nil))
	dir := filepath.Join(t.TempDir(), "audit")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for at := first; at < len(whole); at += 7 {
		if err := os.WriteFile(Path(dir, "s1"), whole[:at], 0o600); err != nil {
			t.Fatal(err)
		}
		n := uint64(bytes.Count(whole[:at], []byte("\n")))
		if r := verify(t, whole[:at], Expected{}); r.Records != n || (r.Verdict == Sealed) != (at == first) || r.Verdict == Broken {
			t.Fatalf("cut at %d: %+v", at, r)
		}
		after := verify(t, decided(t, dir, nil), Expected{})
		if after.Records != n+3 || (after.Verdict == Sealed) != (n == 5) || after.Verdict == Broken {
			t.Fatalf("continued after a cut at %d: %+v", at, after)
		}
	}
}

// A log that is lost does not keep what is decided later from being recorded, and shows.
func TestPartOfALostLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	r := verify(t, decided(t, dir, nil), Expected{})
	if got, want := r.String(), "unsealed before the first record: the log of the session is missing; what was decided later is there"; got != want {
		t.Errorf("%q, not %q", got, want)
	}
	if r = verify(t, decided(t, dir, nil), Expected{}); r.Verdict != Unsealed || r.Parts != 2 {
		t.Errorf("%+v", r)
	}
}

func TestContinueRefuses(t *testing.T) {
	open := func(dir, session string) error {
		l, err := Continue(dir, Options{Session: session}, Continued{})
		if err == nil {
			l.Close()
		}
		return err
	}
	t.Run("what was changed", func(t *testing.T) {
		dir := ended(t, nil, false)
		data, _ := os.ReadFile(Path(dir, "s1"))
		edited := bytes.Replace(data, []byte("echo"), []byte("true"), 1)
		if err := os.WriteFile(Path(dir, "s1"), edited, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := open(dir, "s1"); !errors.Is(err, ErrTampered) {
			t.Error(err)
		}
		if after, _ := os.ReadFile(Path(dir, "s1")); !bytes.Equal(after, edited) {
			t.Error("it was written to")
		}
	})
	t.Run("the log of another session", func(t *testing.T) {
		dir := ended(t, nil, false)
		if err := os.Rename(Path(dir, "s1"), Path(dir, "s2")); err != nil {
			t.Fatal(err)
		}
		if err := open(dir, "s2"); !errors.Is(err, ErrTampered) {
			t.Error(err)
		}
	})
	t.Run("a log that is written", func(t *testing.T) {
		l := create(t, Options{})
		if err := l.Commit(&Ready{}); err != nil {
			t.Fatal(err)
		}
		if err := open(filepath.Dir(l.Path()), "s1"); !errors.Is(err, ErrBusy) {
			t.Error(err)
		}
	})
	t.Run("a link and a pipe", func(t *testing.T) {
		dir := ended(t, nil, false)
		if err := errors.Join(os.Symlink(Path(dir, "s1"), Path(dir, "s3")), unix.Mkfifo(Path(dir, "s4"), 0o600)); err != nil {
			t.Fatal(err)
		}
		if open(dir, "s3") == nil || open(dir, "s4") == nil {
			t.Error("it was opened")
		}
	})
	t.Run("a directory that others write", func(t *testing.T) {
		dir := ended(t, nil, false)
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := open(dir, "s1"); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
}

// A log that is followed shows its later parts, too, and ends behind the last of them.
func TestFollowGoesThroughParts(t *testing.T) {
	dir := ended(t, nil, false)
	decided(t, dir, nil)
	n := 0
	for _, err := range Follow(t.Context(), Path(dir, "s1"), Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 8 {
		t.Errorf("%d records", n)
	}
}
