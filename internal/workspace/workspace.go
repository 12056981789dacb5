// Package workspace keeps the agent's writes apart until someone applies them.
//
// An overlay has two directories: the lower one is the host's project, the upper
// one holds what the agent wrote. This package reads the upper one, says what
// changed, and carries the approved part over to the lower one.
//
// What it promises:
//   - Review reads the upper directory and, of the lower one, only what lies at the
//     same names or below a directory that the agent removed. Files that were
//     touched and are as before do not appear.
//   - Nothing that the agent left is trusted: names are resolved from open
//     directories (openat2, beneath, no links, no other mount), special files are
//     not opened, and an overlay's notes that our mounts do not make are refused.
//   - Apply is bound to what Review showed: contents by SHA-256, the host's files
//     by content and identity. It writes all of a plan or nothing, and an apply
//     that was cut off at any point is finished or undone by Recover.
//   - Apply makes no device, socket, FIFO, set-id file or link out of the
//     workspace, and no hand-off, masked or protected file that was not named.
//
// What it does not: it mounts nothing, prints nothing, and does not look whether a
// box still runs. A host program that holds a file open while apply replaces it
// keeps the old file, as with any editor that writes by renaming. Owners and
// attributes outside "user." are not carried over; the owner is the caller's.
// Clocks are the host's: a conflict is seen by a change time that is not before the
// session's beginning, so a clock that was set back during a session hides some.
package workspace

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// Names of what a session's directory holds for its workspace.
const (
	upperName   = "upper"
	workName    = "work"
	gitName     = "git"
	recordName  = "workspace.json"
	indexesName = "indexes.json"
	appliedName = "applied.json"
)

// Rules are what the profile says about names in the workspace: the key of the
// line that decides, or ok false. dir tells whether the name is a directory's.
type Rules struct {
	Masked    func(name string, dir bool) (key string, ok bool)
	Protected func(name string, dir bool) (key string, ok bool)
}

// A Config says where a workspace lies.
type Config struct {
	Lower   string    // the project on the host, absolute, without links
	Upper   string    // what the agent wrote
	State   string    // a directory of the session that only its owner may write
	Flavour Flavour   // who mounted the overlay
	Began   time.Time // when the session began, before its overlay was mounted
	Rules   Rules
	Base    Base   // where a common ancestor of a file is found; may be nil
	Owner   *Owner // who gets what apply makes; nil means the caller
	As      string // by which name the rules know what lies in Lower: ".git/" before it in a git directory
}

// An Owner is a user and a group of the host.
type Owner struct{ UID, GID int }

// A Workspace is a project and what an agent changed of it.
type Workspace struct {
	config       Config
	lower, upper dir
	state        dir
	left         map[string]State  // what earlier applies left, by path
	indexes      map[string]string // what git had staged when the session began, by path
	hand         hand
	live         bool // the agent still writes
}

// Open opens a workspace for review and apply. Close it.
func Open(c Config) (*Workspace, error) {
	switch {
	case c.Flavour != Trusted && c.Flavour != User:
		return nil, errors.New("workspace: it is not known who mounted the overlay")
	case c.Began.IsZero():
		return nil, errors.New("workspace: it is not known when the session began")
	case !filepath.IsAbs(c.Lower) || filepath.Clean(c.Lower) != c.Lower || c.Lower == "/":
		return nil, fmt.Errorf("workspace %s is not a clean absolute path", quote(c.Lower))
	}
	w := &Workspace{config: c, lower: dir{-1}, upper: dir{-1}, state: dir{-1}}
	for _, one := range []struct {
		to   *dir
		name string
	}{{&w.lower, c.Lower}, {&w.upper, c.Upper}, {&w.state, c.State}} {
		d, err := openDir(one.name)
		if err != nil {
			w.Close()
			return nil, fmt.Errorf("workspace: %w", err)
		}
		*one.to = d
	}
	var err error
	if w.left, err = readLeft(w.state); err == nil {
		_, err = readJSON(w.state, indexesName, &w.indexes)
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// Close lets go of the directories.
func (w *Workspace) Close() error {
	w.lower.close()
	w.upper.close()
	w.state.close()
	return nil
}

// masked and protected give the profile key that covers a path. A pattern that
// matches a directory covers all below it.
func (r Rules) masked(name string, dir bool) string    { return covers(r.Masked, name, dir) }
func (r Rules) protected(name string, dir bool) string { return covers(r.Protected, name, dir) }

func covers(match func(string, bool) (string, bool), name string, dir bool) string {
	if match == nil {
		return ""
	}
	for i := range len(name) {
		if name[i] != '/' {
			continue
		}
		if key, ok := match(name[:i], true); ok {
			return key
		}
	}
	key, ok := match(name, dir)
	if !ok {
		return ""
	}
	return key
}
