package workspace

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// arrange puts the ops in an order that works at every step: what goes, goes first
// and from the inside out; what comes finds its directory; permissions that keep
// the caller out are opened before and closed after.
func (w *Workspace) arrange(p *Plan, staged []op) ([]op, []dirTime, error) {
	var takes, marks []op
	for i := range p.Items {
		c := &p.Items[i].Change
		name, id := []byte(cmpOr(c.From, c.Path)), mark{Ino: c.Before.id.Ino}
		isDir := c.Before.Type == Dir
		if c.Kind == Deleted || c.Kind == Renamed {
			takes = append(takes, op{Do: opTake, Path: name, Slot: fmt.Sprintf("old-%d", i), Old: c.Before.id.mark(c.Before.Type), Dir: isDir})
		}
		if isDir && c.After.Type == Dir && !sameAttrs(c.Before.Attrs, c.After.Attrs) {
			marks = append(marks, op{Do: opAttrs, Path: name, Old: id, FromAttrs: c.Before.Attrs, ToAttrs: c.After.Attrs, Dir: true})
		}
		if c.Kind == Remoded {
			special := c.Before.Mode &^ permissions
			if !isDir {
				special = 0
			}
			marks = append(marks, op{Do: opChmod, Path: name, Old: id, From: c.Before.Mode, To: special | p.Items[i].After.Mode, Dir: isDir})
		}
	}
	slices.SortFunc(takes, func(a, b op) int { return slices.Compare(b.Path, a.Path) })
	changing := slices.Concat(takes, staged)
	open, err := w.doors(changing)
	if err != nil {
		return nil, nil, err
	}
	for i := range marks {
		if o, ok := open[string(marks[i].Path)]; ok && marks[i].Do == opChmod {
			marks[i].From = o.To
		}
	}
	ops := []op{}
	for _, name := range slices.Sorted(maps.Keys(open)) {
		ops = append(ops, open[name])
	}
	ops = slices.Concat(ops, changing, marks)
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(open))) {
		if o := open[name]; !slices.ContainsFunc(marks, func(m op) bool { return m.Do == opChmod && string(m.Path) == name }) {
			ops = append(ops, op{Do: opChmod, Path: o.Path, Old: o.Old, From: o.To, To: o.From, Dir: true})
		}
	}
	times, err := w.dirTimes(changing)
	return ops, times, err
}

// doors are the directories of the host that do not let the caller write, and the
// ops that open them.
func (w *Workspace) doors(ops []op) (map[string]op, error) {
	out := map[string]op{}
	if os.Geteuid() == 0 {
		return out, nil
	}
	seen := map[string]bool{".": true}
	for _, o := range ops {
		names := []string{path.Dir(string(o.Path))}
		if o.Dir {
			names = append(names, string(o.Path)) // moved to another parent, it changes itself
		}
		for _, name := range names {
			if seen[name] {
				continue
			}
			seen[name] = true
			st, found, err := w.onDisk(name)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", quote(name), err)
			}
			mode := st.Mode & 0o7777
			if found && st.Mode&unix.S_IFMT == unix.S_IFDIR && mode&0o700 != 0o700 {
				out[name] = op{Do: opChmod, Path: []byte(name), Old: mark{Ino: st.Ino}, From: mode, To: mode | 0o700, Dir: true}
			}
		}
	}
	return out, nil
}

// dirTimes notes the times of the directories in which names come and go.
func (w *Workspace) dirTimes(ops []op) ([]dirTime, error) {
	var out []dirTime
	seen := map[string]bool{}
	for _, o := range ops {
		for _, name := range []string{path.Dir(string(o.Path)), string(o.Path)} {
			if seen[name] || name == string(o.Path) && !o.Dir {
				continue
			}
			seen[name] = true
			st, found, err := w.onDisk(name)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", quote(name), err)
			}
			if found && st.Mode&unix.S_IFMT == unix.S_IFDIR {
				out = append(out, dirTime{[]byte(name), st.Mtim.Nano()})
			}
		}
	}
	return out, nil
}

// onDisk looks at a path of the project; "." is the project.
func (w *Workspace) onDisk(name string) (unix.Stat_t, bool, error) {
	if name == "." {
		return w.lower.stat(".")
	}
	up, base, err := w.lower.parent(name)
	if gone(err) {
		return unix.Stat_t{}, false, nil
	}
	if err != nil {
		return unix.Stat_t{}, false, err
	}
	defer up.close()
	return up.stat(base)
}
