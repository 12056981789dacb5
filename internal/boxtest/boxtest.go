// Package boxtest helps tests that need privileges: what the machine has, an
// ordinary user, a posture probe, and checks that nothing was left.
//
// Every test binary that uses it calls Main from its TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(boxtest.Main(m)) }
//
// Tests that build or run agentbox, or that need an account, hold one lock of the
// machine until their process ends, so that the test binaries of several packages
// take turns and Leftovers sees only its own. Within a process, tests that call
// Leftovers must not run in parallel with others.
//
// The two accounts that it makes as root, agentbox-test and agentbox-bare, stay on
// the machine. Everything else that it makes is named boxtest-* and is removed.
package boxtest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// scratchBase is a directory that every user may traverse and that is no tmpfs of
// limited size. A box hides it, so nothing inside depends on it.
const scratchBase = "/var/tmp"

// process is what a test process makes at most once. It is the only variable of
// the package; a test process has one TestMain and one machine.
var process state

type state struct {
	mu       sync.Mutex
	inMain   bool
	locked   bool
	programs string             // where built programs lie, removed by Main
	built    map[string]build   // by the directory of the source
	probed   map[Feature]error  // what Need found
	accounts map[string]account // made or found by User and BareUser
	watchers int                // Leftovers calls whose test still runs
	settle   time.Duration      // how long Leftovers waits; zero means settleTime
}

type build struct {
	path string
	err  error
}

type account struct {
	found Account
	err   error
}

// Main runs the tests of a package, or, in a process that DenyCmd prepared, the
// command under its filter. It returns the exit code. It defines the flag -update
// unless the test package did.
func Main(m interface{ Run() int }) int {
	if text := os.Getenv(denyEnv); text != "" {
		err := denyAndExec(text)
		fmt.Fprintln(os.Stderr, "boxtest: ", err)
		return 125
	}
	if flag.Lookup("update") == nil {
		flag.Bool("update", false, "rewrite golden files")
	}
	process.mu.Lock()
	process.inMain = true
	process.mu.Unlock()
	code := m.Run()
	process.mu.Lock()
	defer process.mu.Unlock()
	if process.programs != "" {
		os.RemoveAll(process.programs)
	}
	return code
}

// lockMachine waits until no other test process uses this machine's boxes and
// accounts. The caller holds process.mu. The lock goes with the process; it lies
// on a directory that exists everywhere, so that no file is left and users need
// no permission for each other's.
func (s *state) lockMachine() error {
	if s.locked {
		return nil
	}
	fd, err := unix.Open(scratchBase, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("lock the machine: %w", err)
	}
	for {
		err = unix.Flock(fd, unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("lock the machine: %w", err)
	}
	s.locked = true
	return nil
}

// programDir returns the directory for built programs. The caller holds process.mu.
func (s *state) programDir() (string, error) {
	if !s.inMain {
		return "", errors.New("TestMain does not call boxtest.Main, which would remove what is built")
	}
	if s.programs != "" {
		return s.programs, nil
	}
	dir, err := os.MkdirTemp(scratchBase, "boxtest-bin-")
	if err == nil {
		s.programs, err = dir, os.Chmod(dir, 0o755)
	}
	return dir, err
}

// scratch makes a directory below a path that every user may traverse, owned by
// the account, and removes it at the end of the test.
func scratch(t testing.TB, a *Account, name string, mode os.FileMode) string {
	t.Helper()
	dir, err := os.MkdirTemp(scratchBase, "boxtest-"+name+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { RemoveAll(t, dir) })
	if err := errors.Join(os.Chmod(dir, mode), a.own(dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// RemoveAll removes a tree of which a test may have taken the permissions away.
func RemoveAll(t testing.TB, dir string) {
	t.Helper()
	if os.RemoveAll(dir) == nil {
		return
	}
	filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if e != nil && e.IsDir() {
			os.Chmod(path, 0o700)
		}
		return nil
	})
	if err := os.RemoveAll(dir); err != nil {
		t.Errorf("boxtest: %v", err)
	}
}

// firstLine shortens a program's complaint to what fits in a skip message.
func firstLine(out []byte, err error) error {
	if err == nil {
		return nil
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if line == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, line)
}
