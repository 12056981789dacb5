package boxtest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

const patience = 20 * time.Second

// A recorder stands in for the test that a helper reports to.
type recorder struct {
	testing.TB
	cleanups []func()
	errors   []string
	skipped  string
	fatal    string
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}
func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.fatal = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// record runs a helper and then its cleanups, in another goroutine because
// skipping ends one.
func record(t *testing.T, run func(r *recorder)) *recorder {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for i := len(r.cleanups) - 1; i >= 0; i-- {
				r.cleanups[i]()
			}
		}()
		run(r)
	}()
	<-done
	return r
}

func TestNeed(t *testing.T) {
	const absent = Feature("no-such-program")
	for name, tc := range map[string]struct {
		feature     Feature
		require     string
		skip, fatal bool
	}{
		"a program that is there":        {feature: "sh", require: "all"},
		"one that is not":                {feature: absent, skip: true},
		"one that is not, and must be":   {feature: absent, require: "git, no-such-program", fatal: true},
		"one that is not, among all":     {feature: absent, require: "all", fatal: true},
		"one that is not, others must":   {feature: absent, require: "git,no-such", skip: true},
		"an empty list requires nothing": {feature: absent, require: "", skip: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(requireEnv, tc.require)
			r := record(t, func(r *recorder) { Need(r, tc.feature) })
			if (r.skipped != "") != tc.skip || (r.fatal != "") != tc.fatal {
				t.Errorf("skipped %q, failed %q", r.skipped, r.fatal)
			}
		})
	}
}

func TestEveryFeatureIsProbed(t *testing.T) {
	for _, f := range []Feature{Root, Userns, Newuidmap, Overlay, UsernsOverlay, Landlock, Seccomp, Idmap, Cgroup1, Cgroup2, Veth,
		Tmux, Git, Npm, Node, Python, Go} {
		t.Logf("%-14s %v", f, probed(f))
		if Has(f) != (probed(f) == nil) {
			t.Error(f)
		}
	}
}

// whoami prints IDs, groups and no_new_privs.
const whoami = `id -u; id -g; id -G; grep NoNewPrivs /proc/self/status; pwd; env | cut -d= -f1 | sort | tr '\n' ' '`

func TestAccountsAreOrdinary(t *testing.T) {
	for name, find := range map[string]func(testing.TB) *Account{"with subordinate IDs": User, "without": BareUser} {
		t.Run(name, func(t *testing.T) {
			Leftovers(t)
			a := find(t)
			dir := Project(t, a)
			a.WriteFile(t, filepath.Join(dir, "a/b/c"), "text", 0o640)
			out, err := a.Command(t, dir, "sh", "-c", whoami+"; rm a/b/c; rmdir a/b a; touch made").CombinedOutput()
			want := fmt.Sprintf("%d\n%d\n%d\nNoNewPrivs:\t0\n%s\nHOME LANG LOGNAME PATH PWD SHELL TERM USER XDG_RUNTIME_DIR ",
				a.UID, a.GID, a.GID, dir)
			if os.Geteuid() == 0 && a.UID == 0 {
				t.Error("the account is root")
			}
			if diff := cmp.Diff(want, string(out)); err != nil || diff != "" && os.Geteuid() == 0 {
				t.Errorf("%v\n%s", err, diff)
			}
			if os.Geteuid() == 0 && hasSubIDs(a.Name) != (a.Name == userName) {
				t.Errorf("%s has subordinate IDs: %v", a.Name, hasSubIDs(a.Name))
			}
		})
	}
}

func TestSuperuserHasItsOwnHome(t *testing.T) {
	Need(t, Root)
	a := Superuser(t)
	out, err := a.Command(t, "/", "sh", "-c", `id -u; test -w "$HOME" && test -O "$XDG_RUNTIME_DIR"`).CombinedOutput()
	if err != nil || string(out) != "0\n" || a.Home == "/root" {
		t.Errorf("%s %v %+v", out, err, a)
	}
}
