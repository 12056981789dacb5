package session

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxInfo bounds session.json: a command line can reach two mebibytes, and JSON
// escapes can triple it.
const maxInfo = 8 << 20

// Info is what is known about a session. It holds no secret and grants nothing.
type Info struct {
	ID            string    `json:"id"`
	PID           int       `json:"pid"`         // the supervisor
	StartTicks    uint64    `json:"start_ticks"` // tells its PID from a later process with the same number
	Started       time.Time `json:"started"`
	Workspace     string    `json:"workspace"` // absolute path
	Profile       string    `json:"profile"`
	Command       []string  `json:"command"`
	Degraded      []string  `json:"degraded,omitempty"` // layers that this host lacks and the profile let go
	State         string    `json:"state"`              // Starting, Running or Frozen
	BoxPID        int       `json:"box_pid,omitempty"`  // the box's PID 1, as the host counts
	BoxStartTicks uint64    `json:"box_start_ticks,omitempty"`
	Terminal      bool      `json:"terminal"`
	Detached      bool      `json:"detached"`             // attach can join it, and its output is kept
	Input         bool      `json:"input,omitempty"`      // of a detached session without a terminal: attach can write to it
	Resumes       string    `json:"resumes,omitempty"`    // the session whose overlay this one took over
	ResumedBy     string    `json:"resumed_by,omitempty"` // the session that took this one's overlay over
	Cgroups       []string  `json:"cgroups,omitempty"`    // directories that a sweep has to remove
	Usage         *Usage    `json:"usage,omitempty"`      // only in the answer to OpInfo
}

// Usage is what a box uses at one moment, and what it may use.
type Usage struct {
	Memory     uint64  `json:"memory_bytes"`
	Peak       uint64  `json:"memory_peak_bytes,omitempty"` // where a control group counts it
	CPUSeconds float64 `json:"cpu_seconds"`                 // of processor time, since the start
	Pids       uint64  `json:"pids"`                        // processes and threads
	Limits     []Limit `json:"limits,omitempty"`
}

// Limit is one limit of a session, and how this host holds it.
type Limit struct {
	Name  string `json:"name"`
	Value string `json:"value"` // for people: "2 GiB"
	State string `json:"state"` // "enforced" or "watched"
	By    string `json:"by"`
}

