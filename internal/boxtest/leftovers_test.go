package boxtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// leave is what a test forgot.
func leave(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
}

func TestLeftoversNamesWhatWasLeft(t *testing.T) {
	process.settle = 50 * time.Millisecond
	t.Cleanup(func() { process.settle = 0 })
	for name, tc := range map[string]struct {
		root bool
		make func(t *testing.T, dir string)
		want string
	}{
		"a process of ours": {make: func(t *testing.T, dir string) {
			cmd := exec.Command("cat")
			cmd.Args[0] = "agentbox"
			leave(t, cmd)
		}, want: "process "},
		"a process in another PID namespace": {root: true, make: func(t *testing.T, dir string) {
			cmd := exec.Command("cat")
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
			leave(t, cmd)
		}, want: "process "},
		"a mount": {root: true, make: func(t *testing.T, dir string) {
			if err := unix.Mount("none", dir, "tmpfs", 0, "size=4k"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Unmount(dir, 0) })
		}, want: "mount "},
		"a cgroup": {root: true, make: func(t *testing.T, dir string) {
			if !Has(Cgroup1) {
				t.Skip("needs a cgroup of version 1")
			}
			group, err := os.MkdirTemp("/sys/fs/cgroup/pids", "boxtest-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Remove(group) })
		}, want: "cgroup /sys/fs/cgroup/pids/boxtest-"},
		"a session": {make: func(t *testing.T, dir string) {
			os.Mkdir(filepath.Join(dir, "0123456789ab"), 0o700)
		}, want: "file "},
		"a temporary file": {make: func(t *testing.T, dir string) {
			f, err := os.CreateTemp("/tmp", "agentbox-selftest-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close(); os.Remove(f.Name()) })
		}, want: "temporary file /tmp/agentbox-selftest-"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.root {
				Need(t, Root)
			}
			dir := t.TempDir()
			r := record(t, func(r *recorder) {
				Leftovers(r, dir)
				tc.make(t, dir)
			})
			if len(r.errors) != 1 || !strings.Contains(r.errors[0], "left behind: "+tc.want) {
				t.Errorf("reported: %q", r.errors)
			}
		})
	}
}

func TestLeftoversWaitsForWhatIsGoing(t *testing.T) {
	r := record(t, func(r *recorder) {
		Leftovers(r)
		cmd := exec.Command("sleep", "0.2")
		cmd.Args[0] = "agentbox"
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go cmd.Wait()
	})
	if len(r.errors) > 0 {
		t.Errorf("reported: %q", r.errors)
	}
}
