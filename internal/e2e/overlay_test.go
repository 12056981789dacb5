package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentbox/internal/boxtest"
)

// newOverlay is a world in which what the agent writes is kept apart.
func newOverlay(t testing.TB, find who, profile string) *world {
	t.Helper()
	w := newWorld(t, find, "[workspace]\nmode = \"overlay\"\n"+profile)
	w.Path = "/usr/local/bin:/usr/bin:/bin"
	return w
}

// host runs a shell script in the project, as the account.
func (w *world) host(t testing.TB, script string) string {
	t.Helper()
	r := finish(t, w.Command(t, w.dir, "bash", "-ec", script))
	if r.code != 0 {
		t.Fatalf("on the host: %+v", r)
	}
	return r.out
}

// agent runs a shell script in a box, and fails the test when the script fails.
func (w *world) agent(t testing.TB, script string) string {
	t.Helper()
	r := w.run(t, "bash", "-ec", script)
	if r.code != 0 {
		t.Fatalf("in the box: %+v", r)
	}
	return r.out
}

// apply applies the latest session's changes and returns what was held back.
func (w *world) apply(t testing.TB, args ...string) string {
	t.Helper()
	r := finish(t, w.agentbox(t, append([]string{"apply"}, args...)...))
	if r.code > 1 {
		t.Fatalf("apply: %+v", r)
	}
	return r.err
}

// Everything that an agent does to get at protected and masked names, with what it must leave alone.
var attacks = map[string]string{
	"removing all":                   `rm -rf .git .env key.pem sub ./* .[a-z]*`,
	"a copy in the place of .git":    `mv .git x && cp -r x .git; echo evil >.git/hooks/pre-commit; echo evil >.git/config`,
	"a link in the place of .git":    `mv .git x && ln -s x .git; rm -rf .git; ln -s x .git; echo evil >.git/hooks/pre-commit`,
	"links in the place of files":    `for f in .git/config .git/hooks/pre-commit .env sub/.env; do ln -sf /etc/passwd $f; done`,
	"a parent that moves away":       `mv sub other; mkdir sub; echo evil >sub/.env; mv sub/deep d; mkdir -p sub/deep; echo evil >sub/deep/key.pem`,
	"writing, truncating, mode bits": `for f in .git/config .git/hooks/pre-commit .env sub/.env key.pem; do echo evil >$f; : >$f; chmod 777 $f; rm -f $f; done`,
	"exchanging two names": `python3 -c 'import ctypes; c = ctypes.CDLL(None)
for a, b in ((".git", "free"), ("sub", "free"), (".env", "plain")): c.renameat2(-100, a.encode(), -100, b.encode(), 2)'`,
	"set-id bits": `chmod u+s plain; chmod g+s plain; chmod 4755 plain; cp /bin/true t; chmod 6755 t; install -m 4755 /bin/true u; mkdir -m 2755 s; chmod g+s free
python3 -c 'import os; os.close(os.open("v", os.O_CREAT | os.O_WRONLY, 0o4755))'; python3 -c 'import os; os.mknod("n", 0o104755)'`,
}

const guarded = `mkdir -p .git/hooks sub/deep free; echo hook >.git/hooks/pre-commit; echo config >.git/config; echo head >.git/HEAD
for f in .env key.pem sub/.env sub/deep/key.pem; do echo secret >$f; done; echo plain >plain; echo x >sub/x`

// Whatever an agent does, nothing protected or masked is lost, neither at once nor when all is applied, and nothing
// set-id reaches the host. What it may do, it can.
func TestNothingGuardedIsLost(t *testing.T) {
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			for _, mode := range []string{"rw", "overlay"} {
				for name, script := range attacks {
					t.Run(mode+", "+name, func(t *testing.T) {
						w := newWorld(t, find, fmt.Sprintf("[workspace]\nmode = %q\n", mode))
						w.host(t, guarded)
						r := w.run(t, "bash", "-c", "{ "+script+"\n} >/dev/null 2>&1; mkdir -p free; echo mine >free/mine; grep -rl secret .")
						if r.out != "" {
							t.Errorf("the agent reads %q", r.out)
						}
						if mode == "overlay" {
							w.apply(t, "--all", "--allow-handoff")
						}
						const want = "hook\nconfig\nsecret\nsecret\nsecret\nsecret\nmine\n"
						got := w.host(t, `cat .git/hooks/pre-commit .git/config .env key.pem sub/.env sub/deep/key.pem free/mine`)
						if got != want {
							t.Errorf("the host has %q", got)
						}
						if ids := w.host(t, `find . ~/.local/state/agentbox -perm /6000 2>/dev/null || true`); ids != "" {
							t.Errorf("set-id: %s", ids)
						}
					})
				}
			}
		})
	}
}

