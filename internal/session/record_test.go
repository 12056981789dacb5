package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
