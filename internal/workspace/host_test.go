package workspace

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
)

func TestAFullDisk(t *testing.T) {
	boxtest.Need(t, boxtest.Root)
	x := newFixture(t, Trusted)
	x.host("echo a >a; seq 2000 >b; mkdir d; echo c >d/c")
	x.agent("echo 2 >>a; head -c 300000 /dev/urandom >big; rm -r d; rm b; for i in $(seq 300); do echo $i >s$i; done")
	for size, code := range map[string]int{"64k": 3, "280k": 3, "4m": 0} {
		before, out := tree(t, x.lower, false), filepath.Join(x.dir, "out-"+size)
		cmd := exec.Command("unshare", "--mount", "bash", "-c", `mkdir "$3"; mount -t tmpfs -o size=$0 none /mnt; mkdir /mnt/p; cp -a "$1/." /mnt/p; "$4" apply-and-die /mnt/p "$2" 1 `+never+`
			code=$?; cp -a /mnt/p/. "$3"; exit $code`, size, x.lower, x.session, out, selfPath(t))
		text, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != code || code == 3 && !strings.Contains(string(text), "no space left on device") {
			t.Errorf("%s: exit code %d, %s", size, got, text)
		}
		if want := before; code == 0 {
			want = x.seen()
			if diff := cmp.Diff(want, tree(t, out, false)); diff != "" {
				t.Errorf("%s: %s", size, diff)
			}
		} else if diff := cmp.Diff(want, tree(t, out, false)); diff != "" {
			t.Errorf("%s: %s", size, diff)
		}
		for _, name := range []string{beginName, journalName, undoName, doneName} {
			if _, err := os.Lstat(filepath.Join(x.session, name)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: %s is left", size, name)
			}
		}
		os.Remove(filepath.Join(x.session, appliedName))
	}
}

