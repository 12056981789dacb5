// Package outside starts the programs of the host that a profile names.
//
// What it promises. A program lies outside the workspace, which the agent can write, whatever links lead to it. It runs in the
// person's home, with their ids also where root asks for somebody else, as sudo does, and what it starts ends with it when
// its time is over.
//
// What it does not: it sets no environment and no limit of time; both are the caller's. It says whether somebody else can
// exchange a program, and does not look by itself.
package outside

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Place is where programs are found and run.
type Place struct {
	Home      string
	Workspace string   // no program of it is run; "" is none
	Path      []string // where programs without a full path are looked for
}

// Holds reports whether a path without links lies in the workspace.
func (p Place) Holds(real string) bool {
	rel, err := filepath.Rel(p.Workspace, real)
	return p.Workspace != "" && err == nil && filepath.IsLocal(rel)
}

// Find looks a program up outside the workspace, and returns its path without links.
func (p Place) Find(name string) (string, error) {
	candidates := []string{name}
	if !filepath.IsAbs(name) {
		candidates = nil
		for _, dir := range p.Path {
			if filepath.IsAbs(dir) {
				candidates = append(candidates, filepath.Join(dir, name))
			}
		}
	}
	for _, c := range candidates {
		real, err := filepath.EvalSymlinks(c)
		if err != nil || p.Holds(real) {
			continue
		}
		if info, err := os.Stat(real); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return real, nil
		}
	}
	return "", fmt.Errorf("%s is not a program outside the workspace", name)
}

// Command is a program that Find returned. With the context it ends, and its process group with it.
func (p Place) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = p.Home
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: p.credential()}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// credential is that of who owns the home, where root asks for somebody else.
func (p Place) credential() *syscall.Credential {
	var st syscall.Stat_t
	if os.Geteuid() != 0 || syscall.Stat(p.Home, &st) != nil || st.Uid == 0 {
		return nil
	}
	return &syscall.Credential{Uid: st.Uid, Gid: st.Gid}
}

// BareEnv is an environment with nothing of the caller's.
func BareEnv(home string) []string {
	return []string{"HOME=" + home, "PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"}
}

// UID is whose ids a program gets.
func (p Place) UID() int {
	if c := p.credential(); c != nil {
		return int(c.Uid)
	}
	return os.Geteuid()
}

// Replaceable says why somebody else than a user and root could put another file in the place of one: they may write to a
// directory on the way.
func Replaceable(real string, uid int) error {
	for dir := filepath.Dir(real); ; dir = filepath.Dir(dir) {
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err != nil {
			return &fs.PathError{Op: "stat", Path: dir, Err: err}
		}
		others := st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0
		if st.Uid != 0 && int(st.Uid) != uid || others {
			return fmt.Errorf("others may write to %s, on the way to the program", dir)
		}
		if dir == "/" {
			return nil
		}
	}
}
