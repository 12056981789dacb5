package audit

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestFilter(t *testing.T) {
	l := create(t, Options{})
	for _, e := range []Event{&Start{}, &Ready{}, &Usage{}, &Exec{}, &End{}} {
		if err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	log := content(t, l)
	var third time.Time
	for r := range Records(bytes.NewReader(log)) {
		if r.Seq == 2 {
			third = r.Time
		}
		if r.Line() != strings.Split(string(log), "\n")[r.Seq] {
			t.Errorf("record %d is the line %q", r.Seq, r.Line())
		}
	}
	for name, tc := range map[string]struct {
		filter Filter
		want   string
	}{
		"all":                       {Filter{}, "session.start session.ready usage session.exec session.end log.seal"},
		"a type":                    {Filter{Types: []string{"usage"}}, "usage"},
		"a group of types":          {Filter{Types: []string{"session"}}, "session.start session.ready session.exec session.end"},
		"two types":                 {Filter{Types: []string{"usage", "log"}}, "usage log.seal"},
		"half the name of a type":   {Filter{Types: []string{"sess"}}, ""},
		"from a record on":          {Filter{First: 4}, "session.end log.seal"},
		"up to a record":            {Filter{Last: 1}, "session.start session.ready"},
		"since a time":              {Filter{Since: third}, "usage session.exec session.end log.seal"},
		"until before it":           {Filter{Until: third}, "session.start session.ready"},
		"a type within some bounds": {Filter{Types: []string{"session"}, First: 1, Last: 3}, "session.ready session.exec"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for r, err := range Read(bytes.NewReader(log), tc.filter) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, string(r.Type))
			}
			if diff := cmp.Diff(tc.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// An edited line ends the reading with an error, and what is before it is read.
func TestReadingStopsAtAnEdit(t *testing.T) {
	log := bytes.Replace(written(t, 5, Options{}), []byte("echo 3"), []byte("echo 9"), 1)
	n, failed := 0, error(nil)
	for _, err := range Records(bytes.NewReader(log)) {
		if err == nil {
			n++
		}
		failed = err
	}
	if n != 3 || failed == nil {
		t.Errorf("%d records, %v", n, failed)
	}
	for range Records(bytes.NewReader(log)) { // a caller may stop
		break
	}
}

// A log is followed while it is written, over a half-written line, until its seal.
func TestFollow(t *testing.T) {
	whole := written(t, 3, Options{})
	path := filepath.Join(t.TempDir(), "x.jsonl")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write := func(b []byte) {
		if _, err := f.Write(b); err != nil {
			t.Error(err)
		}
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	write(lines[0])
	write(lines[1][:50])
	got := 0
	for r, err := range Follow(t.Context(), path, Filter{}) {
		if err != nil || r.Seq != uint64(got) {
			t.Fatalf("%v, %v", r, err)
		}
		if got++; got < len(lines)-1 { // the end of the line that is half there, and half of the next
			write(lines[got][50:])
			write(lines[got+1][:min(50, len(lines[got+1]))])
		}
	}
	if got != 4 {
		t.Errorf("%d records", got)
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.jsonl")
	whole := written(t, 3, Options{})
	cut := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for _, err := range Follow(ctx, path, Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 3 {
			cancel()
		}
	}
	if n != 3 {
		t.Errorf("%d records", n)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	pipe, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "link")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(pipe, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, link, dir, filepath.Join(dir, "absent")} {
		for _, err := range Follow(t.Context(), path, Filter{}) {
			if err == nil {
				t.Errorf("%s is read", path)
			}
		}
	}
}
