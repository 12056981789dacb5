package cli

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"agentbox/internal/boxtest"
)

func TestMain(m *testing.M) { os.Exit(boxtest.Main(m)) }

const (
	scripts = "../../testdata/scripts"
	// binaryForUser names the program when this test runs a second time, as an ordinary user.
	binaryForUser = "AGENTBOX_SCRIPT_BIN"
	scriptsDir    = "AGENTBOX_SCRIPT_DIR"
	systemPath    = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// TestScripts runs testdata/scripts, one for each promise, with the real binary.
func TestScripts(t *testing.T) {
	binary, dir := os.Getenv(binaryForUser), os.Getenv(scriptsDir)
	if binary == "" {
		binary, dir = boxtest.Binary(t), scripts
		boxtest.Leftovers(t)
	}
	runScripts(t, dir, binary)
}

func runScripts(t *testing.T, dir, binary string) {
	t.Run("scripts", func(t *testing.T) { // which return only when all of them have ended
		testscript.Run(t, testscript.Params{
			Dir:                 dir,
			WorkdirRoot:         scriptRoot(t),
			RequireExplicitExec: true,
			Deadline:            time.Now().Add(3 * time.Minute),
			UpdateScripts:       flag.Lookup("update").Value.String() == "true",
			Setup:               func(env *testscript.Env) error { return setup(env, binary) },
			Condition:           condition,
			Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		})
	})
}

// scriptRoot is a place that the box's root can reach; a box hides /tmp, but not what is mounted below.
func scriptRoot(t *testing.T) string {
	root, err := os.MkdirTemp("/var/tmp", "boxtest-scripts-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { boxtest.RemoveAll(t, root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

// setup gives a script a home, a project to start in, and nothing of the caller's configuration.
func setup(env *testscript.Env, binary string) error {
	home, project, run, bin := filepath.Join(env.WorkDir, "home"), filepath.Join(env.WorkDir, "project"), filepath.Join(env.WorkDir, "run"), filepath.Join(env.WorkDir, "bin")
	for dir, mode := range map[string]os.FileMode{home: 0o755, project: 0o755, run: 0o700, bin: 0o755} {
		if err := errors.Join(os.MkdirAll(dir, mode), os.Chmod(dir, mode)); err != nil {
			return err
		}
	}
	env.Cd = project
	env.Vars = []string{
		"WORK=" + env.WorkDir, "HOME=" + home, "PROJECT=" + project, "BIN=" + bin, "TMPDIR=" + env.WorkDir,
		"XDG_RUNTIME_DIR=" + run, "PATH=" + bin + ":" + systemPath, "USER=" + strconv.Itoa(os.Geteuid()), "LANG=C.UTF-8",
		"ESC=\x1b", "NL=\n",
	}
	return os.Symlink(binary, filepath.Join(bin, "agentbox"))
}

func condition(name string) (bool, error) {
	switch name {
	case "root":
		return os.Geteuid() == 0, nil
	case "user":
		return os.Geteuid() != 0, nil
	case "userns":
		return exec.Command("unshare", "--user", "--map-root-user", "true").Run() == nil, nil
	}
	return false, fmt.Errorf("there is no condition %q", name)
}

// exits runs a program that must end with one code: exits 64 agentbox run.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code program [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("it ended with %d, not with %d", got, want)
	}
}

// TestScriptsAsUser runs the scripts once more as an ordinary user, when the tests run as root.
func TestScriptsAsUser(t *testing.T) {
	boxtest.Need(t, boxtest.Root, boxtest.Userns)
	binary := boxtest.Binary(t)
	boxtest.Leftovers(t)
	for name, account := range map[string]*boxtest.Account{"with newuidmap": boxtest.User(t), "without": boxtest.BareUser(t)} {
		t.Run(name, func(t *testing.T) {
			dir := boxtest.Project(t, account)
			test := filepath.Join(dir, "scripts.test")
			program, err := os.ReadFile(os.Args[0])
			if err != nil {
				t.Fatal(err)
			}
			account.WriteFile(t, test, string(program), 0o755)
			files, err := filepath.Glob(filepath.Join(scripts, "*.txtar"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				account.WriteFile(t, filepath.Join(dir, filepath.Base(file)), string(text), 0o644)
			}
			args := []string{test, "-test.run=^TestScripts$"}
			if testing.Verbose() {
				args = append(args, "-test.v")
			}
			cmd := account.Command(t, dir, args...)
			cmd.Env = append(cmd.Env, binaryForUser+"="+binary, scriptsDir+"="+dir)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			} else if testing.Verbose() {
				t.Logf("%s", out)
			}
		})
	}
}
