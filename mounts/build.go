package mounts

import (
	"cmp"
	"maps"
	"slices"

	"agentbox/profile"
)

// maxCovers bounds the mounts that masks and protections may cost. Peers that had no bound ran into E2BIG and
// starts of half a minute; a project that needs more is better served by masking a directory.
const maxCovers = 1000

type builder struct {
	profile profile.Profile
	host    Host
	out     Layout
	nodes   map[string]Node
	claimed map[string]bool // targets of the profile's own mounts
	files   map[string]bool // sources of binds that are files
	covers  int
	found   profile.Findings
}

// Build lays out the box's file tree, or says everything that stands in the way.
func Build(p profile.Profile, host Host) (Layout, profile.Findings) {
	b := &builder{profile: p, host: host, nodes: map[string]Node{}, claimed: map[string]bool{}, files: map[string]bool{}}
	for _, m := range p.Mounts {
		b.claimed[m.Target] = true
	}
	b.out.Home = host.Home
	b.system()
	b.etc()
	b.tools()
	b.expose()
	b.workspace()
	b.profileMounts()
	b.hide()
	if b.covers > maxCovers {
		b.find("workspace.mask", "the masked and protected paths need more than %d mounts; workspace.mode \"overlay\" needs none", maxCovers)
	}
	b.forwards()
	b.mountpoints()
	b.out.Skeleton = slices.SortedFunc(maps.Values(b.nodes), func(x, y Node) int { return comparePaths(x.Path, y.Path) })
	sortMounts(b.out.Mounts)
	slices.Sort(b.out.Writable)
	b.out.Writable = slices.Compact(b.out.Writable)
	slices.SortFunc(b.out.Dirs, comparePaths)
	b.out.Dirs = slices.Compact(b.out.Dirs)
	return b.out, b.found
}

func (b *builder) node(n Node) {
	if n.Kind == NodeDir && n.Mode == 0 {
		n.Mode = 0o755
	}
	b.nodes[n.Path] = n
	for _, d := range parents(n.Path) {
		if _, ok := b.nodes[d]; !ok {
			b.nodes[d] = Node{Path: d, Kind: NodeDir, Mode: 0o755}
		}
	}
}

func (b *builder) dir(p string) {
	if _, ok := b.nodes[p]; !ok {
		b.node(Node{Path: p, Kind: NodeDir})
	}
}

func (b *builder) file(p, content string, mode uint32) {
	b.node(Node{Path: p, Kind: NodeFile, Content: content, Mode: mode})
}

func (b *builder) mount(m Mount) { b.out.Mounts = append(b.out.Mounts, m) }

func (b *builder) bind(m Mount) {
	m.Type = "bind"
	b.mount(m)
}

func (b *builder) emptyFile(p string) {
	if _, ok := b.nodes[p]; !ok {
		b.file(p, "", 0o444)
	}
}

// cover hides a path behind an empty file or directory without permissions.
func (b *builder) cover(p, why string) {
	b.covers++
	b.bind(Mount{Source: Cover, Target: p, Options: []string{"ro", "nosuid", "nodev", "noexec"}, Why: why})
}

// Sources that are not paths of the host.
const (
	Cover = "agentbox:cover" // an empty file or directory without permissions
	InBox = "agentbox:box:"  // followed by a path of the box: what is mounted there already, with its id mapping
)

// mountpoints adds to the skeleton the directories and files on which mounts go, where no other mount lies between.
// What lies on a tmpfs is made there by libcontainer and given to the agent afterwards.
func (b *builder) mountpoints() {
	for i, m := range b.out.Mounts {
		base := b.mountOver(m.Target)
		b.out.Mounts[i].File = b.files[m.Source]
		switch {
		case base == nil && b.files[m.Source]:
			b.emptyFile(m.Target)
		case base == nil:
			b.dir(m.Target)
		case base.Type == "tmpfs":
			b.out.Mounts[i].Create = true
			for _, d := range parents(m.Target) {
				if Below(d, base.Target) && d != base.Target && base.Agent {
					b.out.Dirs = append(b.out.Dirs, d)
				}
			}
		}
	}
}

// mountOver finds the innermost mount strictly above p; nil when p lies in the skeleton itself.
func (b *builder) mountOver(p string) *Mount {
	var best *Mount
	for i, m := range b.out.Mounts {
		if m.Target != p && Below(p, m.Target) && (best == nil || cmp.Compare(len(m.Target), len(best.Target)) >= 0) {
			best = &b.out.Mounts[i]
		}
	}
	return best
}