func selfPath(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// asUser runs this test's program as a user who owns the fixture and nothing else.
func (x *fixture) asUser(t *testing.T, n string) (code int, text string) {
	t.Helper()
	const nobody = 65534
	for _, d := range []string{x.lower, x.session} {
		x.run(exec.Command("chown", "-R", "-h", "65534:65534", d))
	}
	self := filepath.Join(x.dir, "self")
	x.run(exec.Command("cp", selfPath(t), self))
	x.run(exec.Command("chmod", "755", self, x.dir))
	cmd := exec.Command(self, "apply-and-die", x.lower, x.session, strconv.Itoa(int(x.flavour)), n)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, _ := cmd.CombinedOutput()
	return cmd.ProcessState.ExitCode(), string(out)
}

// A user, unlike root, is kept out by permissions: of files, and of directories in
// which names come and go.
func TestReadOnlyFilesAndDirectories(t *testing.T) {
	boxtest.Need(t, boxtest.Root, boxtest.UsernsOverlay)
	x := newFixture(t, User)
	x.host(manyHost + "; echo r >ro; chmod 444 ro; mkdir -p cache/m; echo c >cache/m/c; chmod 444 cache/m/c; chmod 555 cache/m cache; mkdir gone; echo g >gone/g; chmod 555 gone")
	x.agent(manyAgent + "; chmod 644 ro; echo 2 >>ro; chmod 444 ro; chmod 755 cache/m; echo 3 >cache/m/d; chmod 755 gone; rm -r gone")
	y, z := x.copyOf(t), x.copyOf(t)
	if code, text := x.asUser(t, never); code != 0 {
		t.Fatalf("exit code %d: %s", code, text)
	}
	if diff := cmp.Diff(x.seen(), x.project()); diff != "" {
		t.Error(diff)
	}
	before := tree(t, y.lower, true)
	y.asUser(t, "100")
	if _, err := y.open().Recover(nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, tree(t, y.lower, true)); diff != "" && cmp.Diff(x.project(), y.project()) != "" {
		t.Errorf("after a cut: %s", diff)
	}
	if err := os.Chmod(filepath.Join(z.lower, "a"), 0o600); err != nil {
		t.Fatal(err)
	}
	os.Chmod(z.session, 0o555)
	before = tree(t, z.lower, true)
	if code, text := z.asUser(t, never); code != 3 || !strings.Contains(text, "permission denied") {
		t.Errorf("a session's directory that cannot be written: %d, %s", code, text)
	}
	if diff := cmp.Diff(before, tree(t, z.lower, true)); diff != "" {
		t.Error(diff)
	}
}

func TestWhatAUserMayNotReadIsRefused(t *testing.T) {
	boxtest.Need(t, boxtest.Root, boxtest.UsernsOverlay)
	x := newFixture(t, User)
	x.host("echo a >a; mkdir d; echo f >d/f; echo h >h; echo g >g; chmod 000 g")
	x.agent("chmod 000 a; chmod 000 d; mkdir n; echo x >n/x; chmod 000 n; echo 2 >>h; echo 2 >>g; echo new >new; chmod 000 new")
	if code, text := x.asUser(t, never); code != 0 {
		t.Fatalf("exit code %d: %s", code, text)
	}
	x.began = time.Now().Add(time.Hour) // the new owner changed the times
	want := []string{"A n/", "A new", "M a", "M d/", "M g"}
	var left []string
	for _, line := range lines(x.review()) { // as root, who may read them
		if strings.HasPrefix(line, "A n/x") {
			continue
		}
		left = append(left, line)
	}
	slices.Sort(left)
	if diff := cmp.Diff(want, left); diff != "" {
		t.Error(diff)
	}
}

func TestOverlayAttributesThatOurMountsDoNotMake(t *testing.T) {
	boxtest.Need(t, boxtest.Root)
	set := func(t *testing.T, x *fixture, name, key, value string) {
		if err := unix.Lsetxattr(filepath.Join(LayersOf(x.session).Upper, name), key, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		key, value string
		flavour    Flavour
		want       []string
	}{
		"a redirect":               {"trusted.overlay.redirect", "/d", Trusted, []string{`A n/ (refused: it carries the attribute trusted.overlay.redirect, which these overlays do not make)`}},
		"a redirect of a user":     {"user.overlay.redirect", "/d", User, []string{`A n/ (refused: it carries the attribute user.overlay.redirect, which these overlays do not make)`}},
		"a note of another kind":   {"user.overlay.opaque", "y", Trusted, []string{"A n/", "A n/f"}},
		"an attribute of tomorrow": {"trusted.overlay.tomorrow", "y", Trusted, []string{`A n/ (refused: it carries the attribute trusted.overlay.tomorrow, which these overlays do not make)`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			x := newFixture(t, test.flavour)
			x.host("mkdir d; echo a >d/a")
			x.agent("mkdir n; echo f >n/f")
			set(t, x, "n", test.key, test.value)
			if diff := cmp.Diff(test.want, lines(x.review())); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("content that lies elsewhere", func(t *testing.T) {
		x := newFixture(t, Trusted)
		x.host("echo a >a")
		x.agent("echo b >>a")
		set(t, x, "a", "trusted.overlay.metacopy", "")
		if r := x.review(); len(r.Changes) != 1 || r.Changes[0].Refused == "" {
			t.Error(lines(r))
		}
	})
	t.Run("whiteouts that are files", func(t *testing.T) {
		x := newFixture(t, Trusted)
		x.host("mkdir d; echo a >d/a; echo b >d/b")
		x.agent("chmod 700 d; chmod 755 d; : >d/a")
		set(t, x, "d", "trusted.overlay.opaque", "x")
		set(t, x, "d/a", "trusted.overlay.whiteout", "y")
		if diff := cmp.Diff([]string{"D d/a"}, lines(x.review())); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("an overlay's attribute is not carried over", func(t *testing.T) {
		x := newFixture(t, Trusted)
		x.agent("mkdir n; python3 -c 'import os; os.setxattr(\"n\", \"user.overlay.opaque\", b\"y\"); os.setxattr(\"n\", \"user.mine\", b\"y\")'")
		x.apply(Selection{All: true})
		d, err := openDir(x.lower)
		if err != nil {
			t.Fatal(err)
		}
		defer d.close()
		attrs, err := d.xattrsOf("n")
		if _, overlay := attrs["user.overlay.opaque"]; err != nil || overlay || string(attrs["user.mine"]) != "y" {
			t.Errorf("%v, %v", attrs, err)
		}
	})
}

func TestTwoAppliesTakeTurns(t *testing.T) {
	x := newFixture(t, Trusted)
	x.agent("echo a >a")
	one, two := x.open(), x.open()
	unlock, err := one.lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := two.Recover(nil); err == nil || !strings.Contains(err.Error(), "another agentbox") {
		t.Errorf("%v", err)
	}
	unlock()
	if _, err := two.Recover(nil); err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	x := newFixture(t, Trusted)
	x.begin()
	tests := map[string]struct {
		change func(*Config)
		want   string
	}{
		"no flavour":   {func(c *Config) { c.Flavour = 0 }, "who mounted"},
		"no beginning": {func(c *Config) { c.Began = time.Time{} }, "when the session began"},
		"the root":     {func(c *Config) { c.Lower = "/" }, "absolute path"},
		"a dirty path": {func(c *Config) { c.Lower += "/../x" }, "absolute path"},
		"no upper":     {func(c *Config) { c.Upper += "x" }, "no such file"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := x.config()
			test.change(&c)
			if _, err := Open(c); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v", err)
			}
		})
	}
}
