package archive

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
)

// A directory that is full takes nothing by halves, and takes it all when there is room.
func TestFullArchive(t *testing.T) {
	boxtest.Need(t, boxtest.Root)
	there := t.TempDir()
	if err := unix.Mount("tmpfs", there, "tmpfs", 0, "size=256k,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(there, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	dir, want := closedLogs(t, 100_000, 300_000, 10)
	d := to(t, &backend{archive: there})
	items := ship(t, dir, d)
	if got := outcomes(items); !strings.HasPrefix(got, "shipped\nfailed: ") || !strings.HasSuffix(got, "no space left on device\nuntried") {
		t.Fatal(got)
	}
	if got := filesBelow(t, there); len(got) != 1 || got[first] != want[first] {
		t.Errorf("%d files", len(got))
	}
	if err := unix.Mount("", there, "", unix.MS_REMOUNT, "size=2m"); err != nil {
		t.Fatal(err)
	}
	if got := outcomes(ship(t, dir, d)); got != "known\nshipped\nshipped" {
		t.Error(got)
	}
	(&backend{files: func(t testing.TB) map[string]string { return filesBelow(t, there) }, stored: uncounted}).holds(t, want)
}

func TestDirectoriesThatAreNoArchive(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(there string, ours string) error
		want    string
	}{
		"one that is there":     {func(there, _ string) error { return os.Mkdir(there, 0o700) }, "shipped\nshipped"},
		"one that is not there": {func(string, string) error { return nil }, "no such file or directory\nuntried"},
		"a file":                {func(there, _ string) error { return os.WriteFile(there, nil, 0o600) }, "not a directory\nuntried"},
		"one with a link under the name": {func(there, ours string) error {
			if err := os.Mkdir(there, 0o700); err != nil {
				return err
			}
			return os.Symlink(filepath.Join(ours, first), filepath.Join(there, first))
		}, errOther.Error() + "\nshipped"},
		"one with a directory under the name": {func(there, _ string) error { return os.MkdirAll(filepath.Join(there, first), 0o700) }, errOther.Error() + "\nshipped"},
		"one with what a pass that was killed left": {func(there, _ string) error {
			if err := os.Mkdir(there, 0o700); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(there, "."+first+".ABC.tmp"), []byte("half"), 0o600)
		}, "shipped\nshipped"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := closedLogs(t, 100, 200)
			there := filepath.Join(t.TempDir(), "there")
			if err := tc.prepare(there, dir); err != nil {
				t.Fatal(err)
			}
			if got := outcomes(ship(t, dir, to(t, &backend{archive: there}))); !strings.HasSuffix(got, tc.want) {
				t.Error(got)
			}
			if left, err := filepath.Glob(filepath.Join(there, ".*")); err != nil || len(left) > 0 {
				t.Errorf("it holds %v, %v", left, err)
			}
		})
	}
}

// What is in a directory is for its owner alone.
func TestModesOfTheArchive(t *testing.T) {
	dir, _ := closedLogs(t, 100)
	there := t.TempDir()
	ship(t, dir, to(t, &backend{archive: there}))
	for path, want := range map[string]os.FileMode{filepath.Join(there, first): 0o600, filepath.Join(dir, ledgerDir, first+".json"): 0o600, filepath.Join(dir, ledgerDir): 0o700} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, st, err)
		}
	}
}