// Limit returns what the profile sets for a limit, or "".
func (u *Usage) Limit(name string) string {
	for _, l := range u.Limits {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

// compare sorts by age.
func (i Info) compare(other Info) int {
	return cmp.Or(i.Started.Compare(other.Started), strings.Compare(i.ID, other.ID))
}

func (i Info) clone() Info {
	i.Command = slices.Clone(i.Command)
	i.Degraded = slices.Clone(i.Degraded)
	i.Cgroups = slices.Clone(i.Cgroups)
	return i
}

// complete fills in what a new session knows about itself.
func (i *Info) complete() error {
	if i.PID == 0 {
		i.PID = os.Getpid()
	}
	if i.StartTicks == 0 {
		ticks, err := StartTicks(i.PID)
		if err != nil {
			return err
		}
		i.StartTicks = ticks
	}
	if i.Started.IsZero() {
		i.Started = now()
	}
	if i.State == "" {
		i.State = Starting
	}
	return nil
}

func readInfo(d dir, id string) (Info, error) {
	data, err := d.readFile(InfoFile, maxInfo)
	if err != nil {
		return Info{}, err
	}
	var info Info
	if err := json.Unmarshal(data, &info); err != nil {
		return Info{}, fmt.Errorf("%s: %w", filepath.Join(d.path, InfoFile), err)
	}
	if info.ID != id {
		return Info{}, fmt.Errorf("%s: names session %q", filepath.Join(d.path, InfoFile), info.ID)
	}
	return info, nil
}

// List returns the sessions that are alive, oldest first. One whose description
// cannot be read is listed all the same, as Unreadable, and is named in the
// error beside the list. One whose supervisor has ended is not listed, though a
// sweep may just hold its lock.
func List(root string) ([]Info, error) {
	var infos []Info
	var errs []error
	err := scan(root, func(d dir, name string, held bool) {
		if !held || !ValidID(name) {
			return
		}
		info, err := readInfo(d, name)
		if errors.Is(err, unix.ENOENT) {
			return // its supervisor is just removing it
		}
		if err != nil {
			info = Info{ID: name, State: Unreadable}
			errs = append(errs, fmt.Errorf("session %s: %w", name, err))
		} else if hasEnded(info.PID, info.StartTicks) {
			return
		}
		infos = append(infos, info)
	})
	slices.SortFunc(infos, Info.compare)
	return infos, errors.Join(append(errs, err)...)
}

// Stale returns the names of the directories whose supervisor is dead, for Claim
// or Remove. One that is not an ID belongs to a session that ended, or is just
// being made, before it had one; Claim tells the two apart.
func Stale(root string) ([]string, error) {
	var names []string
	err := scan(root, func(_ dir, name string, held bool) {
		if !held {
			names = append(names, name)
		}
	})
	slices.Sort(names)
	return names, err
}

// Dead returns the sessions whose supervisor was killed and which no sweep has taken away yet, oldest first: something of
// their box may still be there, stopped.
func Dead(root string) ([]Info, error) {
	var infos []Info
	err := scan(root, func(d dir, name string, held bool) {
		if held || !ValidID(name) {
			return
		}
		if info, err := readInfo(d, name); err == nil {
			infos = append(infos, info)
		}
	})
	slices.SortFunc(infos, Info.compare)
	return infos, err
}

// scan visits every session directory. Entries with other names are not ours.
func scan(root string, visit func(d dir, name string, held bool)) error {
	r, err := openDir(root)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("session directory: %w", err)
	}
	defer r.close()
	names, err := r.names()
	if err != nil {
		return fmt.Errorf("session directory: %w", err)
	}
	var errs []error
	for _, name := range names {
		if !validName(name) {
			continue
		}
		d, err := r.open(name)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err == nil {
			var held bool
			if held, err = lockHeld(d); err == nil {
				visit(d, name, held)
			}
			d.close()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("session %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// Find returns the one live session whose ID begins with idPrefix. Without a
// prefix it returns the newest session of the workspace; workspace is an
// absolute path, the session's own or one below it, and the nearest wins.
func Find(root, idPrefix, workspace string) (Info, error) {
	infos, err := List(root)
	info, perr := Pick(infos, idPrefix, workspace)
	if errors.Is(perr, ErrNotFound) {
		perr = errors.Join(perr, err)
	}
	return info, perr
}

// Pick finds in a list, which is sorted by age, what Find finds in a root.
func Pick(infos []Info, idPrefix, workspace string) (Info, error) {
	if idPrefix == "" {
		return newest(infos, workspace)
	}
	prefix := strings.ToLower(idPrefix)
	if !inAlphabet(prefix) || len(prefix) > idLength {
		return Info{}, fmt.Errorf("%w: %q is not a session ID", ErrNotFound, idPrefix)
	}
	var found []Info
	var ids []string
	for _, info := range infos {
		if strings.HasPrefix(info.ID, prefix) {
			found = append(found, info)
			ids = append(ids, info.ID)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return Info{}, fmt.Errorf("%w: %q", ErrNotFound, idPrefix)
	}
	return Info{}, fmt.Errorf("%w: %q begins %s",
		ErrAmbiguous, idPrefix, strings.Join(ids, " and "))
}

func newest(infos []Info, workspace string) (Info, error) {
	best := -1
	for i, info := range infos {
		if !within(workspace, info.Workspace) {
			continue
		}
		// The list is sorted by age, so an equally near one is newer.
		if best < 0 || len(info.Workspace) >= len(infos[best].Workspace) {
			best = i
		}
	}
	if best < 0 {
		return Info{}, fmt.Errorf("%w: nothing runs in %q", ErrNotFound, workspace)
	}
	return infos[best], nil
}

// within says whether path is base or below it.
func within(path, base string) bool {
	if !filepath.IsAbs(path) || !filepath.IsAbs(base) {
		return false
	}
	rel, err := filepath.Rel(base, path)
	return err == nil && filepath.IsLocal(rel)
}
