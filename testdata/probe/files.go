package main

import (
	"cmp"
	"os"
	"slices"
	"strings"
)

type mount struct {
	Point       string   `json:"point"`
	Type        string   `json:"type"`
	Root        string   `json:"root"`
	Flags       []string `json:"flags"`
	Super       []string `json:"super,omitempty"`
	Propagation string   `json:"propagation"`
}

// hostTypes are filesystems of the host that are seen through binds. Which of
// them it is says nothing about the box, so they have one name and no options.
var hostTypes = []string{"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "overlay", "9p", "virtiofs", "fuse", "nfs", "nfs4", "erofs", "squashfs", "vfat"}

// varying are options that name sizes, or times that come with the host's mount.
var varying = []string{"size", "nr_blocks", "nr_inodes", "relatime", "noatime", "nodiratime", "strictatime", "lazytime",
	"inode32", "inode64", "seclabel", "gid", "huge", "resuid", "resgid"}

// mounts lists the mounts by mount point, and those on one point from the bottom.
func mounts() []mount {
	list := []mount{}
	for _, line := range readLines("/proc/self/mountinfo") {
		if m, ok := parseMount(line); ok {
			list = append(list, m)
		}
	}
	slices.SortStableFunc(list, func(a, b mount) int { return cmp.Compare(a.Point, b.Point) })
	return list
}

// parseMount reads a line of mountinfo; see proc_pid_mountinfo(5).
func parseMount(line string) (mount, bool) {
	before, after, ok := strings.Cut(line, " - ")
	f, g := strings.Fields(before), strings.Fields(after)
	if !ok || len(f) < 6 || len(g) < 3 {
		return mount{}, false
	}
	m := mount{Point: f[4], Type: g[0], Root: f[3], Flags: options(f[5]), Propagation: propagation(f[6:])}
	if slices.Contains(hostTypes, m.Type) || strings.HasPrefix(g[1], "/dev/") {
		m.Type = "host"
		return m, true
	}
	m.Super = options(g[2])
	return m, true
}

func options(text string) []string {
	list := []string{}
	for o := range strings.SplitSeq(text, ",") {
		name, _, _ := strings.Cut(o, "=")
		if !slices.Contains(varying, name) {
			list = append(list, o)
		}
	}
	return sorted(list)
}

func propagation(fields []string) string {
	kinds := []string{}
	for _, f := range fields {
		name, _, _ := strings.Cut(f, ":")
		kinds = append(kinds, name)
	}
	if len(kinds) == 0 {
		return "private"
	}
	return strings.Join(sorted(kinds), " ")
}

func readCgroups() []string {
	list := []string{}
	for _, line := range readLines("/proc/self/cgroup") {
		_, group, _ := strings.Cut(line, ":")
		list = append(list, group)
	}
	return sorted(list)
}

func interfaces() []string {
	list := []string{}
	for _, line := range readLines("/proc/net/dev") {
		if name, _, ok := strings.Cut(line, ":"); ok {
			list = append(list, strings.TrimSpace(name))
		}
	}
	return sorted(list)
}

func readLine(path string) string { return strings.Join(readLines(path), " ") }

// readLines returns the lines of a file with runs of blanks made one, or a line
// that says why there are none.
func readLines(path string) []string {
	data, err := os.ReadFile(path)
	if err != nil {
		return []string{err.Error()}
	}
	list := []string{}
	for line := range strings.Lines(string(data)) {
		list = append(list, strings.Join(strings.Fields(line), " "))
	}
	return list
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