// A name that the profile masks is not there, however many there are, whenever the host makes it, and whatever the host
// puts in its place.
func TestMasksHold(t *testing.T) {
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			w := newOverlay(t, find, `mask = ["later", "conf/token", "*.key"]`)
			w.host(t, `mkdir conf dir; echo old >dir/x.key; echo plain >dir/plain; printf secret >$'\xff\xfe.key'; echo y >$'\xff\xfe'`)
			b := w.start(t, `echo ready; while read -r f; do printf '%s\n' "$(cat "$f" 2>/dev/null || echo none)"; done`)
			see := func(name string) string {
				fmt.Fprintln(b.stdin, name)
				return b.line(t)
			}
			w.host(t, `echo secret >later; echo secret >conf/token; echo seen >ordinary; echo new >dir/.x; mv dir/.x dir/x.key; echo new >.p; mv .p dir/other.key`)
			for name, want := range map[string]string{"later": "none", "conf/token": "none", "ordinary": "seen", "dir/x.key": "none",
				"dir/plain": "plain", "\xff\xfe.key": "none", "\xff\xfe": "y"} {
				if got := see(name); got != want {
					t.Errorf("%q: %q, want %q", name, got, want)
				}
			}
			if code := b.end(); code != 0 {
				t.Errorf("exit %d", code)
			}
		})
	}
}

// The directory of a masked file may go; the file goes when a person names it.
func TestTheHostKeepsWhatTheAgentCouldNotSee(t *testing.T) {
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			w := newOverlay(t, find, "")
			w.host(t, `mkdir -p dir/sub; echo secret >dir/sub/.env; echo x >dir/sub/x; echo y >dir/y`)
			w.agent(t, `rm -rf dir; test ! -e dir`)
			w.apply(t, "--all")
			if got := w.host(t, `find dir -type f -exec cat {} +`); got != "secret\n" {
				t.Errorf("the host has %q", got)
			}
			if r := finish(t, w.agentbox(t, "apply", "dir/sub/.env")); r.code == 0 && w.host(t, `test -e dir/sub/.env && echo there || true`) != "" {
				t.Errorf("named: %+v", r)
			}
		})
	}
}

// An agent cannot speak the overlay's own language.
func TestOverlayAttributesOfTheAgent(t *testing.T) {
	const forge = `python3 - <<'E'
import os
for name in ("opaque", "whiteout", "redirect", "metacopy", "origin", "impure", "nlink", "upper", "overlay.opaque", "overlay.whiteout"):
    for space in ("user", "trusted"):
        for path in ("dir", "file", "made", "."):
            for value in (b"y", b"x", b"/dir", b""):
                try: os.setxattr(path, f"{space}.overlay.{name}", value)
                except OSError: pass
for make in (lambda: os.mknod("gone", 0o020000, 0), lambda: os.mknod("dir/gone", 0o020644, 0)):
    try: make(); print("MADE")
    except OSError: pass
E`
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			w := newOverlay(t, find, "")
			w.host(t, `mkdir dir; echo x >dir/x; echo file >file; echo gone >gone; echo gone >dir/gone`)
			if out := w.agent(t, `echo changed >made; echo more >>dir/x; `+forge); out != "" {
				t.Errorf("a whiteout: %s", out)
			}
			w.apply(t, "--all")
			if got := w.host(t, `cat dir/x dir/gone file gone`); got != "x\nmore\ngone\nfile\ngone\n" {
				t.Errorf("the host has %q", got)
			}
		})
	}
}

