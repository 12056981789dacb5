package launch

import (
	"strings"

	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"agentbox/internal/boxinit"
	"agentbox/mounts"
)

// The box's files are laid out in two steps. libcontainer makes /proc, /dev and, as a source, the host's root. PID 1
// makes the rest from that source and from the descriptors of idmapped mounts that it is handed, takes the source
// away, and only then starts the agent: docs/decisions says why.

// stage is what libcontainer mounts.
func (p Plan) stage() []*configs.Mount {
	const hidden = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	list := []*configs.Mount{
		mounts.Bind(p.host.Files.Binary, boxinit.Path, hidden),
		{Source: "tmpfs", Destination: boxinit.StageDir, Device: "tmpfs", Flags: unix.MS_NOSUID | unix.MS_NODEV, Data: "mode=700,size=1m"},
		mounts.Bind("/", boxinit.StageHost, hidden),
	}
	for _, m := range p.Files.Mounts {
		if m.Kernel() {
			list = append(list, m.Config())
		}
	}
	return list
}

// boxMounts is what PID 1 mounts.
func (p Plan) boxMounts(ids mounts.IDs) []boxinit.Mount {
	var list []boxinit.Mount
	var own uint32
	for _, m := range p.layered() {
		if m.Kernel() {
			continue
		}
		b := boxinit.Mount{Target: m.Target, Create: m.Create, Set: m.Attrs(), Dev: m.Dev, Ino: m.Ino}
		inBox, isInBox := strings.CutPrefix(m.Source, mounts.InBox)
		switch {
		case m.Type == "tmpfs" && m.Target == boxinit.StageWrites:
			b.Kind, b.Data = boxinit.MountShared, m.Data
		case m.Type == "tmpfs":
			b.Kind, b.Data = boxinit.MountTmpfs, m.TmpfsData(ids)
		case m.Type == "overlay":
			b.Kind, b.Data, b.Dev, b.Ino = boxinit.MountOverlay, p.overlayData(m), 0, 0
		case m.Source == mounts.Cover:
			b.Kind = boxinit.MountCover
		case isInBox:
			b.Kind, b.Source = boxinit.MountBox, inBox
		case p.idmapped(m):
			b.Kind, b.FD = boxinit.MountFD, boxinit.FirstMount+own
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
