package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
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
	if mask.Empty() && protect.Empty() || f.Workspace.Path == "/" || mounts.Below(f.Home, f.Workspace.Path) {
		return nil // the planner refuses the last two
	}
	return h.walkWorkspace(mask, protect)
}

func owner(p string) (uint32, uint32, bool) {
	var st unix.Stat_t
	if err := unix.Stat(p, &st); err != nil {
		return 0, 0, false
	}
	return st.Uid, st.Gid, true
}

func (h *Host) walkWorkspace(mask, protect mounts.Patterns) error {
	f := &h.Files
	root, err := os.OpenRoot(f.Workspace.Path)
	if err != nil {
		return fmt.Errorf("workspace.path: %w", err)
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist):
			return nil // what the caller cannot read, the agent cannot read either
		case err != nil:
			return fmt.Errorf("workspace.path: %w", err)
		case p == ".":
			return nil
		}
		key, masked := mask.Match(p, d.IsDir())
		if masked {
			f.Masked, err = h.note(f.Masked, root, p, d, key)
		} else if k, ok := protect.Match(p, d.IsDir()); ok {
			key = k
			f.Protected, err = h.note(f.Protected, root, p, d, key)
		}
		if err == nil && key != "" && d.IsDir() {
			return fs.SkipDir
		}
		return err
	})
}

// note adds a path and remembers the directories above it, whose identity is checked again inside the box.
func (h *Host) note(list []mounts.Match, root *os.Root, p string, d fs.DirEntry, key string) ([]mounts.Match, error) {
	m := mounts.Match{Path: p, Dir: d.IsDir(), Link: d.Type() == fs.ModeSymlink, Key: key}
	if m.Link {
		return h.noteLink(list, root, m)
	}
	info, err := root.Lstat(p)
	if err != nil {
		return list, nil // it vanished: as if it had never been there
	}
	m.Dev, m.Ino = identity(info)
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if _, ok := h.Files.Ancestors[dir]; ok {
			break
		}
		info, err := root.Lstat(dir)
		if err != nil {
			return list, fmt.Errorf("workspace.path: %w", err)
		}
		a := mounts.Place{Path: dir, Kind: mounts.Dir}
		a.Dev, a.Ino = identity(info)
		h.Files.Ancestors[dir] = a
	}
	return append(list, m), nil
}

// noteLink follows a symbolic link that stays in the workspace: a mount cannot cover the link, so it covers the file.
func (h *Host) noteLink(list []mounts.Match, root *os.Root, m mounts.Match) ([]mounts.Match, error) {
	list = append(list, m)
	real, err := filepath.EvalSymlinks(filepath.Join(h.Files.Workspace.Path, m.Path))
	if err != nil || real == h.Files.Workspace.Path || !mounts.Below(real, h.Files.Workspace.Path) {
		return list, nil
	}
	rel := strings.TrimPrefix(real, h.Files.Workspace.Path+"/")
	info, err := root.Lstat(rel)
	if err != nil {
		return list, nil
	}
	return h.note(list, root, rel, fs.FileInfoToDirEntry(info), m.Key)
}

func identity(info fs.FileInfo) (dev, ino uint64) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev), st.Ino
	}
	return 0, 0
}

// lookHidden finds what rootfs.mask names below the paths that the profile shows.
func (h *Host) lookHidden(p profile.Profile) error {
	f := &h.Files
	f.Hidden = nil
	var home mounts.Patterns
	for i, line := range p.Rootfs.Mask {
		key := fmt.Sprintf("rootfs.mask[%d]", i)
		switch {
		case strings.HasPrefix(line, "/"):
			h.hideLiteral(line, key)
		case strings.HasPrefix(line, "~/") && !strings.ContainsAny(line, "*?["):
			h.hideLiteral(h.expand(line), key)
		default:
			home.Add(key, strings.TrimPrefix(line, "~/"))
		}
	}
	if home.Empty() {
		return nil
	}
	return h.walkShown(home)
}
