package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A group of version 2 that has processes hands no controllers down. A supervisor that is alone in a delegated group
// therefore leaves it, for a group below, while there is a box.

const asideSuffix = "-supervisor"

// stepAside moves this process out of the group that is to be the box's parent.
func (g *Group) stepAside() error {
	dir := g.asideDir()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	g.aside = true
	return write(dir, procsFile, "0")
}

func (g *Group) asideDir() string {
	return filepath.Join(g.plan.Parts[0].Parent, g.name+asideSuffix)
}

// stepBack undoes it. The box's group is gone by then.
func (g *Group) stepBack() error {
	g.aside = false
	dir := g.asideDir()
	parent := filepath.Dir(dir)
	return errors.Join(takeBack(parent, dir), write(parent, procsFile, "0"), Remove([]string{dir}))
}

// takeBack ends the handing down of controllers, which began with stepping aside, unless there are other groups below
// than the one that was stepped into.
func takeBack(dir, aside string) error {
	given := strings.Fields(read(dir, subtreeFile))
	below, err := filepath.Glob(filepath.Join(dir, "*", procsFile))
	below = slices.DeleteFunc(below, func(file string) bool { return filepath.Dir(file) == aside })
	if given == nil || len(below) > 0 || err != nil {
		return err
	}
	return write(dir, subtreeFile, "-"+strings.Join(given, " -"))
}
