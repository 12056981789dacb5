package mounts

import (
	"fmt"
	"path"
	"slices"
	"strconv"
)

// expose binds the profile's further read-only paths at their own places.
func (b *builder) expose() {
	for i, p := range b.host.Exposed {
		key := fmt.Sprintf("rootfs.expose[%d]", i)
		if !b.usable(key, p) {
			continue
		}
		b.files[p.Path] = p.Kind == File
		b.bind(Mount{Source: p.Path, Target: p.Path, Options: readOnlyBind, Owned: true, Why: key, Dev: p.Dev, Ino: p.Ino})
	}
}

// profileMounts adds [[mount]].
func (b *builder) profileMounts() {
	for i, m := range b.profile.Mounts {
		key := fmt.Sprintf("mount[%d]", i)
		if over := b.mountOver(m.Target); over != nil && over.Type == "bind" && !b.host.Exists[m.Target] {
			b.find(key+".target", "%s does not exist below %s, and a mount point cannot be made on the host", m.Target, over.Target)
			continue
		}
		if m.Type == "tmpfs" {
			b.mount(Mount{Type: "tmpfs", Source: "tmpfs", Target: m.Target, Options: options(m.Options, true),
				Data: "mode=1777,size=" + strconv.FormatInt(int64(m.Size), 10), Why: key})
			if !slices.Contains(m.Options, "ro") {
				b.out.Writable = append(b.out.Writable, m.Target)
			}
			continue
		}
		place := b.host.Sources[m.Source]
		if !b.usable(key+".source", place) {
			continue
		}
		// The profile's own check compares what is written; a symbolic link can lead here all the same.
		if ws := b.host.Workspace.Path; Below(place.Path, ws) || Below(ws, place.Path) {
			b.find(key+".source", "%s shows the workspace a second time, where its masks do not hold", place.Path)
			continue
		}
		b.files[place.Path] = place.Kind == File
		mount := Mount{Source: place.Path, Target: m.Target, Options: options(m.Options, false), Owned: true, Why: key, Dev: place.Dev, Ino: place.Ino}
		if mount.Writes() {
			b.out.Writable = append(b.out.Writable, m.Target)
		}
		b.bind(mount)
	}
}

// usable reports a place that must not be bound.
func (b *builder) usable(key string, p Place) bool {
	switch {
	case p.Kind == Other && p.Ino == 0:
		b.find(key, "%s does not exist", p.Path)
	case p.Kind == Other:
		b.find(key, "%s is a socket, a device or a FIFO; only files and directories can be shown to the agent", p.Path)
	case Below(b.host.Home, p.Path):
		b.find(key, "%s is or holds your home directory", p.Path)
	default:
		return true
	}
	return false
}

// options completes a mount's options: nosuid and nodev always, a bind read-only unless the profile says rw.
func options(given []string, tmpfs bool) []string {
	out := []string{"nosuid", "nodev"}
	if slices.Contains(given, "ro") || !tmpfs && !slices.Contains(given, "rw") {
		out = slices.Concat([]string{"ro"}, out)
	}
	if slices.Contains(given, "noexec") {
		out = append(out, "noexec")
	}
	return out
}

// hide covers what rootfs.mask names below anything that is shown, at every place where it is. A symbolic link can
// lead into what is masked; then nothing of it is shown. The workspace is the person's own choice.
func (b *builder) hide() {
	for _, h := range b.host.Hidden {
		for p, n := range b.nodes {
			if n.Source != "" && Below(n.Source, h.Path) {
				delete(b.nodes, p)
			}
		}
		for _, m := range b.out.Mounts {
			switch {
			case m.Type != "bind" && m.Type != "overlay" || !path.IsAbs(m.Source):
			case Below(h.Path, m.Source):
				b.cover(path.Join(m.Target, h.Path[len(m.Source):]), h.Key)
			case Below(m.Source, h.Path) && m.Why != "workspace.path":
				b.cover(m.Target, h.Key)
			}
		}
	}
}
