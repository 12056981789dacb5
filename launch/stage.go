package launch

import (
	"path"
	"strconv"
	"strings"

	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"agentbox/internal/boxinit"
	"agentbox/mounts"
)

// The box's files are laid out in two steps. libcontainer makes what the kernel or a host privilege is needed for:
// /proc, /dev, the host's root as a source, and the binds that have to be idmapped. PID 1 makes the rest from those
// sources, takes them away, and only then starts the agent: docs/decisions says why.

// stageNodes are the entries of the root that the set-up needs.
func stageNodes() []mounts.Node {
	return []mounts.Node{
		{Path: boxinit.Path, Kind: mounts.NodeFile, Mode: 0o555},
		{Path: boxinit.StageDir, Kind: mounts.NodeDir, Mode: 0o555},
	}
}

func ownPath(n int) string { return path.Join(boxinit.StageOwn, strconv.Itoa(n)) }

func (p Plan) idmapped(m mounts.Mount) bool { return p.Idmap && m.Owned && m.Type == "bind" }

// stage is what libcontainer mounts.
func (p Plan) stage(ids mounts.IDs) []*configs.Mount {
	const hidden = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	list := []*configs.Mount{
		mounts.Bind(p.host.Files.Binary, boxinit.Path, hidden),
		{Source: "tmpfs", Destination: boxinit.StageDir, Device: "tmpfs", Flags: unix.MS_NOSUID | unix.MS_NODEV, Data: "mode=700,size=1m"},
		mounts.Bind("/", boxinit.StageHost, hidden),
	}
	own := 0
	for _, m := range p.Files.Mounts {
		switch {
		case m.Kernel():
			list = append(list, m.Config())
		case p.idmapped(m):
			list = append(list, mounts.Idmapped(m.Source, ownPath(own), m.Attrs(), ids))
			own++
		}
	}
	return list
}

// boxMounts is what PID 1 mounts.
func (p Plan) boxMounts(ids mounts.IDs) []boxinit.Mount {
	var list []boxinit.Mount
	own := 0
	for _, m := range p.Files.Mounts {
		if m.Kernel() {
			continue
		}
		b := boxinit.Mount{Target: m.Target, Create: m.Create, Set: m.Attrs(), Dev: m.Dev, Ino: m.Ino}
		inBox, isInBox := strings.CutPrefix(m.Source, mounts.InBox)
		switch {
		case m.Type == "tmpfs":
			b.Kind, b.Data = boxinit.MountTmpfs, m.TmpfsData(ids)
		case m.Source == mounts.Cover:
			b.Kind = boxinit.MountCover
		case isInBox:
			b.Kind, b.Source = boxinit.MountBox, inBox
		case p.idmapped(m):
			b.Kind, b.Source = boxinit.MountBox, ownPath(own)
			own++
		default:
			b.Kind, b.Source = boxinit.MountHost, m.Source
		}
		if m.Writes() && b.Kind == boxinit.MountHost {
			b.Clear = unix.MOUNT_ATTR_RDONLY // the staged root is read-only as a whole
		}
		list = append(list, b)
	}
	return append(list, p.procMounts()...)
}

// procMounts hide and protect parts of /proc.
func (p Plan) procMounts() []boxinit.Mount {
	const readOnly = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	var list []boxinit.Mount
	for _, f := range p.Files.Masked {
		list = append(list, boxinit.Mount{Kind: boxinit.MountCover, Target: f, Set: readOnly})
	}
	for _, f := range p.Files.ReadOnly {
		list = append(list, boxinit.Mount{Kind: boxinit.MountBox, Source: f, Target: f, Set: readOnly})
	}
	return list
}
