package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxinit"
	"agentbox/internal/workspace"
	"agentbox/mounts"
	"agentbox/profile"
)

// layered puts before the first overlay what PID 1 makes the overlays of: the project, a git directory outside it, and
// the directory that holds what the agent writes in both. They are mounted on the stage, which goes before the agent
// starts.
func (p Plan) layered() []mounts.Mount {
	var list, sources []mounts.Mount
	for _, m := range p.Files.Mounts {
		if m.Type == "overlay" {
			lower, _ := p.stageOf(m)
			sources = append(sources, mounts.Mount{Type: "bind", Source: m.Source, Target: lower, Options: []string{"ro", "nosuid", "nodev"},
				Owned: true, Create: true, Dev: m.Dev, Ino: m.Ino})
		}
	}
	if sources != nil {
		writes := mounts.Mount{Type: "bind", Source: p.writes, Target: boxinit.StageWrites, Options: []string{"nosuid", "nodev"}, Owned: true, Create: true}
		if p.sharesWrites() {
			writes.Type, writes.Source, writes.Data = "tmpfs", "tmpfs", p.tmpfsData()
		}
		sources = append(sources, writes)
	}
	for _, m := range p.Files.Mounts {
		if m.Type == "overlay" {
			list, sources = append(list, sources...), nil
		}
		list = append(list, m)
	}
	return list
}

// stageOf is where the source of an overlay and the directories for what the agent writes in it lie on the stage.
func (p Plan) stageOf(m mounts.Mount) (lower, writes string) {
	if m.Target == p.Files.Git {
		return boxinit.StageGit, workspace.GitState(boxinit.StageWrites)
	}
	return boxinit.StageLower, boxinit.StageWrites
}

// overlayData are the options of an overlay in the words of mount(8).
func (p Plan) overlayData(m mounts.Mount) string {
	lower, writes := p.stageOf(m)
	if len(p.Files.Masks) > 0 && lower == boxinit.StageLower {
		lower = boxinit.StageMasks + ":" + lower
	}
	layers := workspace.LayersOf(writes)
	options := []string{"lowerdir=" + lower, "upperdir=" + layers.Upper, "workdir=" + layers.Work}
	return strings.Join(append(options, workspace.MountOptions(workspace.User)...), ",")
}

// masks is the layer of whiteouts, for PID 1 to make.
func (p Plan) masks() []boxinit.Node {
	list := make([]boxinit.Node, 0, len(p.Files.Masks))
	for _, m := range p.Files.Masks {
		n := boxinit.Node{Kind: boxinit.NodeWhiteout, Path: m.Path}
		if m.Dir {
			n.Kind, n.Mode, n.Content = boxinit.NodeDir, m.Mode, boxinit.Time(m.MTime)
		}
		list = append(list, n)
	}
	return list
}

// overlays reports whether the workspace is an overlay.
func (p Plan) overlays() bool {
	for _, m := range p.Files.Mounts {
		if m.Type == "overlay" {
			return true
		}
	}
	return false
}

// checkWrites refuses an overlay of which nobody keeps what the agent writes.
func (p Plan) checkWrites() error {
	switch {
	case !p.overlays():
		return nil
	case p.writes == "":
		return errors.New("nobody keeps what the agent would write")
	case p.IDs == IDRange && !p.Idmap:
		return &MissingError{Layer: "overlay", Err: errors.New("the agent's files cannot be mapped to the caller without the layer idmap"),
			Remedy: `run as the ordinary user, or use workspace.mode = "ro"`}
	}
	return nil
}

// lookOverlay finds what only an overlay has to know: mounts below the workspace, and the names that are to be masked
// although they are not there.
func (h *Host) lookOverlay(p profile.Profile) error {
	h.Files.Absent, h.Files.Mounted = nil, nil
	if p.Workspace.Mode != "overlay" {
		return nil
	}
	var err error
	if h.Files.Mounted, err = mountedBelow(h.Files.Workspace.Path); err != nil {
		return err
	}
	root, err := os.OpenRoot(h.Files.Workspace.Path)
	if err != nil {
		return fmt.Errorf("workspace.path: %w", err)
	}
	defer root.Close()
	masked := mounts.ParsePatterns("workspace.mask", p.Workspace.Mask)
	for i, line := range p.Workspace.Mask {
		name := strings.Trim(line, "/")
		if name == "" || strings.HasPrefix(line, "!") || strings.HasPrefix(line, "~") || isPattern(line) {
			continue
		}
		if key, ok := masked.Match(name, strings.HasSuffix(line, "/")); !ok || key != fmt.Sprintf("workspace.mask[%d]", i) {
			continue // a later line makes an exception
		}
		if first := h.firstAbsent(root, name); first != "" {
			h.Files.Absent = append(h.Files.Absent, mounts.Match{Path: first, Key: fmt.Sprintf("workspace.mask[%d]", i)})
		}
	}
	return nil
}

// firstAbsent is the part of a path that ends with the first name that is not there. It is "" where all of it is, and
// where a symbolic link leads away: the walk follows those.
func (h *Host) firstAbsent(root *os.Root, name string) string {
	for i := 0; ; {
		next := strings.IndexByte(name[i:], '/')
		part := name
		if next >= 0 {
			part = name[:i+next]
		}
		info, err := root.Lstat(part)
		if errors.Is(err, fs.ErrNotExist) {
			return part
		}
		if err != nil || next < 0 || !info.IsDir() {
			return ""
		}
		h.noteAncestor(part, info)
		i += next + 1
	}
}

func (h *Host) noteAncestor(rel string, info fs.FileInfo) {
	a := mounts.Place{Path: rel, Kind: mounts.Dir, Mode: uint32(info.Mode().Perm()), MTime: info.ModTime().UnixNano()}
	a.Dev, a.Ino = identity(info)
	h.Files.Ancestors[rel] = a
}

// mountedBelow lists the mount points strictly below a directory, from /proc/self/mountinfo (proc_pid_mountinfo(5)).
func mountedBelow(dir string) ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var list []string
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if at := unescapeOctal(fields[4]); at != dir && mounts.Below(at, dir) {
			list = append(list, path.Clean(at))
		}
	}
	return list, nil
}

// unescapeOctal undoes what the kernel does to blanks, line breaks and backslashes in a mount point.
func unescapeOctal(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// giveWrites lets the agent's overlay use the directories: they are to belong to the caller, as the project does.
func (b *Box) giveWrites() error {
	if !b.plan.overlays() || b.plan.IDs != IDRange {
		return nil
	}
	ids := b.plan.ids(0).mounts
	states := []string{b.plan.writes}
	if b.plan.Files.Git != "" {
		states = append(states, workspace.GitState(b.plan.writes))
	}
	for _, state := range states {
		// PID 1 passes through the directory as a user that its idmapped mount does not know.
		if err := os.Chmod(state, 0o711); err != nil {
			return err
		}
		layers := workspace.LayersOf(state)
		for _, dir := range []string{layers.Upper, layers.Work} {
			if err := unix.Fchownat(unix.AT_FDCWD, dir, int(ids.DiskUID), int(ids.DiskGID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
				return &os.PathError{Op: "chown", Path: dir, Err: err}
			}
		}
	}
	return nil
}
