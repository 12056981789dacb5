package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"agentbox/mounts"
)

// ownRule is the key of what is covered whatever the profile says.
const ownRule = "box"

// A walk looks through the workspace for what mask and protect name, and for the ways around them: further names of
// the same file, directories that their owner has closed and can open again, sockets of the host.
type walk struct {
	host          *Host
	root          *os.Root
	top           *os.File
	mask, protect mounts.Patterns
	held          string         // the protected directory it is in; nothing can be written there
	links         []secondName   // of directories
	shared        map[inode]rule // files with more than one name, of which one was noted
	at            string         // where it is
	entry         fs.DirEntry    // and what the listing of its directory has seen there
	masked        map[string]bool
	protected     map[string]bool
}

type inode struct{ dev, ino uint64 }

// A rule is what holds for a path: masked, or else protected.
type rule struct {
	key    string
	masked bool
}

// A secondName is a symbolic link to a directory of the workspace, on the way to what a pattern names.
type secondName struct{ link, dir string }

func (h *Host) walkWorkspace(mask, protect mounts.Patterns) error {
	return h.walkAs(".", mask, protect)
}

// walkAs walks the workspace under the name by which the patterns are to know its top.
func (h *Host) walkAs(top string, mask, protect mounts.Patterns) error {
	root, err := os.OpenRoot(h.Files.Workspace.Path)
	if err != nil {
		return fmt.Errorf("workspace.path: %w", err)
	}
	defer root.Close()
	file, err := root.Open(".")
	if err != nil {
		return fmt.Errorf("workspace.path: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("workspace.path: %w", err)
	}
	if dev, ino := identity(info); dev != h.Files.Workspace.Dev || ino != h.Files.Workspace.Ino {
		return fmt.Errorf("workspace.path: %s was replaced while it was being looked at", h.Files.Workspace.Path)
	}
	w := &walk{host: h, root: root, top: file, mask: mask, protect: protect,
		shared: map[inode]rule{}, masked: map[string]bool{}, protected: map[string]bool{}}
	if err := w.tree(".", top); err != nil {
		return err
	}
	for _, l := range w.links {
		if err := w.tree(l.dir, l.link); err != nil {
			return err
		}
	}
	return w.furtherNames()
}

// tree walks a directory under the name by which the patterns are to know it.
func (w *walk) tree(dir, as string) error {
	w.held = ""
	for d := dir; d != "."; d = path.Dir(d) {
		if w.masked[d] {
			return nil
		}
		if w.protected[d] {
			w.held = d
		}
	}
	return fs.WalkDir(w.root.FS(), dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case errors.Is(err, fs.ErrPermission):
			return w.closed(p)
		case err != nil:
			return fmt.Errorf("workspace.path: %w", err)
		case p == dir:
			return nil
		}
		name := p
		switch {
		case dir == ".":
			name = path.Join(as, p)
		case as != dir:
			name = path.Join(as, strings.TrimPrefix(p, dir))
		}
		return w.visit(p, name, d)
	})
}

func (w *walk) visit(p, name string, d fs.DirEntry) error {
	w.at, w.entry = p, d
	if key, ok := w.mask.Match(name, d.IsDir()); ok {
		if err := w.note(p, rule{key, true}); err != nil || !d.IsDir() {
			return err
		}
		return fs.SkipDir
	}
	if d.Type() == fs.ModeSocket && w.answers(p) {
		return w.note(p, rule{ownRule, true})
	}
	if d.Type() == fs.ModeSymlink && (w.mask.Leads(name) != "" || w.protect.Leads(name) != "") && w.second(p, name) {
		if key := w.protect.Leads(name); key != "" {
			_, err := w.noteAlone(p, rule{key: key}) // the directory stays writable but for what a pattern names in it
			return err
		}
		return nil
	}
	if w.held != "" && mounts.Below(p, w.held) {
		return w.inHeld(p, d)
	}
	key, ok := w.protect.Match(name, d.IsDir())
	if !ok && !d.IsDir() {
		key = w.protect.Leads(name) // ".git" of a worktree is a file that says where the hooks are
		ok = key != ""
	}
	if !ok {
		return nil
	}
	if d.IsDir() {
		w.held = p
	}
	return w.note(p, rule{key: key})
}

// inHeld looks at a file that is protected with its directory: another name of it would not be.
func (w *walk) inHeld(p string, d fs.DirEntry) error {
	if !d.Type().IsRegular() {
		return nil
	}
	info, err := w.root.Lstat(p)
	if err == nil {
		w.noteShared(rule{key: ownRule}, info)
	}
	return nil
}

