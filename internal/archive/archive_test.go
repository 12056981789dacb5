package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"agentbox/internal/boxtest"
	"agentbox/internal/outside"
	"agentbox/internal/secret"
	"agentbox/profile"
)

// killEnv makes the test program a pass that kills itself: see killed_test.go.
const killEnv = "AGENTBOX_TEST_ARCHIVE"

func TestMain(m *testing.M) {
	if os.Getenv(killEnv) != "" {
		fmt.Println(shipAndDie(os.Getenv(killEnv)))
		os.Exit(3)
	}
	os.Exit(boxtest.Main(m))
}

// closedLogs makes a directory of the person's with closed logs of some sizes, beside what is none.
func closedLogs(t testing.TB, sizes ...int) (dir string, want map[string]string) {
	t.Helper()
	dir, want = t.TempDir(), map[string]string{}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{1})
	for i, size := range sizes {
		data := make([]byte, size)
		_, _ = random.Read(data)
		name := fmt.Sprintf("1ryn6z2q1j1n.%06d.jsonl.zst", i+1)
		write(t, filepath.Join(dir, name), string(data))
		want[name] = string(data)
	}
	write(t, filepath.Join(dir, "1ryn6z2q1j1n.jsonl"), "it grows")
	write(t, filepath.Join(dir, "1ryn6z2q1j1n.000009.jsonl.zst.tmp"), "it is made")
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "1ryn6z2q1j1n.000008.jsonl.zst")); err != nil {
		t.Fatal(err)
	}
	return dir, want
}

const first = "1ryn6z2q1j1n.000001.jsonl.zst"

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// quick is a patience that tests can wait for.
var quick = patience{tries: 3, first: time.Millisecond, most: 10 * time.Millisecond, stall: 5 * time.Second}

// to opens an archive of the tests.
func to(t testing.TB, b *backend) *Destination {
	t.Helper()
	d, err := destination(b.archive, b.token, b.ca, b.home, quick)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func destination(text, token, ca, home string, p patience) (*Destination, error) {
	a, err := profile.ParseArchive(text)
	if err != nil {
		return nil, err
	}
	access := Access{Place: outside.Place{Home: home}}
	if ca != "" {
		access.Roots = x509.NewCertPool()
		access.Roots.AppendCertsFromPEM([]byte(ca))
	}
	if token != "" {
		reader := secret.Reader{Env: func(string) (string, bool) { return token, true }}
		if access.Token, err = reader.Open(context.Background(), "env:TOKEN"); err != nil {
			return nil, err
		}
	}
	d, err := New(a, access)
	if err != nil {
		return nil, err
	}
	d.patience = p
	switch s := d.store.(type) {
	case *server:
		s.stall = p.stall
	case *bucket:
		s.stall = p.stall
	}
	return d, nil
}

// ship is one pass.
func ship(t testing.TB, dir string, d *Destination) []Item {
	t.Helper()
	items, err := tryShip(t.Context(), dir, d)
	if err != nil {
		t.Fatal(err)
	}
	return items
}

func tryShip(ctx context.Context, dir string, d *Destination) ([]Item, error) {
	files, err := Closed(dir)
	if err != nil {
		return nil, err
	}
	return Ship(ctx, dir, files, d, nil)
}

// outcomes are what became of files, and what is wrong.
func outcomes(items []Item) string {
	var words []string
	for _, i := range items {
		word := string(i.Outcome)
		if i.Err != nil {
			word += ": " + i.Err.Error()
		}
		words = append(words, word)
	}
	return strings.Join(words, "\n")
}

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// holds compares what an archive has, each name once and whole, with what it should have.
func (b *backend) holds(t *testing.T, want map[string]string) {
	t.Helper()
	got := b.files(t)
	for name, data := range want {
		if got[name] != data {
			t.Errorf("%s is %d bytes there, %d here, and not the same", name, len(got[name]), len(data))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("the archive has %s, which nobody sent", name)
		}
	}
	for name, n := range b.stored(t) {
		if n != 1 {
			t.Errorf("%s was stored %d times", name, n)
		}
	}
}

// Whatever the archive is, a pass brings what is not there, and the next one brings nothing.
func TestEveryKindOfArchiveTakesEachFileOnce(t *testing.T) {
	for name, start := range kinds() {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			dir, want := closedLogs(t, 10, 200_000, 70_000)
			d := to(t, b)
			if got := outcomes(ship(t, dir, d)); got != "shipped\nshipped\nshipped" {
				t.Fatal(got)
			}
			b.holds(t, want)
			if got := outcomes(ship(t, dir, d)); got != "known\nknown\nknown" {
				t.Error(got)
			}
			b.holds(t, want)
			shipped := Shipped(dir, d.String())
			for name := range want {
				if !shipped(name) {
					t.Errorf("%s is not known to be shipped", name)
				}
			}
			noSecretBelow(t, dir, b.token)
		})
	}
}

