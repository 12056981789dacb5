package launch

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
)

func TestScan(t *testing.T) {
	for name, tc := range map[string]struct {
		make          func(at func(string) string) error
		bytes, inodes uint64
	}{
		"an empty directory": {func(func(string) string) error { return nil }, 0, 0},
		"a file":             {func(at func(string) string) error { return os.WriteFile(at("f"), make([]byte, 1<<20), 0o600) }, 1 << 20, 1},
		"a file with two names counts once": {func(at func(string) string) error {
			return errors.Join(os.WriteFile(at("f"), make([]byte, 1<<20), 0o600), os.Mkdir(at("d"), 0o700), os.Link(at("f"), at("d/g")))
		}, 1 << 20, 2},
		"holes count nothing": {func(at func(string) string) error {
			return errors.Join(os.WriteFile(at("f"), nil, 0o600), os.Truncate(at("f"), 1<<40))
		}, 0, 1},
		"links are not followed": {func(at func(string) string) error { return os.Symlink("/usr", at("l")) }, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, tc.make(func(p string) string { return filepath.Join(dir, p) }))
			sum, err := scan(opened(t, dir))
			must(t, err)
			const slack = 16 << 10 // blocks of the directories themselves
			if sum.hidden || sum.inodes != tc.inodes+1 || sum.bytes < tc.bytes || sum.bytes > tc.bytes+slack {
				t.Errorf("%+v", sum)
			}
		})
	}
}

// A directory that its owner has closed is not taken for an empty one.
func TestScanSaysWhatItCannotSee(t *testing.T) {
	boxtest.Need(t, boxtest.Root)
	const nobody = 65534
	dir := t.TempDir()
	closed := filepath.Join(dir, "closed")
	must(t, errors.Join(os.Mkdir(closed, 0o700), os.Lchown(dir, nobody, nobody), os.Lchown(closed, nobody, nobody)))
	for mode, hidden := range map[os.FileMode]bool{0o700: false, 0o000: true} {
		must(t, os.Chmod(closed, mode))
		if sum := scanAs(t, nobody, opened(t, dir)); sum.hidden != hidden {
			t.Errorf("mode %o: %+v", mode, sum)
		}
	}
}

// scanAs scans with the rights of another user, which a thread can have of its own.
func scanAs(t *testing.T, uid int, dir *os.File) (sum tally) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and the thread ends with it
		err := unix.Setfsuid(uid)
		if err == nil {
			sum, err = scan(dir)
		}
		done <- err
	}()
	must(t, <-done)
	return sum
}

// A world for the meter: what the directory holds, what the file system has, and a clock.
type world struct {
	holds, has tally
	hidden     bool
	scans      int
	now        time.Time
	takes      time.Duration // a scan
	failing    error
}

func (w *world) meter(limit tally) *meter {
	return &meter{
		limit: limit,
		clock: func() time.Time { return w.now },
		count: func() (tally, error) {
			w.scans++
			w.now = w.now.Add(w.takes)
			sum := w.holds
			sum.hidden = w.hidden
			return sum, w.failing
		},
		free: func() (tally, error) { return w.has, nil },
	}
}

// write is by the agent unless it is by others.
func (w *world) write(bytes uint64, byAgent bool) {
	w.has.bytes -= bytes
	if byAgent {
		w.holds.bytes += bytes
	}
}

func (w *world) pass(m *meter) bool {
	passed, again := m.look()
	w.now = w.now.Add(again)
	return passed
}

const mib = 1 << 20

func newWorld() *world {
	return &world{has: tally{bytes: 1 << 40, inodes: 1 << 30}, now: time.Unix(1, 0)}
}

func TestMeterStopsAtTheLimit(t *testing.T) {
	w := newWorld()
	m := w.meter(tally{bytes: 100 * mib, inodes: 1000})
	for range 20 {
		if w.pass(m) {
			t.Fatal("it stopped below the limit")
		}
		w.write(5*mib, true)
	}
	w.write(1, true)
	for range 3 {
		if w.pass(m) {
			return
		}
	}
	t.Errorf("it holds %s of %s", w.holds, m.limit)
}

func TestMeterStopsAtTheNumberOfFiles(t *testing.T) {
	w := newWorld()
	m := w.meter(tally{bytes: 100 * mib, inodes: 1000})
	w.holds.inodes = 1000
	if w.pass(m) {
		t.Error("it stopped at the limit")
	}
	w.holds.inodes, w.has.inodes = 1001, w.has.inodes-1000
	if !w.pass(m) {
		t.Error("one more passes")
	}
}

