package programs

import (
	"os"
	"path/filepath"
	"testing"
)

// A start that is on record as missing is neither counted nor in a report, so nothing that may run is.
func TestWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	link := func(name, to string) string {
		path := filepath.Join(dir, name)
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const nobody = "/proc/999999999" // as /proc/self is to whoever is in another pid namespace
	for name, test := range map[string]struct {
		path string
		want bool
	}{
		"a program":                             {"/bin/sh", false},
		"a program by way of a link":            {link("sh", "/bin/sh"), false},
		"below the working directory":           {"sh", false},
		"no name":                               {"", true},
		"no such file":                          {filepath.Join(dir, "none"), true},
		"no such file in the working directory": {"none", true},
		"no such directory":                     {filepath.Join(dir, "none", "bin", "sh"), true},
		"below a file":                          {"/bin/sh/none", true},
		"no such file in a linked directory":    {link("bin", "/bin") + "/none", true},
		"in /proc":                              {nobody + "/root/bin/sh", false},
		"by way of a link into /proc":           {link("proc", nobody+"/root/bin/sh"), false},
		"below a link into /proc":               {link("root", nobody+"/root") + "/bin/sh", false},
		"a link to such a link":                 {link("again", "proc"), false},
	} {
		t.Run(name, func(t *testing.T) {
			l := &listening{root: -1}
			defer l.forget()
			if got := l.missing(Start{Path: test.path, Dir: dir}, os.Getpid()); got != test.want {
				t.Errorf("%q: missing %v", test.path, got)
			}
		})
	}
}
