package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"agentbox/mounts"
	"agentbox/profile"
)

// lookHidden finds what rootfs.mask names: single paths by a look at each, and what patterns name by a walk through
// the paths that the profile shows, and through the directory at which a full path with a pattern begins.
func (h *Host) lookHidden(p profile.Profile) error {
	h.Files.Hidden = nil
	walks := h.shown(p)
	var globs mounts.Patterns
	var begins []string
	for i, line := range p.Rootfs.Mask {
		key := fmt.Sprintf("rootfs.mask[%d]", i)
		body, exception := strings.CutPrefix(line, "!")
		if !exception && !isPattern(body) {
			if !h.excepted(body, p.Rootfs.Mask[i+1:]) {
				h.hideLiteral(h.expand(body), key)
			}
			continue
		}
		pattern, begin := h.hostPattern(body)
		if exception {
			globs.Add(key, "!"+pattern)
			continue
		}
		if begin == "/" {
			return profile.Findings{{Key: key, Message: fmt.Sprintf("%q would be looked for on the whole host", line), Hint: "begin with a directory"}}
		}
		globs.Add(key, pattern)
		begins = append(begins, begin)
		if strings.HasPrefix(body, "/") {
			walks = append(walks, place(begin))
		}
	}
	for _, s := range walks {
		near := func(begin string) bool { return mounts.Below(s.Path, begin) || mounts.Below(begin, s.Path) }
		if !slices.ContainsFunc(begins, near) {
			continue
		}
		if err := h.walkHidden(s, globs); err != nil {
			return fmt.Errorf("rootfs.mask: %w", err)
		}
	}
	return nil
}

func isPattern(text string) bool { return strings.ContainsAny(text, `*?[\`) }

// shown are the places that the profile itself shows.
func (h *Host) shown(p profile.Profile) []mounts.Place {
	list := slices.Clone(h.Files.Exposed)
	for _, m := range p.Mounts {
		if m.Type == "bind" {
			list = append(list, h.Files.Sources[m.Source])
		}
	}
	return list
}

// hostPattern makes a line of rootfs.mask relative to the root of the host, with the symbolic links resolved of the
// directory at which its pattern begins.
func (h *Host) hostPattern(line string) (pattern, begin string) {
	begin, rest := "/", strings.TrimPrefix(line, "/")
	if below, ok := strings.CutPrefix(line, "~/"); ok {
		begin, rest = h.Files.Home, below
		if !strings.Contains(strings.TrimSuffix(below, "/"), "/") {
			rest = "**/" + below
		}
	}
	for {
		first, more, ok := strings.Cut(rest, "/")
		if !ok || isPattern(first) {
			break
		}
		begin, rest = path.Join(begin, first), more
	}
	begin = place(begin).Path
	quoted := strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(strings.TrimSuffix(begin, "/"))
	return quoted + "/" + rest, begin
}

// excepted reports whether a later line takes a path out again.
func (h *Host) excepted(p string, later []string) bool {
	real := place(h.expand(p)).Path
	for _, line := range slices.Backward(later) {
		body, exception := strings.CutPrefix(line, "!")
		if !exception && !isPattern(body) {
			continue
		}
		var one mounts.Patterns
		pattern, _ := h.hostPattern(body)
		one.Add("", pattern)
		if _, ok := one.Match(real[1:], true); ok {
			return exception
		}
	}
	return false
}

// hideLiteral notes a masked path, once. Whether anything shows it is the planner's to find.
func (h *Host) hideLiteral(p, key string) {
	if err := unix.Access(p, unix.F_OK); errors.Is(err, unix.ENOENT) {
		return // nearly all of a long list: one system call each
	}
	real := place(p)
	known := slices.ContainsFunc(h.Files.Hidden, func(m mounts.Match) bool { return m.Path == real.Path })
	if real.Ino != 0 && !known {
		h.Files.Hidden = append(h.Files.Hidden, mounts.Match{
			Path: real.Path, Dir: real.Kind == mounts.Dir, Dev: real.Dev, Ino: real.Ino, Key: key,
		})
	}
}

// walkHidden notes what the patterns name at, above or below a place that is shown.
func (h *Host) walkHidden(s mounts.Place, mask mounts.Patterns) error {
	for p := s.Path; p != "/"; p = path.Dir(p) {
		if key, ok := mask.Match(p[1:], p != s.Path || s.Kind == mounts.Dir); ok {
			h.hideLiteral(p, key)
			return nil
		}
	}
	if s.Kind != mounts.Dir {
		return nil
	}
	return fs.WalkDir(os.DirFS(s.Path), ".", func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.Type() == fs.ModeSymlink {
			return err
		}
		full := path.Join(s.Path, p)
		key, ok := mask.Match(full[1:], d.IsDir())
		if !ok {
			return nil
		}
		h.hideLiteral(full, key)
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}
