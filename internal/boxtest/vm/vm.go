// Package vm boots a small virtual machine with its own kernel and runs commands
// in it, so that tests need not take the cgroups and the kernel they find.
//
// The machine is emulated, so it runs everywhere and is slow: some four seconds to
// boot, and about ten times as long for everything else; its clocks agree with
// this machine's. It has Debian's cloud kernel, one disk that is its root, the
// unified cgroup hierarchy with every controller, no swap, no network, busybox,
// newuidmap, agentbox, and the accounts root, user and bare. With Options.Systemd
// it also has systemd, D-Bus and PAM, and takes ten seconds to boot.
//
// Every test binary that uses it calls Main from its TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(vm.Main(m)) }
//
// Tests that ask for the same Options share a machine. It ends with Main, or with
// the test process, however that ends; nothing of it stays but Debian's packages,
// in the directory agentbox-test of the user's cache directory.
package vm

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"agentbox/internal/boxtest"
	"agentbox/internal/boxtest/vm/wire"
)

// The accounts of a machine.
const (
	Root = "root"
	User = "user" // with subordinate IDs, so that newuidmap works
	Bare = "bare" // without
)

// The cgroups a login may have. None is a cgroup that belongs to root. With Scope
// the account owns the cgroup its commands start in, with Tree also the one above.
const (
	None  = wire.None
	Scope = wire.Scope
	Tree  = wire.Tree
)

// A Login is the account that a command runs as, and what of the cgroup tree was
// handed to it. The zero value is no account.
type Login struct {
	Account string
	Cgroup  wire.Delegation
}

// String describes the login in a test's name.
func (l Login) String() string {
	return l.Account + [...]string{None: "", Scope: ", scope", Tree: ", tree"}[l.Cgroup]
}

// Options are what a machine has beyond the usual.
type Options struct {
	Memory  int             // in MiB; zero means 1024
	CPUs    int             // zero means 2
	Files   map[string]File // by their paths in the machine
	Modules []string        // kernel modules to load, as "nf_tables"; those they need come along
	Systemd bool            // a Debian with systemd and D-Bus: each command is a login session, and only systemd delegates cgroups
}

// A File is a file of a machine: a copy of one here, or a text. Directories above
// it are made.
type File struct {
	From     string // a path on this machine; empty means Text
	Text     string
	Mode     os.FileMode // zero means 0644
	UID, GID int
}

// A Command is a script for a machine's /bin/sh, run in the directory "project" in
// the account's home, in a session of its own. Its end is the end of its output, so what it
// leaves in the background must write elsewhere.
type Command struct {
	As     Login
	Script string
	Stdin  string
	Limit  time.Duration // after which it is killed, and the test fails; zero means two minutes
}

// A Result is what a command did.
type Result struct {
	Stdout, Stderr string
	Code           int           // as shells give it: 128+N for signal N
	Took           time.Duration // by the machine's clock, without the way to the machine and back
}

// machines are what a test process has booted. It is the only variable of the
// package; a test process has one TestMain.
var machines struct {
	mu     sync.Mutex
	inMain bool
	booted map[string]*Machine
	failed map[string]error
}

// Main runs the tests of a package like boxtest.Main, and then ends the machines
// that they used.
func Main(m interface{ Run() int }) int {
	machines.mu.Lock()
	machines.inMain = true
	machines.mu.Unlock()
	code := boxtest.Main(m)
	machines.mu.Lock()
	defer machines.mu.Unlock()
	for _, booted := range machines.booted {
		booted.kill()
	}
	return code
}

// Start returns a machine with these options, and boots it if no test of this
// process has. The test is skipped where there can be no machine.
func Start(t testing.TB, o Options) *Machine {
	t.Helper()
	boxtest.Need(t, boxtest.VM)
	binary := boxtest.Binary(t)
	if o.Memory == 0 {
		o.Memory = 1024
	}
	if o.CPUs == 0 {
		o.CPUs = 2
	}
	machines.mu.Lock()
	defer machines.mu.Unlock()
	if !machines.inMain {
		t.Fatal("vm: TestMain does not call vm.Main, which would end the machine")
	}
	key := fmt.Sprintf("%+v", o) // maps are printed in the order of their keys
	if m := machines.booted[key]; m != nil && m.runs() {
		return m
	}
	if err := machines.failed[key]; err != nil { // a machine that does not boot costs its time once
		t.Fatal("vm: ", err)
	}
	m, err := boot(o, binary)
	if err != nil {
		note(&machines.failed, key, err)
		t.Fatal("vm: ", err)
	}
	note(&machines.booted, key, m)
	return m
}

func note[V any](m *map[string]V, key string, value V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = value
}

// Run runs a script as a login and returns what it did, whatever its exit code.
func (m *Machine) Run(t testing.TB, as Login, script string) Result {
	t.Helper()
	return m.Do(t, Command{As: as, Script: script})
}

// Do runs a command and returns what it did, whatever its exit code. Several
// tests may use it at the same time.
func (m *Machine) Do(t testing.TB, c Command) Result {
	t.Helper()
	r, err := m.command(c)
	if err != nil {
		t.Fatalf("vm: %v\nstdout: %s\nstderr: %s", err, r.Stdout, r.Stderr)
	}
	return r
}

// errTimedOut is the error of a command that was killed at its limit.
var errTimedOut = errors.New("the command did not end in its time")

func (m *Machine) command(c Command) (Result, error) {
	who, known := accounts[c.As.Account]
	if !known {
		return Result{}, fmt.Errorf("the machine has no account %q", c.As.Account)
	}
	if c.Limit == 0 {
		c.Limit = 2 * time.Minute
	}
	a, err := m.ask(wire.Request{Command: &wire.Command{
		Script: c.Script, Stdin: []byte(c.Stdin), Env: who.environ(c.As.Account), Dir: who.project(),
		UID: who.uid, GID: who.uid, Account: c.As.Account, Cgroup: c.As.Cgroup, Limit: c.Limit}})
	r := Result{Stdout: a.stdout.String(), Stderr: a.stderr.String()}
	if err != nil {
		return r, err
	}
	r.Code, r.Took = a.outcome.Code, a.outcome.Took
	if a.outcome.TimedOut {
		return r, fmt.Errorf("%w, %v", errTimedOut, c.Limit)
	}
	return r, nil
}