// A name that is taken is an error; the files beside it are shipped, and so is the twin that has the same content.
func TestNothingIsOverwritten(t *testing.T) {
	for name, start := range kinds() {
		if name == "command" { // which alone knows
			continue
		}
		t.Run(name, func(t *testing.T) {
			b := start(t)
			dir, want := closedLogs(t, 5000, 6000, 7000)
			b.put(t, "1ryn6z2q1j1n.000001.jsonl.zst", strings.Repeat("x", 5000))
			b.put(t, "1ryn6z2q1j1n.000002.jsonl.zst", want["1ryn6z2q1j1n.000002.jsonl.zst"])
			d := to(t, b)
			items := ship(t, dir, d)
			if got := outcomes(items); got != "failed: "+errOther.Error()+"\nthere\nshipped" {
				t.Fatal(got)
			}
			want[first] = strings.Repeat("x", 5000)
			b.holds(t, want)
			if Shipped(dir, d.String())(first) {
				t.Error("it counts as shipped")
			}
		})
	}
}

// A file that changes while it is sent is not sent to its end.
func TestFilesThatChangeOnTheirWay(t *testing.T) {
	for change, apply := range map[string]func(path string) error{
		"it shrinks":              func(path string) error { return os.Truncate(path, 100_000) },
		"it grows":                func(path string) error { return appendTo(path, "more") },
		"its last byte changes":   func(path string) error { return writeAt(path, 299_999) },
		"it becomes another file": func(path string) error { return os.Remove(path) },
	} {
		for name, start := range kinds() {
			t.Run(name+", "+change, func(t *testing.T) {
				b := start(t)
				dir, want := closedLogs(t, 300_000)
				d := to(t, b)
				changed := false
				d.step = func(step string) {
					if step == "sending" && !changed {
						changed = true
						if err := apply(filepath.Join(dir, first)); err != nil {
							t.Error(err)
						}
					}
				}
				got := outcomes(ship(t, dir, d))
				if change == "it becomes another file" { // the one that was opened is sent
					if got != "shipped" {
						t.Error(got)
					}
					b.holds(t, want)
					return
				}
				if got != "failed: "+errChanged.Error() {
					t.Error(got)
				}
				b.holds(t, nil)
			})
		}
	}
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func writeAt(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	b[0]++
	_, err2 := f.WriteAt(b[:], at)
	return errors.Join(err, err2, f.Close())
}

// noSecretBelow looks for a value in every file of a directory.
func noSecretBelow(t *testing.T, dir, value string) {
	t.Helper()
	if value == "" {
		return
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		for part := range strings.SplitSeq(value, ":") {
			if bytes.Contains(data, []byte(part)) {
				t.Errorf("%s holds the secret", path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNamesOfClosedLogs(t *testing.T) {
	for name, want := range map[string]bool{
		"1ryn6z2q1j1n.000001.jsonl.zst":               true,
		"s1.999999.jsonl.zst":                         true,
		"1ryn6z2q1j1n.jsonl":                          false,
		"1ryn6z2q1j1n.jsonl.zst":                      false,
		"1ryn6z2q1j1n.00001.jsonl.zst":                false,
		"1ryn6z2q1j1n.0000001.jsonl.zst":              false,
		"1ryn6z2q1j1n.000001.jsonl.zst.tmp":           false,
		".1ryn6z2q1j1n.000001.jsonl.zst":              false,
		"../x.000001.jsonl.zst":                       false,
		"a\n.000001.jsonl.zst":                        false,
		"-rf.000001.jsonl.zst":                        false,
		"..000001.jsonl.zst":                          false,
		strings.Repeat("a", 65) + ".000001.jsonl.zst": false,
	} {
		if isClosed(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
	dir, want := closedLogs(t, 1, 1)
	files, err := Closed(dir)
	if err != nil || len(files) != len(want) {
		t.Errorf("%v, %v", files, err)
	}
	if files, err := Closed(filepath.Join(dir, "none")); err != nil || files != nil {
		t.Errorf("a directory that is not there: %v, %v", files, err)
	}
	if diff := cmp.Diff([]File{{Name: first, Path: filepath.Join(dir, first)}}, files[:1]); diff != "" {
		t.Error(diff)
	}
}

// What counts of a closed log is its plain form. While that is there nothing is sent, and the pass says so.
func TestLogsThatAreNotCompressed(t *testing.T) {
	b := directoryBackend(t)
	dir, want := closedLogs(t, 10, 20)
	write(t, filepath.Join(dir, "1ryn6z2q1j1n.000002.jsonl"), "both forms")
	write(t, filepath.Join(dir, "1ryn6z2q1j1n.000003.jsonl"), "the plain one")
	d := to(t, b)
	files, err := Closed(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := outcomes(Pending(dir, files, d)); got != "untried\nuntried\nuntried" {
		t.Errorf("a pass would do %s", got)
	}
	if got, refused := outcomes(ship(t, dir, d)), "failed: "+errUnpacked.Error(); got != "shipped\n"+refused+"\n"+refused {
		t.Error(got)
	}
	b.holds(t, map[string]string{first: want[first]})
	if err := errors.Join(os.Remove(filepath.Join(dir, "1ryn6z2q1j1n.000002.jsonl")), os.Remove(filepath.Join(dir, "1ryn6z2q1j1n.000003.jsonl"))); err != nil {
		t.Fatal(err)
	}
	if got := outcomes(ship(t, dir, d)); got != "known\nshipped" {
		t.Error(got)
	}
	b.holds(t, want)
}
