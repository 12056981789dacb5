package session

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func any65536(idSpan) bool { return true }

func TestIDRangesAreDistinct(t *testing.T) {
	root := testRoot(t)
	var mu sync.Mutex
	seen := map[uint32]bool{}
	var all []*IDRange
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			r, err := acquire(root, any65536)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || seen[r.Base] || r.Base%IDRangeSize != 0 {
				t.Errorf("range %+v, %v", r, err)
				return
			}
			seen[r.Base] = true
			all = append(all, r)
		})
	}
	wg.Wait()
	for _, r := range all {
		if err := errors.Join(r.Release(), r.Release()); err != nil {
			t.Error(err)
		}
	}
	r, err := acquire(root, any65536)
	if err != nil || r.Base != idRangeFirst {
		t.Errorf("after release: %+v, %v", r, err)
	}
	r.Release()
	(&IDRange{}).Release()
	if _, err := acquire(root, func(idSpan) bool { return false }); !errors.Is(err, ErrNoIDRange) {
		t.Errorf("when nothing is free: %v", err)
	}
}

func TestIDRangesSkipWhatIsTaken(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		os.WriteFile(path, []byte(text), 0o600)
		return path
	}
	taken, err := takenIDs(
		write("passwd", "root:x:0:0::/root:/bin/sh\ncloud:x:1879048200:100::/:/bin/sh\n# comment\n+\n"),
		write("group", "staff:x:1879113728:a,b\n"),
		write("subuid", "a:1879179264:65536\nbroken\n1:2\na:x:y\n"),
		filepath.Join(dir, "none"))
	want := []idSpan{{0, 1}, {0, 1}, {1879048200, 1879048201}, {100, 101}, {1879113728, 1879113729}, {1879179264, 1879244800}}
	if diff := cmp.Diff(want, taken, cmp.AllowUnexported(idSpan{})); diff != "" || err != nil {
		t.Errorf("taken: %v\n%s", err, diff)
	}
	r, err := acquire(testRoot(t), func(s idSpan) bool { return !overlapsAny(s, taken) })
	if err != nil || r.Base != idRangeFirst+3*IDRangeSize {
		t.Errorf("range %+v, %v", r, err)
	}
	r.Release()
}

func TestIDRangesStayInsideTheUserNamespace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "uid_map")
	os.WriteFile(path, []byte("         0     100000      65536\n     70000     200000          1\n"), 0o600)
	spans, err := mappedIDs(path)
	want := []idSpan{{0, 65536}, {70000, 70001}}
	if diff := cmp.Diff(want, spans, cmp.AllowUnexported(idSpan{})); diff != "" || err != nil {
		t.Errorf("mapped: %v\n%s", err, diff)
	}
	if insideAny(idSpan{1, 65537}, spans) || !insideAny(idSpan{0, 65536}, spans) {
		t.Error("a range outside the namespace is taken for one inside")
	}
}

func TestAcquireIDRangeHere(t *testing.T) {
	r, err := AcquireIDRange(testRoot(t))
	if errors.Is(err, ErrNoIDRange) {
		t.Skip("this user namespace has too few IDs")
	}
	if err != nil || r.Base < idRangeFirst || r.Base+IDRangeSize > idRangeEnd {
		t.Errorf("range %+v, %v", r, err)
	}
	r.Release()
}
