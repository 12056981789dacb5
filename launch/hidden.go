package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"agentbox/mounts"
)

// hideLiteral notes a masked path without a pattern. Whether anything shows it is the planner's to find.
func (h *Host) hideLiteral(p, key string) {
	if err := unix.Access(p, unix.F_OK); errors.Is(err, unix.ENOENT) {
		return // nearly all of a long list: one system call each
	}
	real := place(p)
	if real.Ino != 0 {
		h.Files.Hidden = append(h.Files.Hidden, mounts.Match{
			Path: real.Path, Dir: real.Kind == mounts.Dir, Dev: real.Dev, Ino: real.Ino, Key: key,
		})
	}
}

// walkShown looks for what the patterns name below the exposed paths of the home directory.
func (h *Host) walkShown(mask mounts.Patterns) error {
	for _, s := range h.Files.Exposed {
		if s.Kind != mounts.Dir || !mounts.Below(s.Path, h.Files.Home) {
			continue
		}
		err := fs.WalkDir(os.DirFS(s.Path), ".", func(p string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || d.Type() == fs.ModeSymlink {
				return err
			}
			full := path.Join(s.Path, p)
			key, ok := mask.Match(full[len(h.Files.Home)+1:], d.IsDir())
			if !ok {
				return nil
			}
			info, err := d.Info()
			if err != nil {
				return nil
			}
			m := mounts.Match{Path: full, Dir: d.IsDir(), Key: key}
			m.Dev, m.Ino = identity(info)
			h.Files.Hidden = append(h.Files.Hidden, m)
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("rootfs.expose: %w", err)
		}
	}
	return nil
}
