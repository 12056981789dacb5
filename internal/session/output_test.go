package session

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// The first and the last part stay; in between the reader is told that something is missing.
func TestOutputIsBounded(t *testing.T) {
	root := testRoot(t)
	r := published(t, root, "0aaaaaaaaaaa")
	defer r.Close()
	block := bytes.Repeat([]byte("x"), 32<<10-headerSize)
	const blocks = 20 * segmentSize / (32 << 10)
	for n := range blocks {
		r.Append(Stdout, append(fmt.Appendf(nil, "%06d ", n), block[7:]...))
	}
	if k := kept1(t, root); k.Size > keptSegments*segmentSize {
		t.Errorf("%d bytes are kept", k.Size)
	}
	reader, err := r.Reader()
	if err != nil {
		t.Fatal(err)
	}
	var notes, texts []string
	for _, f := range all(t, reader) {
		if f.Kind == Note {
			notes = append(notes, string(f.Data))
		} else {
			texts = append(texts, string(f.Data[:6]))
		}
	}
	last := fmt.Sprintf("%06d", blocks-1)
	if texts[0] != "000000" || texts[len(texts)-1] != last {
		t.Errorf("from %s to %s, not from 000000 to %s", texts[0], texts[len(texts)-1], last)
	}
	if diff := cmp.Diff([]string{"some 12 MiB of output were not kept"}, notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

func TestReaderBeginsNearTheEnd(t *testing.T) {
	root := testRoot(t)
	r := published(t, root, "0aaaaaaaaaaa")
	defer r.Close()
	for n := range 1000 {
		r.Append(Stdout, fmt.Appendf(nil, "%09d\n", n))
	}
	for name, tc := range map[string]struct {
		left  int64
		first string
	}{
		"everything":              {-1, "000000000\n"},
		"more than there is":      {1 << 20, "000000000\n"},
		"whole frames":            {100, "000000990\n"},
		"in the middle of frames": {95, "000000990\n"},
		"nothing but the last":    {1, "000000999\n"},
	} {
		t.Run(name, func(t *testing.T) {
			reader, err := r.Reader()
			if err == nil {
				err = reader.SkipTo(tc.left)
			}
			if err != nil {
				t.Fatal(err)
			}
			if frames := all(t, reader); string(frames[0].Data) != tc.first {
				t.Errorf("begins with %q", frames[0].Data)
			}
		})
	}
}

func TestReaderBeginsWithALine(t *testing.T) {
	root := testRoot(t)
	r := published(t, root, "0aaaaaaaaaaa")
	defer r.Close()
	for _, text := range []string{"first\nsec", "ond\nthird", "\nfourth"} {
		r.Append(Stdout, []byte(text))
	}
	for left, want := range map[int64]string{1: "fourth", 10: "third\nfourth", 100: "first\nsecond\nthird\nfourth"} {
		reader, err := r.Reader()
		if err == nil {
			err = reader.SkipTo(left)
		}
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for _, f := range all(t, reader) {
			got = append(got, f.Data...)
		}
		if string(got) != want {
			t.Errorf("the last %d bytes: %q", left, got)
		}
	}
}

// A reader that waits gets what comes, and the end.
func TestReaderFollows(t *testing.T) {
	root := testRoot(t)
	r := published(t, root, "0aaaaaaaaaaa")
	reader, err := r.Reader()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	got := make(chan string)
	go func() {
		defer close(got)
		for {
			f, err := reader.Next(t.Context())
			if err != nil {
				return
			}
			got <- string(f.Data)
		}
	}()
	for n := range 100 {
		r.Append(Stdout, []byte{byte(n)})
		if text := <-got; text != string(rune(n)) {
			t.Fatalf("got %q", text)
		}
	}
	if err := r.End([]byte("{}")); err != nil {
		t.Fatal(err)
	}
	if text, more := <-got; more {
		t.Errorf("after the end: %q", text)
	}
	r.Close()
}

// A full disk costs the output that found no room, and no more.
func TestOutputThatCannotBeKept(t *testing.T) {
	root := testRoot(t)
	r := published(t, root, "0aaaaaaaaaaa")
	r.Append(Stdout, []byte("before"))
	good := r.file
	full, err := unix.Open("/dev/full", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	r.file = full
	r.Append(Stdout, []byte("lost"))
	unix.Close(full)
	r.file = good
	r.Append(Stdout, []byte("after"))
	reader, err := r.Reader()
	if err != nil {
		t.Fatal(err)
	}
	want := []Frame{{Stdout, []byte("before")}, {Note, []byte("4 bytes of output could not be kept: no space left on device")}, {Stdout, []byte("after")}}
	if diff := cmp.Diff(want, all(t, reader)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r.Close()
}

func FuzzFrame(f *testing.F) {
	f.Add(Frame{Stdout, []byte("text")}.appendTo(nil))
	f.Add(Frame{Resize, []byte{0, 24, 0, 80}}.appendTo(nil))
	f.Add([]byte("o\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readFrame(bytes.NewReader(data))
		if err != nil {
			return
		}
		if out := got.appendTo(nil); !bytes.HasPrefix(data, out) {
			t.Errorf("%q is read as %q", data, out)
		}
	})
}

func TestFramesThatAreRefused(t *testing.T) {
	for name, tc := range map[string]struct{ data, err string }{
		"an unknown kind":  {"Z\x00\x00\x00\x00", "unknown kind"},
		"too long":         {"o\x7f\x00\x00\x00", "a frame of"},
		"cut in the data":  {"o\x00\x00\x00\x05abc", "unexpected EOF"},
		"cut in the head":  {"o\x00", "unexpected EOF"},
		"a length alone":   {"o\x00\x70\x00\x00", "unexpected EOF"},
		"nothing at all":   {"", "EOF"},
		"zero is no frame": {"\x00\x00\x00\x00\x00", "unknown kind"},
	} {
		if _, err := readFrame(strings.NewReader(tc.data)); err == nil || !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