// closed covers a directory in which the caller cannot look. In a writable workspace the agent, who owns what the
// caller owns, would open it again and find there what nobody has looked for.
func (w *walk) closed(dir string) error {
	if dir == "." {
		return fmt.Errorf("workspace.path: %s: %w", w.host.Files.Workspace.Path, fs.ErrPermission)
	}
	if err := w.note(dir, rule{ownRule, true}); err != nil {
		return err
	}
	return fs.SkipDir
}

// note adds a path, and where a symbolic link leads: whoever covers or holds the link alone has done nothing about
// the file.
func (w *walk) note(p string, r rule) error {
	link, err := w.noteAlone(p, r)
	if err != nil || !link {
		return err
	}
	if to, ok := w.target(p); ok {
		_, err = w.noteAlone(to, r)
	}
	return err
}

// noteAlone adds a path and remembers the directories above it, whose identity is checked again inside the box. It
// reports whether it is a symbolic link.
func (w *walk) noteAlone(p string, r rule) (bool, error) {
	if w.masked[p] || w.protected[p] && !r.masked {
		return false, nil
	}
	info, err := w.lstat(p)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return false, w.closed(path.Dir(p))
	case err != nil:
		return false, nil // it vanished: as if it had never been there
	}
	m := mounts.Match{Path: p, Dir: info.IsDir(), Link: info.Mode().Type() == fs.ModeSymlink, Key: r.key}
	m.Dev, m.Ino = identity(info)
	w.add(m, r.masked)
	w.noteShared(r, info)
	return m.Link, w.ancestors(p)
}

// lstat looks at a path; the listing of an os.Root's directory has done that for its entries.
func (w *walk) lstat(p string) (fs.FileInfo, error) {
	if p == w.at {
		return w.entry.Info()
	}
	return w.root.Lstat(p)
}

// add puts a path on one of the lists. What is masked needs no protection.
func (w *walk) add(m mounts.Match, masked bool) {
	f := &w.host.Files
	if !masked {
		w.protected[m.Path] = true
		f.Protected = append(f.Protected, m)
		return
	}
	w.masked[m.Path] = true
	f.Masked = append(f.Masked, m)
	if w.protected[m.Path] {
		f.Protected = slices.DeleteFunc(f.Protected, func(p mounts.Match) bool { return p.Path == m.Path })
	}
}

func (w *walk) ancestors(p string) error {
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if _, ok := w.host.Files.Ancestors[dir]; ok {
			return nil
		}
		info, err := w.root.Lstat(dir)
		if err != nil {
			return fmt.Errorf("workspace.path: %w", err)
		}
		w.host.noteAncestor(dir, info)
	}
	return nil
}

// target follows a symbolic link that stays in the workspace.
func (w *walk) target(p string) (string, bool) {
	ws := w.host.Files.Workspace.Path
	real, err := filepath.EvalSymlinks(filepath.Join(ws, p))
	if err != nil || real == ws || !mounts.Below(real, ws) {
		return "", false
	}
	return strings.TrimPrefix(real, ws+"/"), true
}

// second remembers that a directory has a further name, under which patterns may mean what is in it.
func (w *walk) second(p, name string) bool {
	to, ok := w.target(p)
	if !ok || w.held != "" && mounts.Below(p, w.held) || len(w.links) == maxLinks {
		return false
	}
	info, err := w.root.Lstat(to)
	if err != nil || !info.IsDir() {
		return false
	}
	w.links = append(w.links, secondName{link: name, dir: to})
	return true
}

// maxLinks bounds the walks that a hostile workspace can cause.
const maxLinks = 64

// noteShared remembers a file that has further names.
func (w *walk) noteShared(r rule, info fs.FileInfo) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() || st.Nlink < 2 {
		return
	}
	id := inode{uint64(st.Dev), st.Ino}
	if _, known := w.shared[id]; r.masked || !known { // a mask outweighs a protection
		w.shared[id] = r
	}
}

// furtherNames finds the hard links of what was noted: an agent may have made them while the file was still empty.
func (w *walk) furtherNames() error {
	if len(w.shared) == 0 {
		return nil
	}
	return fs.WalkDir(w.root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil // the first walk has covered it
		case d.IsDir() && w.masked[p]:
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		info, err := w.root.Lstat(p)
		if err != nil {
			return nil
		}
		dev, ino := identity(info)
		if r, ok := w.shared[inode{dev, ino}]; ok {
			return w.note(p, r)
		}
		return nil
	})
}

// answers reports whether a process holds a socket. To connect one of another type tells that without a connection;
// nobody is behind one that refuses.
func (w *walk) answers(p string) bool {
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	at, err := unix.Openat2(int(w.top.Fd()), p, how)
	if err != nil {
		return false
	}
	defer unix.Close(at)
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return true
	}
	defer unix.Close(s)
	err = unix.Connect(s, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(at)})
	return !errors.Is(err, unix.ECONNREFUSED)
}
