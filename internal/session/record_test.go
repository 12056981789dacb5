package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func mustRecord(t testing.TB, root string) *Record {
	t.Helper()
	r, err := NewRecord(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.KeepOutput(); err != nil {
		t.Fatal(err)
	}
	return r
}

// published is a record of a session of that ID.
func published(t testing.TB, root, id string) *Record {
	t.Helper()
	r := mustRecord(t, root)
	if err := r.Publish(Info{ID: id, Workspace: "/work", State: Running, Detached: true}); err != nil {
		t.Fatal(err)
	}
	return r
}

// all reads to the end of what there is now.
func all(t testing.TB, r *Reader) (frames []Frame) {
	t.Helper()
	defer r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // do not wait for more
	for {
		f, err := r.Next(ctx)
		if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
			return frames
		}
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, f)
	}
}

func kept1(t testing.TB, root string) Kept {
	t.Helper()
	list, err := Records(root)
	if err != nil || len(list) != 1 {
		t.Fatalf("records %+v, %v", list, err)
	}
	return list[0]
}

func TestRecordFromItsStartToItsEnd(t *testing.T) {
	root := testRoot(t)
	const id = "0aaaaaaaaaaa"
	r := mustRecord(t, root)
	if list, err := Records(root); len(list) > 0 || err != nil {
		t.Errorf("before it has an ID: %v, %v", list, err)
	}
	if err := r.Publish(Info{ID: id, Workspace: "/work"}); err != nil {
		t.Fatal(err)
	}
	r.Append(Stdout, []byte("out"))
	r.Append(Stderr, []byte("err"))
	want := []Frame{{Stdout, []byte("out")}, {Stderr, []byte("err")}}
	if k := kept1(t, root); k.Info.State != Running || k.Result != nil || k.Size != 16 {
		t.Errorf("while it runs: %+v", k)
	}
	if err := r.End([]byte(`{"exit_code": 3}`)); err != nil {
		t.Fatal(err)
	}
	live, err := r.Reader()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, all(t, live)); diff != "" {
		t.Errorf("of the writer (-want +got):\n%s", diff)
	}
	r.Close()
	if k := kept1(t, root); k.Info.State != Ended || string(k.Result) != `{"exit_code": 3}` || k.Info.Workspace != "/work" {
		t.Errorf("afterwards: %+v", k)
	}
	kept, err := OpenOutput(root, id)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, all(t, kept)); diff != "" {
		t.Errorf("afterwards (-want +got):\n%s", diff)
	}
	for _, name := range []string{InfoFile, ResultFile, LockFile, segmentName(0)} {
		if fi, err := os.Stat(filepath.Join(root, id, name)); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, fi, err)
		}
	}
}

func TestRecordOfAKilledSupervisor(t *testing.T) {
	root := testRoot(t)
	r := published(t, root, "0aaaaaaaaaaa")
	r.Append(Stdout, []byte("whole"))
	path := filepath.Join(root, "0aaaaaaaaaaa", segmentName(0))
	half := Frame{Stdout, []byte("cut off")}.appendTo(nil)
	data, _ := os.ReadFile(path)
	if err := os.WriteFile(path, append(data, half[:len(half)-2]...), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if k := kept1(t, root); k.Info.State != Lost {
		t.Errorf("%+v", k)
	}
	output, err := OpenOutput(root, "0aaaaaaaaaaa")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Frame{{Stdout, []byte("whole")}}, all(t, output)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A record says when its session ended; while it runs, nothing. A killed one ended when it last wrote something.
func TestWhenARecordsSessionEnded(t *testing.T) {
	long := time.Unix(1e9, 0)
	for name, tt := range map[string]struct {
		runs, result bool
		old          []string // files that were written long ago
		want         string
	}{
		"it runs":                     {runs: true, want: "not yet"},
		"with its result":             {result: true, old: []string{ResultFile}, want: "long ago"},
		"with its last sign of life":  {old: []string{InfoFile, LockFile, segmentName(0)}, want: "long ago"},
		"it has written output since": {old: []string{InfoFile, LockFile}, want: "lately"},
	} {
		t.Run(name, func(t *testing.T) {
			root := testRoot(t)
			r := published(t, root, "0aaaaaaaaaaa")
			if tt.result {
				if err := r.End([]byte("{}")); err != nil {
					t.Fatal(err)
				}
			}
			for _, file := range tt.old {
				if err := os.Chtimes(filepath.Join(r.Dir(), file), long, long); err != nil {
					t.Fatal(err)
				}
			}
			if tt.runs {
				defer r.Close()
			} else {
				r.Close()
			}
			got := "lately"
			switch ended := kept1(t, root).Ended; {
			case ended.IsZero():
				got = "not yet"
			case ended.Equal(long):
				got = "long ago"
			}
			if got != tt.want {
				t.Errorf("it ended %s, not %s", got, tt.want)
			}
		})
	}
}

// What a power cut left without words is listed, so that somebody can look at it or remove it.
func TestRecordsThatCannotBeReadAreListed(t *testing.T) {
	const id = "0aaaaaaaaaaa"
	for name, tt := range map[string]struct {
		spoil func(dir string) error
		want  int
	}{
		"an empty description":                  {func(dir string) error { return os.Truncate(filepath.Join(dir, InfoFile), 0) }, 1},
		"a broken result":                       {func(dir string) error { return os.WriteFile(filepath.Join(dir, ResultFile), []byte("{"), 0o600) }, 1},
		"no description, and nothing to decide": {func(dir string) error { return os.Remove(filepath.Join(dir, InfoFile)) }, 0},
		"no description, but changes": {func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, InfoFile)), os.Mkdir(filepath.Join(dir, WorkspaceDir), 0o700))
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			root := testRoot(t)
			published(t, root, id).Close()
			if err := tt.spoil(filepath.Join(root, id)); err != nil {
				t.Fatal(err)
			}
			list, err := Records(root)
			if len(list) != tt.want || (err != nil) != (tt.want > 0) {
				t.Fatalf("%+v, %v", list, err)
			}
			for _, k := range list {
				if k.Info.ID != id || k.Info.State != Unreadable || k.Ended.IsZero() {
					t.Errorf("%+v", k)
				}
			}
		})
	}
}

func TestDiscardedRecordLeavesNothing(t *testing.T) {
	root := testRoot(t)
	r := mustRecord(t, root)
	r.Append(Stdout, []byte("x"))
	if err := r.Discard(); err != nil {
		t.Fatal(err)
	}
	if names, _ := os.ReadDir(root); len(names) > 0 {
		t.Errorf("left: %v", names)
	}
}

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

func TestOnlyTheNewestRecordsAreKept(t *testing.T) {
	root := testRoot(t)
	running := published(t, root, "000000000aaa")
	defer running.Close()
	for n := range keptRecords + 20 {
		r := published(t, root, fmt.Sprintf("0%011d", n+1000))
		r.Close()
	}
	list, err := Records(root)
	if err != nil || len(list) != keptRecords+1 {
		t.Fatalf("%d records are kept, %v", len(list), err)
	}
	if first := list[0].Info.ID; first != "000000000aaa" {
		t.Errorf("one that runs was removed; the oldest is %s", first)
	}
	if last := list[len(list)-1].Info.ID; last != "000000001119" {
		t.Errorf("the newest is %s", last)
	}
	os.Mkdir(filepath.Join(root, partPrefix+"0ddddddddddd"), 0o700)
	mustRecord(t, root).Discard()
	if _, err := os.Stat(filepath.Join(root, partPrefix+"0ddddddddddd")); !os.IsNotExist(err) {
		t.Error("what a start left that was killed is still there")
	}
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
