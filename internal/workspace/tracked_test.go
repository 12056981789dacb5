package workspace

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// Git itself writes the indexes: every version, both hashes, and a file in conflict.
func TestTracked(t *testing.T) {
	for name, tc := range map[string]struct {
		format, version string
	}{
		"version 2":               {"sha1", "2"},
		"version 3":               {"sha1", "3"},
		"version 4":               {"sha1", "4"},
		"version 4, with SHA-256": {"sha256", "4"},
		"version 2, with SHA-256": {"sha256", "2"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			git := func(args ...string) {
				t.Helper()
				if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
					t.Fatalf("git %v: %v\n%s", args, err, out)
				}
			}
			git("init", "-q", "--object-format="+tc.format)
			for _, file := range []string{".env", "a/.env", "a/b/long-name-of-a-file.pem", "a/b/long-name-of-a-file.txt", "later.key", "untracked.key"} {
				path := filepath.Join(dir, file)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(file), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			git("add", ".env", "a")
			if tc.version == "3" { // which only an entry with a further flag makes it
				git("add", "--intent-to-add", "later.key")
			} else {
				git("add", "later.key")
			}
			git("update-index", "--index-version", tc.version)
			got, err := Tracked(dir, []string{".env", "a/.env", "a/b/long-name-of-a-file.pem", "later.key", "untracked.key", "nothing"})
			if want := []string{".env", "a/.env", "a/b/long-name-of-a-file.pem", "later.key"}; err != nil || !slices.Equal(got, want) {
				t.Errorf("%v, %v; want %v", got, err, want)
			}
		})
	}
}

func TestTrackedWithoutARepository(t *testing.T) {
	if got, err := Tracked(t.TempDir(), []string{".env"}); len(got) > 0 || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte("DIRC\x00\x00\x00\x02\x00\x00\x00\x01"))
	f.Add(append([]byte("DIRC\x00\x00\x00\x04\x00\x00\x00\x01"), make([]byte, 100)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := inIndex(data, map[string]bool{".env": true})
		if err != nil && len(list) > 0 || len(list) > 1 {
			t.Errorf("%q, %v", list, err)
		}
	})
}
