// Package cgroup2 holds a box's limits to their promise on version 2 of control groups, in a machine that has nothing
// else: without a service manager, for whom a group was delegated and for whom none was, and with systemd.
package cgroup2

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"agentbox/internal/boxtest"
	"agentbox/internal/boxtest/vm"
)

func TestMain(m *testing.M) {
	code := vm.Main(m)
	if dir, err := hogDir(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// The logins, by what of the group tree is theirs.
var (
	root     = vm.Login{Account: vm.Root}
	user     = vm.Login{Account: vm.User}
	userTree = vm.Login{Account: vm.User, Cgroup: vm.Tree}
	bareTree = vm.Login{Account: vm.Bare, Cgroup: vm.Tree}
	userLeaf = vm.Login{Account: vm.User, Cgroup: vm.Scope}
)

// hogDir is where the agent is built that takes what a box limits.
var hogDir = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "boxtest-hog-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", dir, "agentbox/testdata/vm/hog")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("build the hog: %w\n%s", err, out)
	}
	return dir, nil
})

// machine is one that has the hog.
func machine(t *testing.T, systemd bool) *vm.Machine {
	t.Helper()
	boxtest.Need(t, boxtest.VM)
	dir, err := hogDir()
	if err != nil {
		t.Fatal(err)
	}
	return vm.Start(t, vm.Options{Systemd: systemd, Files: map[string]vm.File{
		"/usr/local/bin/hog": {From: filepath.Join(dir, "hog"), Mode: 0o755},
	}})
}

// profile is the part of a script that makes a project with a profile.
func profile(limits ...string) string {
	return "cd $(mktemp -d $HOME/project/XXXXXX)\ncat >p.toml <<'END'\n[limits]\n" + strings.Join(limits, "\n") + "\nEND\n"
}

// kernel asks for the kernel and for nothing less.
const kernel = `enforcement = "kernel"`

// begin is the part of a script that starts a box with an agent that waits, and finds its group as the host sees it:
// $GROUP, with $AGENT in it, of which $INIT is the parent and $SUPERVISOR the one that made all.
const begin = `
rm -f out
agentbox run -p p.toml -- sh -c 'echo "agent $(cat /proc/self/cgroup)"; echo ready; sleep 300' >out 2>err & SUPERVISOR=$!
i=0; until grep -q ready out; do i=$((i+1)); [ $i -lt 300 ] && [ -d /proc/$SUPERVISOR ] || { cat err; exit 99; }; usleep 50000; done
ID=$(agentbox ps | tail -n +2 | cut -d' ' -f1)
GROUP=$(find /sys/fs/cgroup -type d -name agentbox-$ID)
AGENT=$(head -n 1 $GROUP/cgroup.procs)
INIT=$(sed 's/.*) //' /proc/$AGENT/stat | cut -d' ' -f2)
group() { cut -d: -f3 /proc/$1/cgroup; }
inside() { case $(group $1) in *agentbox-$ID) echo inside;; *) echo outside;; esac; }
`

// end is the part that ends it and says what is left after a while.
const end = `
wait $SUPERVISOR 2>/dev/null; echo "code $?"
` + left

// left says what there is of boxes, when the kernel and systemd have had a while.
const left = `
i=0; while find /sys/fs/cgroup -name 'agentbox-*' 2>/dev/null | grep -q . && [ $i -lt 100 ]; do i=$((i+1)); usleep 50000; done
find /sys/fs/cgroup -name 'agentbox-*' 2>/dev/null
`
