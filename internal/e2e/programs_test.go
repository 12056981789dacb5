package e2e

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"agentbox/internal/boxtest"
)

// does runs a script in a box, and checks what it writes, of which the pattern is a
// regular expression.
func (w *world) does(t *testing.T, script, pattern string) {
	t.Helper()
	r := w.sh(t, "set -e\n"+script)
	if r.code != 0 || !regexp.MustCompile("^"+pattern+"$").MatchString(strings.ReplaceAll(strings.TrimSpace(r.out), "\n", "|")) {
		t.Errorf("ended with %d, and wrote\n%s\n%s", r.code, r.out, r.err)
	}
}

// outside runs a script of the account's without a box.
func (w *world) outside(t *testing.T, script string) string {
	t.Helper()
	r := finish(t, w.Command(t, w.dir, "sh", "-ec", script))
	if r.code != 0 {
		t.Fatalf("outside: %+v", r)
	}
	return strings.TrimSpace(r.out)
}

// Git works on the project's own repository, of which only what git executes is
// protected, and on clones, whose new .git is the agent's.
func TestGit(t *testing.T) {
	boxtest.Need(t, boxtest.Git)
	const author = `git config user.name test; git config user.email test@example.org; `
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			w.outside(t, `git init -q; `+author+`echo one >file; git add file; git commit -qm one; git init -q --bare ../$(basename $PWD)/bare`)
			w.does(t, `echo two >>file; git commit -qam two; git log --format=%s; git status --short; git gc -q; git fsck`, `two\|one\|\?\? bare/`)
			w.does(t, `git clone -q . copy; cd copy; `+author+`echo three >>file; git commit -qam three; git log --format=%s -1; git remote get-url origin`, `three\|.*`)
			w.does(t, `cd copy; git push -q ../bare HEAD:refs/heads/new; git -C ../bare log --format=%s -1 new; git worktree add -q ../tree; cat ../tree/file`, `three\|one\|two\|three`)
			w.does(t, `git switch -qc topic; git tag mark; git config user.name other 2>&1 || echo refused; touch .git/hooks/x 2>&1 || echo refused`, `error: .*\|refused\|touch: .*\|refused`)
			if got := w.outside(t, `git log --format=%s; git config user.name; git -C bare log --format=%s -1 new; git -C copy status --short`); got != "two\none\ntest\nthree" {
				t.Errorf("outside:\n%s", got)
			}
		})
	}
}

// A module without dependencies builds and passes its tests without a network, and
// with nothing in Go's cache.
func TestGoModule(t *testing.T) {
	boxtest.Need(t, boxtest.Go)
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, `workspace.mode = "overlay"`)
			w.Path = w.goPath(t)
			for name, text := range map[string]string{
				"go.mod":      "module example.org/sum\n\ngo 1.21\n",
				"sum.go":      "package main\n\nfunc sum(a, b int) int { return a + b }\n\nfunc main() { println(\"sum\", sum(1, 2)) }\n",
				"sum_test.go": "package main\n\nimport \"testing\"\n\nfunc TestSum(t *testing.T) {\n\tif sum(1, 2) != 3 {\n\t\tt.Fatal(\"wrong\")\n\t}\n}\n",
			} {
				w.WriteFile(t, filepath.Join(w.dir, name), text, 0o644)
			}
			w.does(t, `go build -o /tmp/sum . && /tmp/sum 2>&1 && go test -vet=off .`, `sum 3\|ok\s+example.org/sum\s.*`)
		})
	}
}

// goPath is the account's PATH with the Go that the tests run with, if it can be reached.
func (w *world) goPath(t *testing.T) string {
	t.Helper()
	tool, err := exec.LookPath("go")
	if err == nil {
		tool, err = filepath.EvalSymlinks(tool)
	}
	if err == nil {
		err = w.Command(t, w.dir, tool, "version").Run()
	}
	if err != nil {
		t.Skipf("needs go: %v", err)
	}
	return filepath.Dir(tool) + ":" + w.Path
}

// npm ci installs a package from a tarball of the project, with its program.
func TestNpm(t *testing.T) {
	boxtest.Need(t, boxtest.Npm, boxtest.Node)
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, `workspace.mode = "overlay"`)
			for name, text := range map[string]string{
				"greeter/package.json": `{"name": "greeter", "version": "1.2.3", "bin": {"greet": "greet.js"}}`,
				"greeter/greet.js":     "#!/usr/bin/env node\nconsole.log(require('./words'))\n",
				"greeter/words.js":     "module.exports = 'hello'\n",
				"package.json": `{"name": "app", "version": "1.0.0", "dependencies": {"greeter": "file:greeter-1.2.3.tgz"},
					"scripts": {"postinstall": "echo made >made", "start": "greet"}}`,
			} {
				w.WriteFile(t, filepath.Join(w.dir, name), text, 0o644)
			}
			w.outside(t, `npm pack --silent ./greeter; npm install --silent --package-lock-only --no-audit --no-fund; rm -r greeter`)
			w.does(t, `npm ci --silent; npm start --silent; node_modules/.bin/greet; cat made`, `hello\|hello\|made`)
		})
	}
}

