// Package cgroup finds the control groups that a caller may use, and makes, reads, freezes and removes those of boxes;
// see cgroups(7). What is written there is decided by package limits.
package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/limits"
)

// A Group is the control group of one box.
type Group struct {
	plan  limits.Group
	name  string
	aside bool // this process has stepped aside

	killsAround uint64 // when the box began
}

// Name is what the group of a session is called.
func Name(session string) string { return "agentbox-" + session }

func newGroup(plan *limits.Group, session string) *Group {
	g := &Group{plan: *plan, name: Name(session)}
	g.plan.Parts = slices.Clone(plan.Parts)
	return g
}

// Make creates the group and sets its limits; nothing is in it yet. Dirs are noted before they are made, so that a
// sweep finds them. A group in a scope is made by Attach, and removed by systemd whatever happens.
func Make(plan *limits.Group, session string, note func(dirs []string) error) (*Group, error) {
	g := newGroup(plan, session)
	if plan.Scope {
		return g, nil
	}
	dirs := g.Dirs()
	if plan.Aside {
		dirs = append(dirs, g.asideDir())
	}
	if err := note(dirs); err != nil {
		return nil, err
	}
	if err := g.make(); err != nil {
		return nil, errors.Join(err, g.Remove())
	}
	return g, nil
}

func (g *Group) make() error {
	if g.plan.Aside {
		if err := g.stepAside(); err != nil {
			return err
		}
	}
	for _, p := range g.plan.Parts {
		if err := g.enable(p); err != nil {
			return err
		}
		dir := filepath.Join(p.Parent, g.name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := set(dir, p.Settings); err != nil {
			return err
		}
	}
	return nil
}

// enable hands the controllers of a part of version 2 down to the box's group.
func (g *Group) enable(p limits.Part) error {
	if g.plan.Version != 2 {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(p.Parent, subtreeFile))
	if err != nil {
		return err
	}
	var missing []string
	for _, c := range p.Controllers {
		if !slices.Contains(strings.Fields(string(data)), c) {
			missing = append(missing, "+"+c)
		}
	}
	if missing == nil {
		return nil
	}
	return write(p.Parent, subtreeFile, strings.Join(missing, " "))
}

func set(dir string, settings []limits.Setting) error {
	for _, s := range settings {
		err := write(dir, s.File, s.Value)
		if s.Optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// write writes without making: a file that a control group lacks must not appear on what is mounted instead.
func write(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(value)
	return err
}

// Dirs are the group's directories.
func (g *Group) Dirs() []string {
	var dirs []string
	for _, p := range g.plan.Parts {
		dirs = append(dirs, filepath.Join(p.Parent, g.name))
	}
	return dirs
}

// dir is where a controller's files are.
func (g *Group) dir(controller string) string {
	if g == nil {
		return ""
	}
	return g.plan.Dir(g.name, controller)
}

// Tasks opens the files by which a process of one thread joins a group of version 1; on version 2 there are none.
func (g *Group) Tasks() ([]*os.File, error) {
	if g == nil || g.plan.Version != 1 {
		return nil, nil
	}
	var files []*os.File
	for _, dir := range g.Dirs() {
		f, err := os.OpenFile(filepath.Join(dir, "tasks"), os.O_WRONLY, 0)
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// Attaches reports whether processes are put into the group from outside.
func (g *Group) Attaches() bool { return g != nil && g.plan.Version == 2 }

// Attach puts a process, by its pid on the host, into a group of version 2.
func (g *Group) Attach(pid int) error {
	if g.plan.Scope {
		return g.attachScope(pid)
	}
	return write(g.Dirs()[0], procsFile, fmt.Sprint(pid))
}

// removal is how long the kernel may take to forget the processes of a group.
const removal = 2 * time.Second

// Remove takes the group away; its processes must have ended.
func (g *Group) Remove() error {
	if g == nil {
		return nil
	}
	err := Remove(g.Dirs())
	if g.aside {
		err = errors.Join(err, g.stepBack())
	}
	return err
}

// Remove takes directories of control groups away. One that is not there is no error, and only empty groups go.
func Remove(dirs []string) error {
	var all []error
	for _, dir := range dirs {
		if !strings.HasPrefix(filepath.Base(dir), Name("")) {
			all = append(all, fmt.Errorf("%s is not a box's control group", dir))
			continue
		}
		thaw(dir) // a frozen process of version 1 does not even die
		if err := removeEmpty(dir); err != nil {
			all = append(all, &os.PathError{Op: "remove", Path: dir, Err: err})
		} else if strings.HasSuffix(dir, asideSuffix) {
			all = append(all, takeBack(filepath.Dir(dir), dir))
		}
	}
	return errors.Join(all...)
}

// removeEmpty waits for the kernel to forget a group's processes.
func removeEmpty(dir string) error {
	for deadline := time.Now().Add(removal); ; time.Sleep(time.Millisecond) {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
	}
}

func read(dir, file string) string {
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(data))
}
