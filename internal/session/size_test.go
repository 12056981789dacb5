package session

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sizeTree makes files of the given sizes.
func sizeTree(t *testing.T, sizes map[string]int) string {
	t.Helper()
	root := t.TempDir()
	for name, size := range sizes {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Repeat("x", size)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestDiskUse(t *testing.T) {
	later := time.Now().Add(time.Hour)
	const kib = 1 << 10
	for name, tt := range map[string]struct {
		files    map[string]int
		change   func(root string) error
		except   string
		over     bool // the time
		least    int64
		most     int64 // directories and a file's metadata take some, on whatever disk this is
		notWhole bool
	}{
		"files at any depth count":  {files: map[string]int{"a": 64 * kib, "d/e/b": 64 * kib}, least: 128 * kib, most: 192 * kib},
		"what is left out does not": {files: map[string]int{"a": 64 * kib, "d/b": 256 * kib}, except: "d", least: 64 * kib, most: 128 * kib},
		"two names are one file": {files: map[string]int{"a": 256 * kib}, least: 256 * kib, most: 320 * kib,
			change: func(root string) error { return os.Link(root+"/a", root+"/b") }},
		"holes take nothing": {files: map[string]int{"a": 0}, most: 64 * kib,
			change: func(root string) error { return os.Truncate(root+"/a", 1<<30) }},
		"a link is not followed": {files: map[string]int{"a": 0}, most: 64 * kib,
			change: func(root string) error { return os.Symlink("/", root+"/l") }},
		"what is too deep is missing":  {files: map[string]int{strings.Repeat("d/", sizeDepth+1) + "a": 64 * kib}, most: 8 * kib * sizeDepth, notWhole: true},
		"the time is over":             {files: map[string]int{"a": 64 * kib}, over: true, most: 32 * kib, notWhole: true},
		"what is not there is nothing": {change: func(root string) error { return os.Remove(root) }},
	} {
		t.Run(name, func(t *testing.T) {
			root := sizeTree(t, tt.files)
			if tt.change != nil {
				if err := tt.change(root); err != nil {
					t.Fatal(err)
				}
			}
			var except []string
			if tt.except != "" {
				except = append(except, filepath.Join(root, tt.except))
			}
			until := later
			if tt.over {
				until = time.Now().Add(-time.Second)
			}
			got, whole := DiskUse(root, until, except...)
			if got < tt.least || got > tt.most || whole == tt.notWhole {
				t.Errorf("%d bytes, whole %t; want %d to %d", got, whole, tt.least, tt.most)
			}
		})
	}
}
