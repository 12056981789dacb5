package workspace

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An act is one line of a shell script, drawn from a small set of names so that
// the lines meet each other.
func act(r *rand.Rand) string {
	names := []string{"a", "b", "c", "d", "a/b", "a/c", "b/d", "c/a/b", "d/x", "a/b/c", "d/x/y"}
	name := func() string { return names[r.IntN(len(names))] }
	script := []string{
		"mkdir -p $0", "mkdir -p $0; echo %d >$0/f", "echo %d >$0", "echo %d >>$0", "rm -rf $0", "rm -f $0", "mv $0 $1", "mv -T $0 $1", "cp -r $0 $1",
		"rm -rf $0; ln -s %d $0", "chmod 7%d5 $0", "ln -f $0 $1", "rm -rf $0; mkdir $0", "touch -d @20%d $0", "truncate -s %d000 $0", "seq %d >$0", "rm -rf $0; mkdir -p $0/q/r; echo %d >$0/q/r/s"}[r.IntN(17)]
	script = strings.NewReplacer("$0", name(), "$1", name()).Replace(script)
	if strings.Contains(script, "%d") {
		script = fmt.Sprintf(script, r.IntN(8))
	}
	return "{ " + script + "; } 2>/dev/null || true\n"
}

func acts(r *rand.Rand, n int) string {
	var out strings.Builder
	for range n {
		out.WriteString(act(r))
	}
	return out.String()
}

// A random tree, changed at random in an overlay, is after an apply what the agent
// saw, and nothing is left to review. The oracle is a copy of the overlay.
func TestRandomTrees(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0)) // which would take permissions from what the agent saw
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			x := newFixture(t, []Flavour{Trusted, User}[seed%2])
			x.host(acts(r, 25))
			x.agent(acts(r, 25))
			changes := lines(x.review())
			held := x.apply(Selection{All: true})
			if diff := cmp.Diff(contents(x.seen()), contents(x.project())); diff != "" {
				t.Errorf("held %+v, changes %s\n%s", held, strings.Join(changes, "\n"), diff)
			}
			if left := lines(x.review()); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

// contents leaves out which names are one file, because an overlay without an index
// breaks hard links of the lower directory when it copies them up, and times,
// because a file that was only touched is no change.
func contents(tree []string) []string {
	times := regexp.MustCompile(` \d{9,}`)
	out := make([]string, len(tree))
	for i, line := range tree {
		line, _, _ = strings.Cut(line, " = ")
		out[i] = times.ReplaceAllString(line, "")
	}
	return out
}

// FuzzApplyStaysInside gives apply an upper directory that an adversary wrote, byte
// by byte, beside a canary that nothing may touch.
func FuzzApplyStaysInside(f *testing.F) {
	f.Add([]byte("l../canary;f../canary/x;da;la/../..;fa/b"))
	f.Add([]byte("l/etc;l/proc/self/cwd;fx/../../canary/y"))
	f.Add([]byte("dd;ld/../../canary;fd/l;wk;wd;xk"))
	f.Fuzz(func(t *testing.T, script []byte) {
		root := scratch(t)
		x := &fixture{t: t, dir: root, lower: filepath.Join(root, "project"), session: filepath.Join(root, "session"), flavour: User}
		canary := filepath.Join(root, "canary")
		for _, d := range []string{x.lower, x.session, canary, filepath.Join(x.lower, "d")} {
			os.Mkdir(d, 0o755)
		}
		os.WriteFile(filepath.Join(canary, "bird"), []byte("alive"), 0o644)
		os.Symlink("../canary", filepath.Join(x.lower, "out"))
		os.WriteFile(filepath.Join(x.lower, "k"), []byte("k"), 0o644)
		before := tree(t, canary, true)
		x.begin()
		plant(t, LayersOf(x.session).Upper, string(script))
		w := x.open()
		defer w.Close()
		if review, err := w.Review(context.Background()); err == nil {
			paths := []string{}
			for _, c := range review.Changes {
				paths = append(paths, c.Path)
			}
			plan, err := w.Plan(review, Selection{All: true, Paths: paths, AllowHandoff: true})
			if err != nil {
				t.Fatal(err)
			}
			if len(plan.Items) > 0 {
				w.Apply(context.Background(), plan, nil)
			}
		}
		if diff := cmp.Diff(before, tree(t, canary, true)); diff != "" {
			t.Fatal(diff)
		}
		if list, _ := os.ReadDir(root); len(list) > 5 { // the four directories and the clock
			t.Fatalf("%v", list)
		}
		x.noEscape(t)
	})
}

// noEscape asserts that no link of the project's but the host's own leads out, and
// that nothing in it has a set-id bit.
func (x *fixture) noEscape(t *testing.T) {
	t.Helper()
	filepath.Walk(x.lower, func(path string, fi os.FileInfo, err error) error {
		if err != nil || path == filepath.Join(x.lower, "out") {
			return err
		}
		if fi.Mode()&(os.ModeSetuid|os.ModeSetgid|os.ModeDevice|os.ModeNamedPipe|os.ModeSocket) != 0 {
			t.Errorf("%s: %v", path, fi.Mode())
		}
		real, err := filepath.EvalSymlinks(path)
		if err == nil && real != x.lower && !strings.HasPrefix(real, x.lower+"/") {
			t.Errorf("%s leads to %s", path, real)
		}
		return nil
	})
}

// plant writes what a script says into an upper directory, below it only: the
// adversary is in the box, and has no other place to write.
func plant(t *testing.T, upper, script string) {
	root, err := os.OpenRoot(upper)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for i, step := range strings.Split(script, ";") {
		if len(step) < 2 || i > 30 {
			continue
		}
		name := step[1:]
		switch step[0] {
		case 'l':
			root.Symlink(name, fmt.Sprintf("l%d", i))
		case 'd':
			root.MkdirAll(name, 0o755)
		case 'w':
			exec.Command("mknod", filepath.Join(upper, filepath.Base(name)), "c", "0", "0").Run()
		case 'x':
			root.OpenFile(name, os.O_CREATE, 0o6755)
			root.Chmod(name, os.ModeSetuid|0o755)
		default:
			root.MkdirAll(filepath.Dir(name), 0o755)
			root.WriteFile(name, []byte(step), 0o644)
		}
	}
}

func FuzzName(f *testing.F) {
	for _, name := range []string{"a", "../a", "a/../../b", "/a", "a//b", ".", "", "a/", "\x00"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		root, err := openDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer root.close()
		up, base, err := root.parent(name)
		if err != nil {
			return
		}
		defer up.close()
		if strings.Contains(base, "/") || base == ".." || base == "." || base == "" || strings.Contains(name, "..") && filepath.Clean(name) != name {
			t.Errorf("%q was taken for a path below: %q", name, base)
		}
	})
}

func FuzzQuote(f *testing.F) {
	f.Add("a\n\x1b\"\\\xff ä")
	f.Fuzz(func(t *testing.T, name string) {
		for _, c := range []byte(quote(name)) {
			if c < 0x20 || c > 0x7e {
				t.Errorf("%q keeps %q", quote(name), c)
			}
		}
	})
}
