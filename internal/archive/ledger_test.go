package archive

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Shipped is asked before a log is removed: every doubt is a no.
func TestWhatCountsAsShipped(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(dir, file, noted string) error
		want   bool
	}{
		"nothing has changed":            {func(string, string, string) error { return nil }, true},
		"the file was read":              {func(_, file, _ string) error { _, err := os.ReadFile(file); return err }, true},
		"the file is a copy of itself":   {func(_, file, _ string) error { return again(file) }, true},
		"a byte of the file has changed": {func(_, file, _ string) error { return writeAt(file, 7) }, false},
		"the file is longer":             {func(_, file, _ string) error { return appendTo(file, "x") }, false},
		"the file is a link":             {func(dir, file, _ string) error { return moveAndLink(dir, file) }, false},
		"the file is not there":          {func(_, file, _ string) error { return os.Remove(file) }, false},
		"nothing is noted":               {func(_, _, noted string) error { return os.Remove(noted) }, false},
		"what is noted is no JSON":       {func(_, _, noted string) error { return os.WriteFile(noted, []byte("{"), 0o600) }, false},
		"what is noted is a link":        {func(dir, _, noted string) error { return moveAndLink(dir, noted) }, false},
		"another name is noted":          {rewrite(func(r *record) { r.Name = "x.000001.jsonl.zst" }), false},
		"another hash is noted":          {rewrite(func(r *record) { r.SHA256 = sumOf("") }), false},
		"no hash is noted":               {rewrite(func(r *record) { r.SHA256 = "" }), false},
		"another size is noted":          {rewrite(func(r *record) { r.Size++ }), false},
		"another archive is noted":       {rewrite(func(r *record) { r.Shipped[0].Destination += "/x" }), false},
		"it was begun":                   {rewrite(func(r *record) { r.Shipped[0].Time = nil }), false},
		"another time of the inode":      {rewrite(func(r *record) { r.Changed++ }), true},
		"anybody may note things":        {func(_, _, noted string) error { return os.Chmod(filepath.Dir(noted), 0o707) }, false},
		"the format is a later one":      {rewrite(func(r *record) { r.Version = 2 }), false},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := closedLogs(t, 5000)
			d := to(t, directoryBackend(t))
			ship(t, dir, d)
			if err := tc.change(dir, filepath.Join(dir, first), filepath.Join(dir, ledgerDir, first+".json")); err != nil {
				t.Fatal(err)
			}
			if got := Shipped(dir, d.String())(first); got != tc.want {
				t.Errorf("it says %v", got)
			}
		})
	}
	dir, _ := closedLogs(t, 5000)
	d := to(t, directoryBackend(t))
	ship(t, dir, d)
	for name, destination := range map[string]string{first: "", "../" + first: d.String(), "1ryn6z2q1j1n.jsonl": d.String(), "": d.String()} {
		if Shipped(dir, destination)(name) {
			t.Errorf("%q in %q", name, destination)
		}
	}
}

func again(path string) error {
	data, err := os.ReadFile(path)
	return errors.Join(err, os.Remove(path), os.WriteFile(path, data, 0o600))
}

func moveAndLink(dir, path string) error {
	aside := filepath.Join(dir, "aside")
	return errors.Join(os.Rename(path, aside), os.Symlink(aside, path))
}

func rewrite(f func(*record)) func(_, _, noted string) error {
	return func(_, _, noted string) error {
		data, err := os.ReadFile(noted)
		if err != nil {
			return err
		}
		var r record
		if err := json.Unmarshal(data, &r); err != nil {
			return err
		}
		f(&r)
		data, err = json.Marshal(r)
		return errors.Join(err, os.WriteFile(noted, data, 0o600))
	}
}

// A ledger that is lost costs a question, and nothing else.
func TestLostLedger(t *testing.T) {
	for name, start := range kinds() {
		if name == "command" { // it alone knows what it has, and is not told that this is a retry
			continue
		}
		t.Run(name, func(t *testing.T) {
			b := start(t)
			dir, want := closedLogs(t, 5000, 6000)
			ship(t, dir, to(t, b))
			if err := os.RemoveAll(filepath.Join(dir, ledgerDir)); err != nil {
				t.Fatal(err)
			}
			if got := outcomes(ship(t, dir, to(t, b))); got != "there\nthere" {
				t.Error(got)
			}
			b.holds(t, want)
		})
	}
}

