package workspace

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "apply-and-die" {
		os.Exit(applyAndDie(os.Args[2:]))
	}
	os.Exit(boxtest.Main(m))
}

// A fixture is a project, a session, and an agent that is a shell script.
type fixture struct {
	t       testing.TB
	dir     string // holds all of it
	lower   string
	session string
	flavour Flavour
	began   time.Time
	rules   Rules
	base    Base
}

// fixtures runs a test with both kinds of overlay.
func fixtures(t *testing.T, f func(t *testing.T, x *fixture)) {
	t.Run("mounted by root", func(t *testing.T) {
		boxtest.Need(t, boxtest.Overlay)
		f(t, newFixture(t, Trusted))
	})
	t.Run("mounted in a user namespace", func(t *testing.T) {
		boxtest.Need(t, boxtest.UsernsOverlay)
		f(t, newFixture(t, User))
	})
}

func newFixture(t testing.TB, f Flavour) *fixture {
	t.Helper()
	if f == Trusted {
		boxtest.Need(t, boxtest.Overlay)
	}
	x := &fixture{t: t, dir: scratch(t), flavour: f}
	x.lower, x.session = filepath.Join(x.dir, "project"), filepath.Join(x.dir, "session")
	for _, d := range []string{x.lower, x.session, filepath.Join(x.dir, "merged")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

// scratch is a directory in memory where there is one: the tests apply thousands of
// times, and each time wait for the disk.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "workspace-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// host runs a script in the project.
func (x *fixture) host(script string) {
	x.t.Helper()
	x.run(exec.Command("bash", "-ec", script))
}

func (x *fixture) run(cmd *exec.Cmd) {
	x.t.Helper()
	if cmd.Dir == "" {
		cmd.Dir = x.lower
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		x.t.Fatalf("%v\n%s", err, out)
	}
}

// agent runs a script in the overlay. The session begins with the first one.
func (x *fixture) agent(script string) {
	x.t.Helper()
	if x.began.IsZero() {
		x.begin()
	}
	l := LayersOf(x.session)
	options := append(MountOptions(x.flavour), "lowerdir="+EscapeLayer(x.lower), "upperdir="+EscapeLayer(l.Upper), "workdir="+EscapeLayer(l.Work))
	flags := []string{"--mount"}
	if x.flavour == User {
		flags = append(flags, "--user", "--map-root-user")
	}
	merged := filepath.Join(x.dir, "merged")
	cmd := exec.Command("unshare", append(flags, "bash", "-ec", `mount -t overlay none -o "$0" "$1"; cd "$1"; source "$2"; cd /; cp -a "$1/." "$3"`,
		strings.Join(options, ","), merged, filepath.Join(x.dir, "script"), filepath.Join(x.dir, "seen"))...)
	os.WriteFile(filepath.Join(x.dir, "script"), []byte(script), 0o600)
	os.RemoveAll(filepath.Join(x.dir, "seen"))
	os.Mkdir(filepath.Join(x.dir, "seen"), 0o755)
	x.run(cmd)
}

// begin makes the layers. The clock of files is coarser than the one that is read.
func (x *fixture) begin() {
	x.t.Helper()
	if _, err := Begin(x.session, x.lower, x.flavour); err != nil {
		x.t.Fatal(err)
	}
	x.began = fileClock(x.t, x.dir)
}

// fileClock gives a time that the files made before it are older than, and those
// made after it are not: it touches a file until its time moves on.
func fileClock(t testing.TB, dir string) time.Time {
	t.Helper()
	name := filepath.Join(dir, "clock")
	touch := func() time.Time {
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); err != nil {
			t.Fatal(err)
		}
		return time.Unix(0, st.Ctim.Nano())
	}
	first := touch()
	for {
		if now := touch(); now.After(first) {
			return now
		}
		runtime.Gosched()
	}
}

func (x *fixture) config() Config {
	return Config{Lower: x.lower, Upper: LayersOf(x.session).Upper, State: x.session, Flavour: x.flavour, Began: x.began, Rules: x.rules, Base: x.base}
}

func (x *fixture) open() *Workspace {
	x.t.Helper()
	w, err := Open(x.config())
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { w.Close() })
	return w
}

func (x *fixture) review() *Review {
	x.t.Helper()
	r, err := x.open().Review(context.Background())
	if err != nil {
		x.t.Fatal(err)
	}
	return r
}

// apply applies a selection and gives what was held.
func (x *fixture) apply(s Selection) []Held {
	x.t.Helper()
	held, err := x.tryApply(s)
	if err != nil {
		x.t.Fatal(err)
	}
	return held
}

func (x *fixture) tryApply(s Selection) ([]Held, error) {
	x.t.Helper()
	w := x.open()
	r, err := w.Review(context.Background())
	if err != nil {
		return nil, err
	}
	p, err := w.Plan(r, s)
	if err != nil || len(p.Items) == 0 {
		return p.Held, err
	}
	_, err = w.Apply(context.Background(), p, nil)
	return p.Held, err
}

// lines is a review in short: a letter for the kind, and the path.
func lines(r *Review) []string {
	var out []string
	for _, c := range r.Changes {
		line := strings.ToUpper(string(c.Kind[:1])) + " " + quote(c.Path)
		if c.From != "" {
			line += " from " + quote(c.From)
		}
		if c.After.Type == Dir || c.After.Type == None && c.Before.Type == Dir {
			line += "/"
		}
		for _, one := range []struct{ name, text string }{{"refused", c.Refused}, {"conflict", c.Conflict}, {"masked", c.Masked}, {"protected", c.Protected}} {
			if one.text != "" {
				line += " (" + one.name + ": " + one.text + ")"
			}
		}
		out = append(out, line)
	}
	return out
}

// tree is everything that a tree is: one line a name. Times of directories change
// when names in them do, so they are left out where asked.
func tree(t testing.TB, root string, dirTimes bool) []string {
	t.Helper()
	var out []string
	links := map[uint64]string{}
	err := filepath.Walk(root, func(path string, fi os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		st := fi.Sys().(*syscall.Stat_t)
		line := fmt.Sprintf("%s %v", quote(rel), fi.Mode())
		if rel == "." {
			line = "."
		}
		switch {
		case fi.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d %s %d", len(data), digest(data)[:12], fi.ModTime().UnixNano())
			if first, ok := links[st.Ino]; ok && st.Nlink > 1 {
				line += " = " + first
			} else {
				links[st.Ino] = quote(rel)
			}
		case fi.Mode()&os.ModeSymlink != 0:
			target, _ := os.Readlink(path)
			line += fmt.Sprintf(" -> %s", quote(target))
		case fi.IsDir() && dirTimes:
			line += fmt.Sprintf(" %d", fi.ModTime().UnixNano())
		}
		if fi.Mode().IsRegular() || fi.IsDir() && rel != "." {
			d, err := openDir(filepath.Dir(path))
			if err != nil {
				return err
			}
			attrs, err := d.xattrsOf(filepath.Base(path))
			d.close()
			if err != nil {
				return err
			}
			for _, key := range sortedKeys(carried(attrs)) {
				line += fmt.Sprintf(" %s=%q", key, attrs[key])
			}
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(out)
	return out
}

// seen is the tree that the agent's last script left, as it saw it.
func (x *fixture) seen() []string { return tree(x.t, filepath.Join(x.dir, "seen"), false) }

func (x *fixture) project() []string { return tree(x.t, x.lower, false) }