// What others write on the same file system stops nobody, and what somebody deletes meanwhile hides nothing for long.
func TestMeterTellsTheAgentFromOthers(t *testing.T) {
	w := newWorld()
	m := w.meter(tally{bytes: 100 * mib, inodes: 1000})
	w.pass(m)
	w.write(10<<30, false)
	if w.pass(m) {
		t.Error("another's file stopped it")
	}
	w.holds.bytes = 200 * mib // and as much was deleted elsewhere
	if w.now = w.now.Add(time.Minute); !w.pass(m) {
		t.Error("it was not looked for")
	}
}

// A directory that takes long to scan is scanned seldom, unless the rest may be used up.
func TestMeterIsCheap(t *testing.T) {
	w := newWorld()
	w.takes = time.Second
	m := w.meter(tally{bytes: 100 * mib, inodes: 1000})
	for written, want := range map[uint64]time.Duration{0: 36 * time.Second, 1: 6 * time.Minute} {
		w.scans = 0
		for begin := w.now; w.now.Sub(begin) < time.Hour; w.write(written, false) {
			w.pass(m)
		}
		if busy := time.Duration(w.scans) * w.takes; busy < want*8/10 || busy > want {
			t.Errorf("with %d bytes written at each look, the scans of an hour took %s", written, busy)
		}
	}
	w.now = w.now.Add(time.Hour)
	w.pass(m)
	w.now = w.now.Add(m.soonest.Sub(w.now))
	m.due, m.latest, w.scans = w.now.Add(time.Hour), w.now.Add(time.Hour), 0
	w.write(40*mib, false)
	if w.pass(m); w.scans != 0 {
		t.Error("less than half of the rest is gone, and it was scanned")
	}
	w.write(20*mib, false)
	if w.pass(m); w.scans != 1 {
		t.Error("half of the rest may be gone, and it was not")
	}
	w.now = w.now.Add(-w.takes)
	if w.pass(m); w.scans != 1 {
		t.Error("it was scanned again at once")
	}
}

// What cannot be looked into counts as much as the file system has lost; so does what a failed scan has not seen.
func TestMeterCountsWhatIsHidden(t *testing.T) {
	for name, spoil := range map[string]func(*world){
		"a closed directory": func(w *world) { w.hidden = true }, "a scan that failed": func(w *world) { w.failing = unix.EMFILE },
		"nothing": func(*world) {},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			m := w.meter(tally{bytes: 100 * mib, inodes: 1000})
			w.pass(m)
			spoil(w)
			w.write(200*mib, false) // written where the scan does not see it
			if passed := w.pass(m); passed != (name != "nothing") {
				t.Errorf("passed: %v", passed)
			}
		})
	}
}

// Who lets a box go on lets it write as much again.
func TestMeterGoesOn(t *testing.T) {
	w := newWorld()
	m := w.meter(tally{bytes: 100 * mib, inodes: 1000})
	w.write(120*mib, true)
	if !w.pass(m) {
		t.Fatal("it did not stop")
	}
	m.raise(tally{bytes: 100 * mib, inodes: 1000})
	twice := func() bool { // the first look may be without a scan
		first := w.pass(m)
		return w.pass(m) || first
	}
	w.write(90*mib, true)
	if twice() {
		t.Error("it stopped before it wrote as much again")
	}
	w.write(20*mib, true)
	if !twice() {
		t.Error("it goes on for ever")
	}
}

// It looks every 200 ms, and more often the less is left.
func TestMeterLooksMoreOftenNearTheLimit(t *testing.T) {
	limit := tally{bytes: 10 << 30, inodes: 1_000_000}
	for name, tc := range map[string]struct {
		holds tally
		again time.Duration
	}{
		"nothing is written":       {tally{}, 200 * time.Millisecond},
		"half of it is":            {tally{bytes: 5 << 30, inodes: 500_000}, 200 * time.Millisecond},
		"256 MiB are left":         {tally{bytes: 10<<30 - 256*mib}, 62500 * time.Microsecond},
		"10000 files are left":     {tally{inodes: 990_000}, 50 * time.Millisecond},
		"next to nothing is left":  {tally{bytes: 10<<30 - 1}, 10 * time.Millisecond},
		"more than all is written": {tally{bytes: 11 << 30}, 10 * time.Millisecond},
	} {
		w := newWorld()
		w.holds = tc.holds
		if _, again := w.meter(limit).look(); again != tc.again {
			t.Errorf("%s: the next look is after %s", name, again)
		}
	}
}
