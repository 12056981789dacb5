package session

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRootIsMadeSafely(t *testing.T) {
	const user = -1 // an ordinary user, who owns no runtime directory
	for name, tc := range map[string]struct {
		uid   int
		setup func(base string)
		env   map[string]string // %/ stands for the test's directory
		want  string
		err   string
	}{
		"root uses the system's runtime directory": {uid: 0, want: "run/agentbox"},
		"root falls back where there is none": {
			uid: 0, setup: func(b string) { os.Remove(filepath.Join(b, "run")) },
			env: map[string]string{"HOME": "%/home"}, want: "home/.local/state/agentbox/run"},
		"a link in the place of the directory is refused": {
			uid: 0, setup: func(b string) { os.Symlink(b, filepath.Join(b, "run/agentbox")) }, err: "not a directory"},
		"a file in the place of the directory is refused": {
			uid: 0, setup: func(b string) { os.WriteFile(filepath.Join(b, "run/agentbox"), nil, 0o600) }, err: "not a directory"},
		"a directory that others may write is refused": {
			uid: 0, setup: func(b string) { mkdirMode(filepath.Join(b, "run/agentbox"), 0o770) }, err: "may be written by other users"},
		"a parent that everyone may write is refused": {
			uid: 0, setup: func(b string) { mkdirMode(filepath.Join(b, "run"), 0o777) }, err: "may be written by everyone"},
		"a sticky parent is fine": {
			uid: 0, setup: func(b string) { mkdirMode(filepath.Join(b, "run"), 0o777|os.ModeSticky) }, want: "run/agentbox"},
		"a runtime directory of someone else is passed over": {
			uid: user, env: map[string]string{"XDG_RUNTIME_DIR": "/", "XDG_STATE_HOME": "%/state"}, want: "state/agentbox/run"},
		"a relative state directory is passed over": {
			uid: user, env: map[string]string{"XDG_STATE_HOME": "state", "HOME": "%/home"}, want: "home/.local/state/agentbox/run"},
		"without a home there is no place": {uid: user, err: "no place for sessions"},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			mkdirMode(filepath.Join(base, "run"), 0o755)
			if tc.setup != nil {
				tc.setup(base)
			}
			getenv := func(key string) string { return strings.ReplaceAll(tc.env[key], "%", base) }
			got, err := resolveRoot(tc.uid, getenv, filepath.Join(base, "run"))
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("got %q, %v; want an error with %q", got, err, tc.err)
				}
				return
			}
			if want := filepath.Join(base, tc.want); err != nil || got != want {
				t.Fatalf("got %q, %v; want %q", got, err, want)
			}
			if fi, err := os.Lstat(got); err != nil || fi.Mode() != os.ModeDir|0o700 {
				t.Errorf("mode %v (%v)", fi.Mode(), err)
			}
			if again, err := resolveRoot(tc.uid, getenv, filepath.Join(base, "run")); again != got || err != nil {
				t.Errorf("the second time: %q, %v", again, err)
			}
		})
	}
}

// mkdirMode makes a directory, or changes one, whatever the umask.
func mkdirMode(path string, mode os.FileMode) {
	os.Mkdir(path, 0o700)
	os.Chmod(path, mode)
}

func TestRuntimeDirectoryMustBePrivate(t *testing.T) {
	me := os.Geteuid()
	base := t.TempDir()
	dir := filepath.Join(base, "d")
	mkdirMode(dir, 0o700)
	if !isPrivate(dir, me) {
		t.Error("a directory of one's own, mode 0700, is refused")
	}
	link := filepath.Join(base, "link")
	os.Symlink(dir, link)
	for name, refuse := range map[string]func() bool{
		"empty":            func() bool { return isPrivate("", me) },
		"relative":         func() bool { return isPrivate("d", me) },
		"a link":           func() bool { return isPrivate(link, me) },
		"someone else's":   func() bool { return isPrivate(dir, me+1) },
		"readable by all":  func() bool { os.Chmod(dir, 0o755); return isPrivate(dir, me) },
		"does not exist":   func() bool { return isPrivate(filepath.Join(base, "none"), me) },
		"not a directory":  func() bool { return isPrivate("/proc/self/status", me) },
		"sticky and group": func() bool { os.Chmod(dir, 0o750|os.ModeSticky); return isPrivate(dir, me) },
	} {
		if refuse() {
			t.Errorf("%s: taken for private", name)
		}
	}
}
