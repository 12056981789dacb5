package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// A launcher starts commands from a thread whose mount namespace has no cgroup hierarchies: crun refuses a machine
// that has both versions, even when it is told to use none.
type launcher struct {
	commands chan *exec.Cmd
	done     chan error
}

func (l *launcher) run(cmd *exec.Cmd) error {
	l.commands <- cmd
	return <-l.done
}

// hybridCgroups reports a machine with both versions mounted.
func hybridCgroups() bool {
	_, err := os.Stat("/sys/fs/cgroup/unified")
	return err == nil
}

// withoutCgroups makes a launcher; only root can.
func withoutCgroups() (*launcher, error) {
	l := &launcher{make(chan *exec.Cmd), make(chan error)}
	go l.serve()
	return l, <-l.done
}

func (l *launcher) serve() {
	runtime.LockOSThread() // never unlocked: the namespace ends with the thread
	err := unix.Unshare(unix.CLONE_NEWNS)
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, "")
	}
	if err == nil {
		err = unix.Mount("tmpfs", "/sys/fs/cgroup", "tmpfs", unix.MS_RDONLY, "")
	}
	if err != nil {
		l.done <- fmt.Errorf("a mount namespace without cgroups: %w", err)
		return
	}
	l.done <- nil
	for cmd := range l.commands {
		l.done <- cmd.Run()
	}
}
