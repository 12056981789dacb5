package evidence

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func begin(t *testing.T, w io.Writer) *Bundle {
	t.Helper()
	b, err := New(w, Manifest{Session: "s1", State: "ended", Made: time.Unix(1, 0).UTC()})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The same documents at the same time are the same bytes, so that the hash of a bundle can be made again.
func TestTheSameBundleTwice(t *testing.T) {
	make := func() (string, string) {
		var out bytes.Buffer
		b := begin(t, &out)
		if err := errors.Join(b.Add("a.txt", "a text", []byte("one")), b.Copy("log/s1.jsonl", "the log", strings.NewReader("two"), 3)); err != nil {
			t.Fatal(err)
		}
		b.Lacks("c.txt", "there is none")
		sum, err := b.Close()
		if err != nil {
			t.Fatal(err)
		}
		return sum, out.String()
	}
	sum, data := make()
	again, same := make()
	if sum != again || data != same {
		t.Errorf("%s and %s", sum, again)
	}
}

type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errors.New("no space")
	}
	return len(p), nil
}

// What cannot be written is an error, at the latest when the bundle is closed, and stays one.
func TestBundleThatCannotBeWritten(t *testing.T) {
	for name, tc := range map[string]struct {
		out  io.Writer
		make func(*Bundle) error
	}{
		"a full disk":                    {&full{}, func(b *Bundle) error { return b.Add("a", "", bytes.Repeat([]byte("x"), 1<<20)) }},
		"a document that is shorter":     {io.Discard, func(b *Bundle) error { return b.Copy("a", "", strings.NewReader("short"), 10) }},
		"a document that cannot be read": {io.Discard, func(b *Bundle) error { return b.Copy("a", "", iotest.ErrReader(errors.New("lost")), 10) }},
		"a name that leads away":         {io.Discard, func(b *Bundle) error { return b.Add("../a", "", nil) }},
		"a name from the root":           {io.Discard, func(b *Bundle) error { return b.Add("/a", "", nil) }},
	} {
		t.Run(name, func(t *testing.T) {
			b := begin(t, tc.out)
			err := tc.make(b)
			if _, closed := b.Close(); closed == nil || err != nil && b.Add("b", "", nil) == nil {
				t.Errorf("it was taken for whole: %v", err)
			}
		})
	}
}

func TestManifestNamesEveryDocument(t *testing.T) {
	b := begin(t, io.Discard)
	if err := b.Add("a.txt", "a text", []byte("abc")); err != nil {
		t.Fatal(err)
	}
	b.Lacks("b.txt", "it is gone")
	want := []Entry{{"a.txt", "a text", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}}
	if diff := cmp.Diff(want, b.Documents()); diff != "" || len(b.Missing()) != 1 {
		t.Error(diff, b.Missing())
	}
}