// A log that was changed after it was shipped is told from one that was not shipped.
func TestChangedAfterItWasShipped(t *testing.T) {
	b := serverBackend(t)
	dir, want := closedLogs(t, 5000)
	ship(t, dir, to(t, b))
	if err := writeAt(filepath.Join(dir, first), 7); err != nil {
		t.Fatal(err)
	}
	if got := outcomes(ship(t, dir, to(t, b))); !strings.Contains(got, "it is not what was shipped on "+time.Now().UTC().Format("2006-01-02")+", whose SHA-256 is "+sumOf(want[first])) {
		t.Error(got)
	}
	b.holds(t, want)
}

// What one archive has says nothing of another, and both are noted.
func TestTwoArchives(t *testing.T) {
	dir, _ := closedLogs(t, 5000)
	one, two := to(t, directoryBackend(t)), to(t, directoryBackend(t))
	for _, d := range []*Destination{one, two} {
		if Shipped(dir, d.String())(first) {
			t.Error("shipped before")
		}
		if got := Pending(dir, []File{{Name: first, Path: filepath.Join(dir, first)}}, d); got[0].Outcome != Untried || got[0].Size != 5000 {
			t.Errorf("%+v", got)
		}
		if got := outcomes(ship(t, dir, d)); got != "shipped" {
			t.Error(got)
		}
	}
	for _, d := range []*Destination{one, two} {
		if !Shipped(dir, d.String())(first) || outcomes(ship(t, dir, d)) != "known" || outcomes(Pending(dir, []File{{Name: first, Path: filepath.Join(dir, first)}}, d)) != "known" {
			t.Errorf("%s is not noted", d)
		}
	}
}

// A log that was changed after one archive took it is not sent to another one, and what the first one took stays noted.
func TestChangedBetweenTwoArchives(t *testing.T) {
	dir, want := closedLogs(t, 5000)
	one, two := directoryBackend(t), directoryBackend(t)
	ship(t, dir, to(t, one))
	if err := writeAt(filepath.Join(dir, first), 7); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*backend{two, one} {
		items := ship(t, dir, to(t, b))
		var e *Error
		if !errors.As(items[0].Err, &e) || !strings.Contains(outcomes(items), "whose SHA-256 is "+sumOf(want[first])) || !strings.HasPrefix(e.Hint, to(t, one).String()) {
			t.Errorf("%s, %+v", outcomes(items), e)
		}
	}
	one.holds(t, want)
	two.holds(t, map[string]string{})
	write(t, filepath.Join(dir, first), want[first])
	if got := outcomes(ship(t, dir, to(t, two))); got != "shipped" {
		t.Errorf("as it was: %s", got)
	}
}

func TestOnePassAtATime(t *testing.T) {
	dir, _ := closedLogs(t, 5000)
	l, err := openLedger(dir)
	if err != nil {
		t.Fatal(err)
	}
	d := to(t, directoryBackend(t))
	if _, err := tryShip(t.Context(), dir, d); !errors.Is(err, ErrBusy) {
		t.Errorf("beside another: %v", err)
	}
	l.close()
	if got := outcomes(ship(t, dir, d)); got != "shipped" {
		t.Errorf("after it: %s", got)
	}
}

// Nobody else may write what was shipped: the log would be removed.
func TestLedgerOfSomebodyElse(t *testing.T) {
	for mode, good := range map[os.FileMode]bool{0o700: true, 0o755: true, 0o770: false, 0o707: false} {
		dir, _ := closedLogs(t, 5000)
		path := filepath.Join(dir, ledgerDir)
		if err := errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		if _, err := tryShip(t.Context(), dir, to(t, directoryBackend(t))); (err == nil) != good {
			t.Errorf("%o: %v", mode, err)
		}
	}
}