func TestPython(t *testing.T) {
	boxtest.Need(t, boxtest.Python)
	const script = `
import concurrent.futures, multiprocessing, threading
def square(n): return n * n
if __name__ == "__main__":
    lock, seen = threading.Lock(), set()
    def note(n):
        with lock: seen.add(threading.get_native_id())
        barrier.wait()
    barrier = threading.Barrier(16)
    threads = [threading.Thread(target=note, args=(n,)) for n in range(16)]
    for t in threads: t.start()
    for t in threads: t.join()
    with concurrent.futures.ProcessPoolExecutor(4) as pool:
        print(len(seen), sum(pool.map(square, range(100))))
    queue = multiprocessing.Queue()
    child = multiprocessing.Process(target=queue.put, args=("from a process",))
    child.start(); print(queue.get()); child.join()
    shared = multiprocessing.shared_memory.SharedMemory(create=True, size=4096) if hasattr(multiprocessing, "shared_memory") else None
    if shared: shared.unlink()
`
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			w.WriteFile(t, filepath.Join(w.dir, "work.py"), script, 0o644)
			w.does(t, `/usr/bin/python3 work.py`, `16 328350\|from a process`)
		})
	}
}

// toolchains is a place for programs of a person, who may have it in PATH: a box
// does not follow PATH to where temporary files are.
func toolchains(t *testing.T) string {
	t.Helper()
	home := "/home"
	if os.Geteuid() != 0 {
		var err error
		if home, err = os.UserHomeDir(); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp(home, "boxtest-")
	if err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// A link of PATH to where no box looks is no program, and the hint says why, and helps.
func TestProgramWhoseLinkLeadsOut(t *testing.T) {
	base := toolchains(t)
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			w.Home = filepath.Join(base, account)
			tool := filepath.Join(w.RuntimeDir, "tools/tool")
			w.WriteFile(t, tool, "#!/bin/sh\necho tool\n", 0o755)
			bin := filepath.Join(w.Home, "bin")
			w.WriteFile(t, filepath.Join(bin, "other"), "", 0o755)
			if err := os.Symlink(tool, filepath.Join(bin, "tool")); err != nil {
				t.Fatal(err)
			}
			w.Path = bin + ":" + w.Path
			want := fmt.Sprintf("%s/tool leads to %s on the host, but that directory is not shown: --expose %s\n", bin, tool, filepath.Dir(tool))
			if r := w.run(t, "tool"); r.code != 127 || !strings.Contains(r.err, want) {
				t.Errorf("%+v", r)
			}
			if r := finish(t, w.agentbox(t, "run", "--expose", filepath.Dir(tool), "--", "tool")); r.code != 0 || r.out != "tool\n" {
				t.Errorf("exposed: %+v", r)
			}
		})
	}
}

// A program that fills the screen draws it again in the new size, and leaves the
// person's screen as it was.
func TestCurses(t *testing.T) {
	boxtest.Need(t, boxtest.Tmux, boxtest.Python)
	const script = `
import curses
def main(screen):
    key = curses.KEY_RESIZE
    while key != ord("q"):
        if key == curses.KEY_RESIZE:
            rows, columns = screen.getmaxyx()
            screen.clear(); screen.border(); screen.addstr(1, 1, f"{columns} by {rows}"); screen.refresh()
        key = screen.getch()
curses.wrapper(main)
`
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w, term := outerShell(t, find)
			w.WriteFile(t, filepath.Join(w.dir, "draw.py"), script, 0o644)
			term.Type("agentbox run -- /usr/bin/python3 draw.py; echo code $?\n")
			term.WaitFor("120 by 40", patience)
			for _, size := range [][2]int{{90, 30}, {132, 43}} {
				term.Resize(size[0], size[1])
				term.WaitFor(fmt.Sprintf("%d by %d", size[0], size[1]), patience)
				until(t, "the frame is as large as the terminal", func() bool {
					lines := strings.Split(strings.TrimRight(term.Capture(), "\n"), "\n")
					return len(lines) == size[1] && len([]rune(lines[size[1]-1])) == size[0]
				})
			}
			term.Type("q")
			if screen := term.WaitFor("code 0", patience); strings.Contains(screen, " by ") {
				t.Errorf("the screen did not come back:\n%s", screen)
			}
		})
	}
}

// A shell in the box has job control of its own.
func TestJobControlInside(t *testing.T) {
	boxtest.Need(t, boxtest.Tmux)
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			_, term := outerShell(t, find)
			term.Type("agentbox run --env PS1='inside> ' -- bash --norc -i; echo code $?\n")
			term.WaitFor("inside> ", patience)
			for _, step := range []struct{ keys, shows string }{
				{"sleep 1000 & jobs\n", "[1]+  Running"},
				{"clear; echo front; fg\n", "front\nsleep 1000"},
				{"\x1a", "[1]+  Stopped"},
				{"clear; echo back; bg\n", "back\n[1]+ sleep 1000 &"},
				{"clear; jobs; fg %1\n", "sleep 1000 &\nsleep 1000"},
				{"\x03", "^C"},
				{"echo code $?; jobs; set -o | grep monitor\n", "code 130\nmonitor"},
				{"exit 7\n", "code 7"},
			} {
				term.Type(step.keys)
				term.WaitFor(step.shows, patience)
			}
		})
	}
}

// A gibibyte goes in and comes out unchanged.
func TestGibibyteThroughAPipe(t *testing.T) {
	const size = 1 << 30
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			sent, got := sha256.New(), sha256.New()
			cmd := w.agentbox(t, "run", "--", "cat")
			cmd.Stdin = io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{}), size), sent)
			cmd.Stdout = got
			if r := finish(t, cmd); r.code != 0 || r.err != "" || string(sent.Sum(nil)) != string(got.Sum(nil)) {
				t.Errorf("%+v, sent %x, got %x", r, sent.Sum(nil), got.Sum(nil))
			}
		})
	}
}
