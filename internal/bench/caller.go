package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// The limits of every box, so that holding them is part of what is measured.
const (
	limitMemory = 4 << 30
	limitCPUs   = 2
	limitPids   = 512
)

// A caller is somebody who starts boxes: root, or an ordinary user.
type caller struct {
	kind     string // "root" or "user"
	uid, gid int
	switchTo bool // whether we have to become somebody else
	home     string
	project  string
	run      string // a private runtime directory
}

// findCallers gives root and an ordinary user where we are root, and ourselves where we are not.
func findCallers(name, dir string) (list []caller, skipped []string, err error) {
	me := caller{kind: "user", uid: os.Geteuid(), gid: os.Getegid()}
	if me.uid == 0 {
		me.kind = "root"
	} else {
		skipped = append(skipped, "root: not started as root")
	}
	list = []caller{me}
	if me.uid == 0 {
		other, err := ordinary(name)
		if err != nil {
			skipped = append(skipped, "user: "+err.Error())
		} else {
			list = append(list, other)
		}
	}
	for i := range list {
		if err := list[i].prepare(filepath.Join(dir, list[i].kind)); err != nil {
			return nil, nil, err
		}
	}
	return list, skipped, nil
}

// ordinary finds the user of the rootless rows.
func ordinary(name string) (caller, error) {
	if name == "" {
		name = os.Getenv("SUDO_USER")
	}
	if name == "" || name == "root" {
		name = firstSubordinate()
	}
	if name == "" {
		return caller{}, fmt.Errorf("no ordinary user is known: name one with -user")
	}
	u, err := user.Lookup(name)
	if err != nil {
		return caller{}, err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return caller{}, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return caller{}, err
	}
	return caller{kind: "user", uid: uid, gid: gid, switchTo: true}, nil
}

func firstSubordinate() string {
	f, err := os.Open("/etc/subuid")
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, _, _ := strings.Cut(lines.Text(), ":")
		if u, err := user.Lookup(name); err == nil && u.Uid != "0" {
			return name
		}
	}
	return ""
}

// prepare makes the caller's own home, project and runtime directory.
func (c *caller) prepare(dir string) error {
	c.home, c.project, c.run = filepath.Join(dir, "home"), filepath.Join(dir, "project"), filepath.Join(dir, "run")
	for _, d := range []string{dir, c.home, c.project, filepath.Join(c.project, "a/b"), c.run} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(c.project, probeFile), make([]byte, 4096), 0o644); err != nil {
		return err
	}
	if err := os.Chmod(c.run, 0o700); err != nil {
		return err
	}
	profile := filepath.Join(c.home, ".config/agentbox/profile.toml")
	if err := os.MkdirAll(filepath.Dir(profile), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(profile, []byte(fmt.Sprintf("[limits]\nmemory = %d\ncpus = %d\npids = %d\n", limitMemory, limitCPUs, limitPids)), 0o644); err != nil {
		return err
	}
	return c.own(dir)
}

// own gives a tree to the caller.
func (c *caller) own(dir string) error {
	return filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, c.uid, c.gid)
	})
}

// command prepares a command of the caller's, in the project.
func (c *caller) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = c.project
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=" + c.home, "XDG_RUNTIME_DIR=" + c.run, "LANG=C.UTF-8"}
	if c.switchTo {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(c.uid), Gid: uint32(c.gid)}}
	}
	return cmd
}
