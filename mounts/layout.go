// Package mounts turns a profile's filesystem section and facts about the host into the box's file tree: a skeleton
// of directories, links and small files, and the mounts on top of it. Pure: it reads nothing but its arguments.
//
// The tree is an allow-list. What no rule names is not there: the host's home directories, /run, /tmp, sockets and
// most of /etc. Every bind is nosuid and nodev; every bind but a workspace or a mount that the profile makes
// writable is read-only, with all that is mounted below it.
package mounts

import (
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/opencontainers/runc/libcontainer/configs"
)

// A NodeKind is the kind of a skeleton entry.
type NodeKind string

// The kinds of skeleton entries.
const (
	NodeDir  NodeKind = "dir"
	NodeFile NodeKind = "file" // a copy of the host's Source, if there is one, and Content
	NodeLink NodeKind = "link" // a symbolic link to Target
)

// A Node is one entry of the skeleton, the directory that becomes the box's read-only root.
type Node struct {
	Path    string   `json:"path"`
	Kind    NodeKind `json:"kind"`
	Mode    uint32   `json:"mode,omitempty"`
	Target  string   `json:"target,omitempty"`
	Source  string   `json:"source,omitempty"`
	Content string   `json:"content,omitempty"`
}

// A Mount is one mount of the box. Type is "bind" or a filesystem type of mount(8).
type Mount struct {
	Type    string   `json:"type"`
	Source  string   `json:"source"`
	Target  string   `json:"target"`
	Options []string `json:"options,omitempty"` // mount(8) words: ro, nosuid, nodev, noexec
	Data    string   `json:"data,omitempty"`    // filesystem options: size=, mode=
	Owned   bool     `json:"owned,omitempty"`   // files of the caller appear as the agent's
	Agent   bool     `json:"agent,omitempty"`   // the root of a tmpfs belongs to the agent
	File    bool     `json:"file,omitempty"`    // the source is a file
	Create  bool     `json:"create,omitempty"`  // the mount point is made on a tmpfs of the box
	Why     string   `json:"why"`               // the profile key or rule that put it there
	Dev     uint64   `json:"-"`                 // with Ino: the file the path named when it was checked
	Ino     uint64   `json:"-"`
}

// A Layout is the box's whole file tree.
type Layout struct {
	Skeleton []Node   `json:"skeleton"`
	Mounts   []Mount  `json:"mounts"`
	Masks    []Mask   `json:"masks,omitempty"` // the layer of masks of an overlay, parents first
	Masked   []string `json:"masked_proc"`     // made unreadable after the mounts
	ReadOnly []string `json:"readonly_proc"`   // made read-only after the mounts
	Writable []string `json:"writable"`        // below these the agent may write
	Dirs     []string `json:"home_dirs"`       // directories on a tmpfs that belong to the agent
	Path     []string `json:"path"`            // the agent's PATH
	Home     string   `json:"home"`
	Late     []string `json:"late,omitempty"` // patterns that cover only what exists at the start

	Git   string `json:"git,omitempty"`    // a git directory outside the workspace that the box shows at its own path
	NoGit string `json:"no_git,omitempty"` // why git will not work inside as it does outside
}

// A Mask is an entry of the layer that lies above the project in an overlay: a name that is not there, or a directory
// on the way to one, which looks as the project's does.
type Mask struct {
	Path  string `json:"path"` // relative to the workspace
	Key   string `json:"key,omitempty"`
	Dir   bool   `json:"dir,omitempty"`
	Mode  uint32 `json:"mode,omitempty"`
	MTime int64  `json:"-"` // in nanoseconds
}

// IDs are the agent's and the caller's ids, for tmpfs options and idmapped mounts.
type IDs struct {
	UID, GID         uint32 // of the agent in the box's user namespace
	Idmap            bool   // the caller's files have to be mapped
	DiskUID, DiskGID uint32 // who owns the caller's files on the host
	HostUID, HostGID uint32 // the agent on the host
	Base             uint32 // the first host id of the box
}

// attrs are the options in the words of mount_setattr(2).
var attrs = map[string]uint64{
	"ro":     unix.MOUNT_ATTR_RDONLY,
	"nosuid": unix.MOUNT_ATTR_NOSUID,
	"nodev":  unix.MOUNT_ATTR_NODEV,
	"noexec": unix.MOUNT_ATTR_NOEXEC,
}

// flags are the same for mount(2), which is how libcontainer mounts a filesystem of the kernel.
var flags = map[string]int{
	"ro":     unix.MS_RDONLY,
	"nosuid": unix.MS_NOSUID,
	"nodev":  unix.MS_NODEV,
	"noexec": unix.MS_NOEXEC,
}

// Attrs are the attributes to set on the mount and on all below it.
func (m Mount) Attrs() uint64 {
	var set uint64
	for _, o := range m.Options {
		set |= attrs[o]
	}
	return set
}

// Kernel reports a mount that libcontainer makes, because its terminal needs it or because it alone may.
func (m Mount) Kernel() bool {
	return m.Type == "proc" || m.Type == "devpts" || m.Target == "/dev" || m.Target == "/dev/shm"
}

// Config gives a mount of the kernel's as libcontainer wants it.
func (m Mount) Config() *configs.Mount {
	c := &configs.Mount{Source: m.Source, Destination: m.Target, Device: m.Type, Data: m.Data}
	for _, o := range m.Options {
		c.Flags |= flags[o]
	}
	return c
}

// Bind gives a bind as libcontainer wants it, with all that is mounted below source.
func Bind(source, target string, set uint64) *configs.Mount {
	return &configs.Mount{Source: source, Destination: target, Device: "bind", Flags: unix.MS_BIND | unix.MS_REC,
		RecAttr: &unix.MountAttr{Attr_set: set}}
}

// TmpfsData are the options of a tmpfs in the words of tmpfs(5).
func (m Mount) TmpfsData(ids IDs) string {
	if !m.Agent {
		return m.Data
	}
	return join(m.Data, "uid="+itoa(ids.UID), "gid="+itoa(ids.GID))
}

// Writes reports whether the agent may write through the mount.
func (m Mount) Writes() bool { return !slices.Contains(m.Options, "ro") }

// sortMounts puts parents before children and keeps the given order for equal targets, so that what a later rule
// puts on the same path covers the earlier one.
func sortMounts(list []Mount) {
	slices.SortStableFunc(list, func(a, b Mount) int { return comparePaths(a.Target, b.Target) })
}

// SortNodes puts parents before children.
func SortNodes(list []Node) {
	slices.SortStableFunc(list, func(a, b Node) int { return comparePaths(a.Path, b.Path) })
}

// comparePaths orders paths by component, so that "/a/b" comes before "/a-b".
func comparePaths(a, b string) int {
	return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
}

// Below reports whether p is dir or lies below it.
func Below(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// parents gives every directory above p, outermost first, without the root.
func parents(p string) []string {
	var list []string
	for d := path.Dir(p); d != "/" && d != "."; d = path.Dir(d) {
		list = append(list, d)
	}
	slices.Reverse(list)
	return list
}