// How long a box takes to start in a large project. It is told, not held to.
func TestStartsInALargeProject(t *testing.T) {
	for name, make := range map[string]string{
		"no mask": `true`, "100 masks": `mkdir m; touch m/{1..100}.key`, "10000 masks": `for d in {1..100}; do mkdir -p m/$d; touch m/$d/{1..100}.key; done; echo plain >m/7/plain`,
		"100000 files": `for d in {1..1000}; do mkdir -p m/$d; touch m/$d/{1..100}; done; touch m/7/7.key; echo plain >m/7/plain`,
	} {
		t.Run(name, func(t *testing.T) {
			for account, find := range accounts() {
				t.Run(account, func(t *testing.T) {
					if name == "100000 files" && (account != "user" || testing.Short()) {
						t.Skip("it takes long to make them, and is the same for all")
					}
					w := newOverlay(t, find, "")
					w.host(t, make)
					w.run(t, "true")
					best := patience
					for range 5 {
						began := time.Now()
						if r := w.run(t, "true"); r.code != 0 {
							t.Fatalf("%+v", r)
						}
						best = min(best, time.Since(began))
					}
					t.Logf("%s: %v", account, best.Round(100*time.Microsecond))
					if strings.Contains(make, "plain") {
						if got := w.agent(t, `cat m/7/plain; find . -name '*.key'`); got != "plain\n" {
							t.Errorf("the agent sees %.200q", got)
						}
					}
				})
			}
		})
	}
}

// A project may be the root of a file system, or lie in one, other than that of the sessions.
func TestProjectsOnOtherFileSystems(t *testing.T) {
	boxtest.Need(t, boxtest.Root)
	for account, find := range accounts() {
		for kind, mount := range map[string]string{
			"tmpfs": `mount -t tmpfs none "$0"`,
			"ext4":  `truncate -s 32M "$0.img"; mkfs.ext4 -q "$0.img"; mount -o loop "$0.img" "$0"; rmdir "$0/lost+found"`,
		} {
			for where, sub := range map[string]string{"the root of it": "", "a directory on it": "project"} {
				t.Run(account+", "+kind+", "+where, func(t *testing.T) {
					w := newOverlay(t, find, "")
					top := w.dir
					sh(t, mount, top)
					t.Cleanup(func() { sh(t, `umount "$0"; rm -f "$0.img"`, top) })
					w.dir = filepath.Join(top, sub)
					sh(t, `mkdir -p "$0"; chown `+fmt.Sprintf("%d:%d", w.UID, w.GID)+` "$0"`, w.dir)
					w.host(t, `mkdir d; echo a >d/a; echo b >b; echo s >.env`)
					w.agent(t, `echo more >>d/a; rm b; echo c >c; test ! -e .env`)
					if got := w.host(t, `cat d/a b .env`); got != "a\nb\ns\n" {
						t.Errorf("before apply: %q", got)
					}
					w.apply(t, "--all")
					if got := w.host(t, `cat d/a c .env; ls`); got != "a\nmore\nc\ns\nc\nd\n" {
						t.Errorf("after apply: %q", got)
					}
				})
			}
		}
	}
}

// What is mounted in a project is not in the overlay of it, so that no box is better than one without.
func TestAMountInTheProjectIsSaid(t *testing.T) {
	boxtest.Need(t, boxtest.Root)
	w := newOverlay(t, boxtest.Superuser, "")
	w.host(t, "mkdir below")
	sh(t, `mount -t tmpfs none "$0/below"`, w.dir)
	r := w.run(t, "true")
	sh(t, `umount "$0/below"`, w.dir)
	if r.code != 65 || !strings.Contains(r.err, filepath.Join(w.dir, "below")) {
		t.Errorf("with a mount: %+v", r)
	}
	if r := w.run(t, "true"); r.code != 0 {
		t.Errorf("without: %+v", r)
	}
}

// sh runs a shell script as the user of the tests; arg is its $0.
func sh(t testing.TB, script, arg string) {
	t.Helper()
	cmd := exec.Command("sh", "-ec", script, arg)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", script, err, out)
	}
}
