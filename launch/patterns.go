package launch

import (
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"

	"agentbox/mounts"
	"agentbox/profile"
)

func (h *Host) lookWorkspace(p profile.Profile) error {
	f := &h.Files
	f.Workspace = place(h.expand(p.Workspace.Path))
	if f.Workspace.Kind != mounts.Dir {
		return profile.Findings{{Key: "workspace.path", Message: f.Workspace.Path + " is not a directory"}}
	}
	if owner, group, ok := owner(f.Workspace.Path); ok && h.EUID == 0 && h.CallerUID == 0 {
		// A job that runs as root on a checkout of somebody else's: new files are to belong to the same person.
		h.CallerUID, h.CallerGID = owner, group
	}
	f.Masked, f.Protected, f.Ancestors = nil, nil, map[string]mounts.Place{}
	mask := mounts.ParsePatterns("workspace.mask", p.Workspace.Mask)
	protect := mounts.Patterns{}
	if p.Workspace.Mode == "rw" {
		protect = mounts.ParsePatterns("workspace.protect", p.Workspace.Protect)
	}
	if f.Workspace.Path == "/" || mounts.Below(f.Home, f.Workspace.Path) {
		return nil // the planner refuses them
	}
	if err := h.walkWorkspace(mask, protect); err != nil {
		return err
	}
	if err := h.lookGit(mask); err != nil {
		return err
	}
	return h.lookOverlay(p)
}

func owner(p string) (uint32, uint32, bool) {
	var st unix.Stat_t
	if err := unix.Stat(p, &st); err != nil {
		return 0, 0, false
	}
	return st.Uid, st.Gid, true
}

func identity(info fs.FileInfo) (dev, ino uint64) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev), st.Ino
	}
	return 0, 0
}
