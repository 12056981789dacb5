package vm

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestACommandThatDoesNotEndIsKilledWithAllItStarted(t *testing.T) {
	m := Start(t, Options{})
	r, err := m.command(Command{As: Login{Account: User}, Script: "setsid sleep 987 & echo began; wait", Limit: 500 * time.Millisecond})
	if !errors.Is(err, errTimedOut) || r.Stdout != "began\n" {
		t.Errorf("%v, output %q", err, r.Stdout)
	}
	if got := m.Run(t, Login{Account: Root}, "pgrep -f 'sleep 98[7]'").Stdout; got != "" {
		t.Errorf("it left %s", got)
	}
}

func TestAMachineHasItsOptions(t *testing.T) {
	m := Start(t, small)
	tests := map[string]struct {
		as     string
		script string
		want   string
	}{
		"a processor":               {User, "nproc", "1\n"},
		"files with owner and mode": {User, "cat ../new/notes; stat -c '%a %U %G' ../new ../new/notes", "of the user\n755 user user\n600 user user\n"},
		"which others do not read":  {Bare, "cat /home/user/new/notes 2>/dev/null || echo refused", "refused\n"},
		"programs":                  {Bare, "greet world", "hello, world\n"},
		"kernel modules":            {Root, "grep -c ^dummy /proc/modules", "1\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := m.Run(t, Login{Account: test.as}, test.script)
			if got.Stdout != test.want {
				t.Errorf("got %q, want %q\n%s", got.Stdout, test.want, got.Stderr)
			}
		})
	}
}

// small is a machine that one test may break.
var small = Options{CPUs: 1, Modules: []string{"dummy"}, Files: map[string]File{
	"/home/user/new/notes": {Text: "of the user\n", Mode: 0o600, UID: 1000, GID: 1000},
	"/usr/local/bin/greet": {Text: "#!/bin/sh\necho hello, $1\n", Mode: 0o755},
}}

func TestAMachineThatEndsEndsItsCommands(t *testing.T) {
	m := Start(t, small)
	_, err := m.command(Command{As: Login{Account: Root}, Script: "echo c >/proc/sysrq-trigger; sleep 100"})
	if err == nil || !strings.Contains(err.Error(), "sysrq triggered crash") {
		t.Errorf("the error does not show the console: %v", err)
	}
	if _, again := m.command(Command{As: Login{Account: Root}, Script: "true"}); again == nil {
		t.Error("a machine that ended ran a command")
	}
}

func TestAMachineThatCannotBootSaysWhy(t *testing.T) {
	m := Start(t, Options{}) // for what it needs
	if _, err := m.command(Command{As: Login{}, Script: "true"}); err == nil {
		t.Error("the zero login ran a command")
	}
	if _, err := boot(Options{Memory: 64, CPUs: 1}, "/bin/busybox"); err == nil || !strings.Contains(err.Error(), "the machine ended") {
		t.Errorf("a machine of 64 MiB: %v", err)
	}
	if _, err := boot(Options{Memory: 512, CPUs: 1, Modules: []string{"no-such"}}, "/bin/busybox"); err == nil || !strings.Contains(err.Error(), "no module no_such") {
		t.Errorf("a module that is not there: %v", err)
	}
}
