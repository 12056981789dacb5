package audit

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Whatever somebody does to the files of a log, it reads as sealed only where it reads as it was written.
func FuzzFilesThatAreTamperedWith(f *testing.F) {
	m := newModel(f)
	for _, seed := range []string{"", "\x00\x01\x00", "\x01\x00\x01", "\x02\x01\x02", "\x03\x01\x7f", "\x04\x02\x10", "\x05\x01\x00", "\x06\x03\x00", "\x07\x02\x01",
		"\x01\x00\x01\x01\x00\x01", "\x08\x00\x00", "\x00\x06\x00", "\x03\x06\xf0"} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, deeds []byte, zst bool) { m.withstands(t, deeds, zst) })
}

// The same for some hundred deeds at random, in every run of the tests.
func TestFilesThatAreTamperedWith(t *testing.T) {
	m := newModel(t)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		deeds := make([]byte, 3*(1+random.IntN(3)))
		for j := range deeds {
			deeds[j] = byte(random.Uint32())
		}
		m.withstands(t, deeds, i%2 == 0)
		if t.Failed() {
			t.Fatalf("after %v", deeds)
		}
	}
}

// A model is a log of several files, plain and compressed.
type model struct {
	plain, packed map[string][]byte
	whole         []byte
}

func newModel(t testing.TB) model {
	t.Helper()
	dir := longEnded(t, 60, Options{})
	if r := verifyAll(t, dir, Expected{}); r.Verdict != Sealed || r.Files < 4 {
		t.Fatalf("%+v", r)
	}
	m := model{plain: load(t, dir), whole: bytesOf(t, dir)}
	packAll(t, dir)
	m.packed = load(t, dir)
	return m
}

func (m model) withstands(t *testing.T, deeds []byte, packed bool) {
	t.Helper()
	files := m.plain
	if packed {
		files = m.packed
	}
	dir := t.TempDir()
	for name, data := range files {
		write(t, dir, name, string(data))
	}
	for ; len(deeds) >= 3; deeds = deeds[3:] {
		tamper(t, dir, deeds[0], deeds[1], deeds[2])
	}
	r, err := VerifyAll(Path(dir, "s1"), Expected{})
	if err != nil || r.Verdict != Sealed {
		return
	}
	if !bytes.Equal(bytesOf(t, dir), m.whole) {
		t.Errorf("it is sealed, and another log: %+v", r)
	}
}

func load(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// tamper does one deed to the files that are there.
func tamper(t testing.TB, dir string, deed, which, how byte) {
	t.Helper()
	var names []string
	for name := range load(t, dir) {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) == 0 {
		return
	}
	name := names[int(which)%len(names)]
	other := names[int(how)%len(names)]
	path := filepath.Join(dir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	at := len(data) * int(how) / 256
	switch deed % 9 {
	case 0: // it is removed
		err = os.Remove(path)
	case 1: // two are exchanged
		swap := filepath.Join(dir, "swap")
		for _, move := range [][2]string{{path, swap}, {filepath.Join(dir, other), path}, {swap, filepath.Join(dir, other)}} {
			if name != other && err == nil {
				err = os.Rename(move[0], move[1])
			}
		}
	case 2: // it is there twice
		write(t, dir, other, string(data))
	case 3: // it is cut
		write(t, dir, name, string(data[:at]))
	case 4: // a byte is another
		if len(data) > 0 {
			data[at] ^= 1 << (which % 8)
			write(t, dir, name, string(data))
		}
	case 5: // it is empty
		write(t, dir, name, "")
	case 6: // a line is gone
		lines = slices.Delete(lines, int(how)%len(lines), int(how)%len(lines)+1)
		write(t, dir, name, string(bytes.Join(lines, nil)))
	case 7: // it has another number
		session, _, _, ok := parseName(name)
		if ok {
			err = os.Rename(path, filepath.Join(dir, closedName(session, int(how)+1)))
		}
	case 8: // another one follows, which no log has written
		write(t, dir, closedName("s1", int(how)+1), string(data))
	}
	if err != nil {
		t.Fatal(err)
	}
}
