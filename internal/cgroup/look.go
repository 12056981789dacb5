package cgroup

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"agentbox/limits"
)

// Files of version 2.
const (
	procsFile       = "cgroup.procs"
	subtreeFile     = "cgroup.subtree_control"
	controllersFile = "cgroup.controllers"
)

// wanted are the controllers that limits know.
var wanted = []string{"memory", "cpu", "pids"}

// A hierarchy is one mount of cgroups.
type hierarchy struct {
	version     int
	point, root string   // where it is mounted, and which of its groups that shows
	controllers []string // of version 1
}

// Look finds where this caller may make control groups. It changes nothing.
func Look() limits.Groups {
	mounts, err := readMounts("/proc/self/mountinfo")
	if err != nil {
		return limits.Groups{Why: err.Error()}
	}
	own, err := readOwn("/proc/self/cgroup")
	if err != nil {
		return limits.Groups{Why: err.Error()}
	}
	v1, v2 := lookV1(mounts, own), lookV2(mounts, own)
	if v1.Version == 0 {
		return v2
	}
	return v1
}

// lookV1 takes the caller's own group in each hierarchy, so that what limits the caller limits the box as well.
func lookV1(mounts []hierarchy, own map[string]string) limits.Groups {
	g := limits.Groups{Parents: map[string]string{}}
	for _, m := range mounts {
		for _, c := range m.controllers {
			if !slices.Contains(append([]string{"cpuacct", "freezer"}, wanted...), c) {
				continue
			}
			if slices.Contains(wanted, c) {
				g.Version = 1
			}
			dir, ok := m.dir(own[c])
			if !ok {
				continue
			}
			if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
				g.Why = fmt.Sprintf("no group can be made in %s (%v)", dir, err)
				continue
			}
			g.Parents[c] = dir
		}
	}
	return g
}

// dir is where a group of the hierarchy is seen.
func (m hierarchy) dir(group string) (string, bool) {
	rel, err := filepath.Rel(m.root, group)
	if err != nil || group == "" || !filepath.IsLocal(rel) {
		return "", false
	}
	return filepath.Join(m.point, rel), true
}

// lookV2 takes the nearest group above the caller that has the controllers for its children, or may hand them down.
// A group with processes of its own may not, unless it is the root.
func lookV2(mounts []hierarchy, own map[string]string) limits.Groups {
	i := slices.IndexFunc(mounts, func(m hierarchy) bool { return m.version == 2 })
	if i < 0 {
		return limits.Groups{Why: "no control groups are mounted"}
	}
	m := mounts[i]
	dir, ok := m.dir(own[""])
	if !ok {
		return limits.Groups{Why: "its control group is not visible below " + m.point}
	}
	g := limits.Groups{Version: 2, Parents: map[string]string{}}
	for {
		if usable := usableControllers(dir); len(usable) > len(g.Parents) {
			clear(g.Parents)
			for _, c := range usable {
				g.Parents[c] = dir
			}
		}
		if len(g.Parents) == len(wanted) || dir == m.point {
			break
		}
		dir = filepath.Dir(dir)
	}
	if len(g.Parents) < len(wanted) {
		if s, ok := lookScope(m.point); ok {
			return s
		}
		if len(g.Parents) == 0 {
			g.Why = "no control group above it is delegated to this user"
		}
	}
	return g
}

// usableControllers are those that a child of the group would have.
func usableControllers(dir string) []string {
	for _, file := range []string{"", procsFile} {
		if unix.Access(filepath.Join(dir, file), unix.W_OK) != nil {
			return nil
		}
	}
	given := strings.Fields(read(dir, subtreeFile))
	_, err := os.Stat(filepath.Join(dir, "cgroup.type"))
	isRoot := err != nil
	if unix.Access(filepath.Join(dir, subtreeFile), unix.W_OK) == nil && (isRoot || read(dir, procsFile) == "") {
		given = strings.Fields(read(dir, controllersFile))
	}
	return slices.DeleteFunc(slices.Clone(wanted), func(c string) bool { return !slices.Contains(given, c) })
}

// readOwn reads the caller's groups by controller; version 2 is "". See cgroups(7), /proc/[pid]/cgroup.
func readOwn(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	own := map[string]string{}
	for line := range strings.Lines(string(data)) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, group, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		for _, c := range strings.Split(controllers, ",") {
			own[c] = group
		}
	}
	return own, nil
}

// readMounts reads the mounts of cgroups; see proc_pid_mountinfo(5).
func readMounts(path string) ([]hierarchy, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []hierarchy
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		fields, tail := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 6 || len(tail) < 3 {
			continue
		}
		m := hierarchy{root: unescape(fields[3]), point: unescape(fields[4])}
		switch tail[0] {
		case "cgroup2":
			m.version = 2
		case "cgroup":
			m.version, m.controllers = 1, strings.Split(tail[2], ",")
		default:
			continue
		}
		list = append(list, m)
	}
	return list, lines.Err()
}

// octal are the escapes that the kernel writes for blanks in paths.
var octal = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func unescape(s string) string { return octal.Replace(s) }
