package cgroup

import (
	"path/filepath"
	"slices"
	"strings"
)

// A hierarchy is one mount of cgroups.
type hierarchy struct {
	version     int
	point, root string   // where it is mounted, and which of its groups that shows
	controllers []string // of version 1
}

// dir is where a group of the hierarchy is seen. One outside the reader's cgroup namespace has ".." in its name, and
// where that leads is not known; see cgroup_namespaces(7).
func (m hierarchy) dir(group string) (string, bool) {
	if !filepath.IsAbs(group) || climbs(m.root) || climbs(group) {
		return "", false
	}
	rel, err := filepath.Rel(m.root, group)
	if err != nil || !filepath.IsLocal(rel) {
		return "", false
	}
	return filepath.Join(m.point, rel), true
}

func climbs(path string) bool { return slices.Contains(strings.Split(path, "/"), "..") }

// parseOwn reads the groups of a process by controller; version 2 is "". See cgroups(7), /proc/[pid]/cgroup.
func parseOwn(text string) map[string]string {
	own := map[string]string{}
	for line := range strings.Lines(text) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, group, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		for c := range strings.SplitSeq(controllers, ",") {
			own[c] = group
		}
	}
	return own
}

// parseMounts reads the mounts of cgroups; see proc_pid_mountinfo(5).
func parseMounts(text string) []hierarchy {
	var list []hierarchy
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
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
		if filepath.IsAbs(m.root) && filepath.IsAbs(m.point) {
			list = append(list, m)
		}
	}
	return list
}

// unescape undoes what the kernel writes for blanks in paths.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
