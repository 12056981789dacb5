package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"agentbox/mounts"
	"agentbox/profile"
)

// Look reads the facts that a profile asks about: its paths, its patterns, the toolchains of PATH.
func (h *Host) Look(p profile.Profile) error {
	f := &h.Files
	f.Source = "/"
	if p.Rootfs.Source != "host" && p.Rootfs.Source != "" {
		f.Source = h.expand(p.Rootfs.Source)
	}
	var err error
	if f.Root, err = entries(f.Source, all); err != nil {
		return fmt.Errorf("rootfs.source: %w", err)
	}
	if f.Etc, err = entries(filepath.Join(f.Source, "etc"), mounts.EtcName(f.Source)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rootfs.source: %w", err)
	}
	if f.Binary, err = os.Executable(); err != nil {
		return fmt.Errorf("the path of agentbox itself: %w", err)
	}
	var tools sync.WaitGroup
	tools.Go(h.lookTools) // PATH may be long; nothing else needs or writes what it finds
	err = h.lookWorkspace(p)
	tools.Wait()
	if err != nil {
		return err
	}
	f.Exposed = nil
	for _, path := range p.Rootfs.Expose {
		f.Exposed = append(f.Exposed, place(h.expand(path)))
	}
	f.Sources = map[string]mounts.Place{}
	for _, m := range p.Mounts {
		if m.Type == "bind" {
			f.Sources[m.Source] = place(h.expand(m.Source))
		}
	}
	if err := h.lookLimits(p); err != nil {
		return err
	}
	if err := h.lookAuthorities(p); err != nil {
		return err
	}
	h.lookExists(p)
	return h.lookHidden(p)
}

// expand turns "~/x" into a path below the caller's home directory.
func (h *Host) expand(p string) string {
	if rest, ok := strings.CutPrefix(p, "~"); ok && (rest == "" || rest[0] == '/') {
		return filepath.Join(h.Files.Home, rest)
	}
	if !filepath.IsAbs(p) {
		return filepath.Join(h.Dir, p)
	}
	return filepath.Clean(p)
}

func (h *Host) lookExists(p profile.Profile) {
	h.Files.Exists = map[string]bool{}
	ask := mounts.SysPaths()
	for _, secret := range mounts.EtcSecrets() {
		ask = append(ask, filepath.Join(h.Files.Source, secret))
	}
	for _, m := range p.Mounts {
		ask = append(ask, m.Target)
	}
	for _, path := range append(ask, mounts.ShimTrees(h.Files.Home)...) {
		if _, err := os.Lstat(path); err == nil {
			h.Files.Exists[path] = true
		}
	}
}

func all(string) bool { return true }

// entries looks at the names of a directory that keep says are wanted.
func entries(dir string, keep func(name string) bool) ([]mounts.Entry, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := make([]mounts.Entry, 0, len(list))
	for _, d := range list {
		if !keep(d.Name()) {
			continue
		}
		info, err := d.Info()
		if err != nil {
			continue // it vanished between readdir and lstat: as if it had never been there
		}
		e := mounts.Entry{Name: d.Name(), Kind: kind(info.Mode()), Size: info.Size(), Public: info.Mode().Perm()&0o004 != 0}
		if e.Kind == mounts.Link {
			if e.Target, err = os.Readlink(filepath.Join(dir, e.Name)); err != nil {
				continue
			}
		}
		out = append(out, e)
	}
	return out, nil
}

func kind(m fs.FileMode) mounts.FileKind {
	switch m.Type() {
	case fs.ModeDir:
		return mounts.Dir
	case 0:
		return mounts.File
	case fs.ModeSymlink:
		return mounts.Link
	}
	return mounts.Other
}

// place looks at a path with all symbolic links resolved.
func place(p string) mounts.Place {
	out := mounts.Place{Path: p}
	if real, err := filepath.EvalSymlinks(p); err == nil {
		out.Path = real
	}
	var st unix.Stat_t
	if err := unix.Lstat(out.Path, &st); err != nil {
		return out
	}
	out.Dev, out.Ino = uint64(st.Dev), st.Ino
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		out.Kind = mounts.Dir
	case unix.S_IFREG:
		out.Kind = mounts.File
	}
	return out
}

// lookTools follows PATH as a shell would and notes where its symbolic links lead.
func (h *Host) lookTools() {
	f := &h.Files
	f.Tools, f.Prefixes, f.Closed = nil, map[string]bool{}, map[string]bool{}
	h.noteClosed(f.Home)
	for _, dir := range filepath.SplitList(h.env("PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		real, err := filepath.EvalSymlinks(dir)
		if err != nil {
			continue
		}
		t := mounts.Tool{Dir: filepath.Clean(dir), Real: real, Links: map[string]string{}}
		h.notePrefix(real)
		h.notePrefix(filepath.Dir(real))
		if !system(real) {
			h.lookLinks(&t)
		}
		f.Tools = append(f.Tools, t)
	}
}

func (h *Host) lookLinks(t *mounts.Tool) {
	list, err := os.ReadDir(t.Real)
	if err != nil {
		return
	}
	for _, d := range list {
		if d.Type() != fs.ModeSymlink {
			continue
		}
		target, err := filepath.EvalSymlinks(filepath.Join(t.Real, d.Name()))
		if err != nil || mounts.Below(target, t.Real) || system(target) {
			continue
		}
		h.notePrefix(filepath.Dir(target))
		h.notePrefix(filepath.Dir(filepath.Dir(target)))
		t.Links[d.Name()] = target
	}
}

// system reports whether a path lies where every box shows it anyway.
func system(p string) bool {
	for _, d := range []string{"/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt", "/nix"} {
		if mounts.Below(p, d) {
			return true
		}
	}
	return false
}

func (h *Host) notePrefix(dir string) {
	h.noteClosed(dir)
	for _, name := range []string{"lib", "share", "libexec", "pyvenv.cfg"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			h.Files.Prefixes[dir] = true
			return
		}
	}
}

// noteClosed notes the directories on the way to dir that only their owner may pass.
func (h *Host) noteClosed(dir string) {
	for d := dir; d != "/"; d = filepath.Dir(d) {
		if h.Files.Closed[d] {
			return
		}
		if st, err := os.Stat(d); err != nil || st.Mode().Perm()&0o001 == 0 {
			h.Files.Closed[d] = true
		}
	}
}

func (h *Host) env(name string) string {
	for _, kv := range h.Env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}
