package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"

	"agentbox/internal/boxtest/vm/wire"
)

const cgroupRoot = "/sys/fs/cgroup"

// cgroupLogins gives every command a cgroup of its own, on a machine without a
// service manager:
//
//	/sys/fs/cgroup/logins/N           None
//	/sys/fs/cgroup/services/ACCOUNT-N Scope
//	/sys/fs/cgroup/ACCOUNT/login-N    Tree
type cgroupLogins struct {
	mu   sync.Mutex
	last int
}

func (l *cgroupLogins) prepare() error { return enableControllers(cgroupRoot) }

// enableControllers hands every controller that dir has to the cgroups below it.
func enableControllers(dir string) error {
	for _, name := range []string{"cpu", "cpuset", "io", "memory", "pids"} {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+name), 0); err != nil {
			return fmt.Errorf("the cgroup controller %s: %w", name, err)
		}
	}
	return nil
}

func (l *cgroupLogins) start(cmd *exec.Cmd, c *wire.Command) (kill, tidy func(), err error) {
	if err := runtimeDir(c); err != nil {
		return nil, nil, err
	}
	dir, err := l.make(c)
	if err != nil {
		return nil, nil, err
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(f.Fd())
	tidy = func() { os.Remove(dir) } // refused while something runs in it, or stayed below it
	if err := cmd.Start(); err != nil {
		tidy()
		return nil, nil, err
	}
	return func() { os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0) }, tidy, nil
}

func (l *cgroupLogins) make(c *wire.Command) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	n := strconv.Itoa(l.last)
	parent, name := "logins", n
	switch c.Cgroup {
	case wire.Scope:
		parent, name = "services", c.Account+"-"+n
	case wire.Tree:
		parent, name = c.Account, "login-"+n
	}
	parent = filepath.Join(cgroupRoot, parent)
	if err := os.Mkdir(parent, 0o755); err == nil {
		err = enableControllers(parent)
		if err == nil && c.Cgroup == wire.Tree {
			err = delegate(parent, c)
		}
		if err != nil {
			return "", err
		}
	} else if !errors.Is(err, os.ErrExist) {
		return "", err
	}
	dir := filepath.Join(parent, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	if c.Cgroup == wire.None {
		return dir, nil
	}
	return dir, delegate(dir, c)
}

// delegate gives a cgroup away as systemd and cgroups(7) do: the directory and the
// three files that move processes and controllers, but none of the limits.
func delegate(dir string, c *wire.Command) error {
	err := os.Chown(dir, c.UID, c.GID)
	for _, name := range []string{"cgroup.procs", "cgroup.threads", "cgroup.subtree_control"} {
		err = errors.Join(err, os.Chown(filepath.Join(dir, name), c.UID, c.GID))
	}
	return err
}

// runtimeDir makes what pam_systemd would: /run/user/UID.
func runtimeDir(c *wire.Command) error {
	dir := filepath.Join("/run/user", strconv.Itoa(c.UID))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, c.UID, c.GID))
}

// systemdLogins opens a session for every command, as a login on a terminal or by
// ssh does. systemd has the cgroups, and delegates on request.
type systemdLogins struct{}

func (systemdLogins) prepare() error { return nil }

func (systemdLogins) start(cmd *exec.Cmd, c *wire.Command) (kill, tidy func(), err error) {
	if c.Cgroup != wire.None {
		return nil, nil, errors.New("systemd delegates cgroups on this machine: ask it, with systemd-run")
	}
	cmd.Path = "/usr/bin/su"
	cmd.Args = []string{"su", "--login", c.Account, "--command", "cd " + c.Dir + "; " + c.Script}
	cmd.SysProcAttr.Credential = nil
	cmd.Dir = "/"
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	slice := filepath.Join(cgroupRoot, "user.slice", fmt.Sprintf("user-%d.slice", c.UID))
	return func() { os.WriteFile(filepath.Join(slice, "cgroup.kill"), []byte("1"), 0) }, func() {}, nil
}
