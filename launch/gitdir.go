package launch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"agentbox/mounts"
)

// lookGit finds the git directory of a workspace that is a worktree or a submodule, whose ".git" is a file that names
// it. That file is the workspace's word, so the agent's: what it names is shown only if it is a git directory of the
// caller's that for its part names this workspace, in a place that only somebody who may write there can have made.
func (h *Host) lookGit(mask mounts.Patterns) error {
	f := &h.Files
	f.Git = mounts.GitDir{}
	ws := f.Workspace.Path
	text, err := readPlain(path.Join(ws, ".git"))
	if err != nil {
		return nil // a directory, or none, or what git would not read either
	}
	named, ok := strings.CutPrefix(text, "gitdir: ")
	if !ok {
		return nil
	}
	dir := from(ws, named)
	if mounts.Below(dir, ws) {
		return nil
	}
	git, err := h.gitDir(dir, ws)
	if err != nil {
		f.Git.Why = fmt.Sprintf(".git names %s, %s", dir, err)
		return nil
	}
	if git.Path == "" {
		return nil
	}
	look := Host{Files: mounts.Host{Workspace: git, Ancestors: map[string]mounts.Place{}}}
	if err := look.walkAs(".git", mask, mounts.Patterns{}); err != nil {
		return fmt.Errorf("the git directory of the workspace: %w", err)
	}
	f.Git.Place, f.Git.Masked = git, look.Files.Masked
	return nil
}

// Why a git directory is not shown.
var (
	errNotLeadingBack = errors.New("which does not name this workspace as its own")
	errNoRepository   = errors.New("which belongs to no git repository")
)

// gitDir checks what a ".git" file names and gives the directory to show: of a worktree the repository's, which holds
// the worktree's, and of a submodule its own. No path is one that lies in the workspace and is shown with it.
func (h *Host) gitDir(dir, ws string) (mounts.Place, error) {
	common := dir
	text, err := readPlain(path.Join(dir, "commondir"))
	switch {
	case err == nil:
		// git makes it so, and anything else would let a directory that the agent wrote name another repository.
		if text != "../.." || path.Base(path.Dir(dir)) != "worktrees" {
			return mounts.Place{}, errNoRepository
		}
		common = path.Dir(path.Dir(dir))
		back, err := readPlain(path.Join(dir, "gitdir"))
		if err != nil || from(dir, back) != path.Join(ws, ".git") {
			return mounts.Place{}, errNotLeadingBack
		}
	case !errors.Is(err, unix.ENOENT):
		return mounts.Place{}, fmt.Errorf("which cannot be read: %w", err)
	case !leadsBack(dir, ws):
		return mounts.Place{}, errNotLeadingBack
	}
	if mounts.Below(common, ws) {
		return mounts.Place{}, nil
	}
	for _, one := range []string{dir, path.Join(common, "objects"), path.Join(common, "refs")} {
		if _, err := h.ownDir(one); err != nil {
			return mounts.Place{}, err
		}
	}
	if _, err := readPlain(path.Join(common, "HEAD")); err != nil {
		return mounts.Place{}, errNoRepository
	}
	if list, err := mountedBelow(common); err != nil || len(list) > 0 {
		return mounts.Place{}, errors.Join(err, errors.New("in whose repository something is mounted"))
	}
	return h.ownDir(common)
}

// ownDir looks at a directory of the caller's that is reached through no symbolic link.
func (h *Host) ownDir(dir string) (mounts.Place, error) {
	fd, err := openPlain(dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return mounts.Place{}, errNoRepository
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return mounts.Place{}, fmt.Errorf("which cannot be looked at: %w", err)
	}
	if st.Uid != h.CallerUID {
		return mounts.Place{}, fmt.Errorf("and %s belongs to another user", dir)
	}
	return mounts.Place{Path: dir, Kind: mounts.Dir, Dev: uint64(st.Dev), Ino: st.Ino}, nil
}

// leadsBack reports whether the configuration of a submodule's git directory names the workspace as its work tree.
func leadsBack(dir, ws string) bool {
	for _, name := range []string{"config", "config.worktree"} {
		if text, err := readPlain(path.Join(dir, name)); err == nil {
			if tree, ok := coreWorktree(text); ok && from(dir, tree) == ws {
				return true
			}
		}
	}
	return false
}

// coreWorktree finds core.worktree in the text of a git configuration. What git would write and nothing else is
// understood; a file that says it in another way leads nowhere.
func coreWorktree(text string) (value string, found bool) {
	core := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			core = strings.EqualFold(line, "[core]")
			continue
		}
		key, rest, ok := strings.Cut(line, "=")
		if !ok || !core || !strings.EqualFold(strings.TrimSpace(key), "worktree") {
			continue
		}
		value, found = strings.TrimSpace(rest), true
		if quoted, ok := strings.CutPrefix(value, `"`); ok && strings.HasSuffix(quoted, `"`) {
			value = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(strings.TrimSuffix(quoted, `"`))
		}
	}
	return value, found
}

// from resolves a path that a file of git's in dir holds.
func from(dir, name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join(dir, name)
}

// maxGitFile bounds the files of git's that are read before the start.
const maxGitFile = 1 << 20

// readPlain reads a small regular file that is reached through no symbolic link, without the line end.
func readPlain(name string) (string, error) {
	fd, err := openPlain(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return "", err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxGitFile {
		return "", fmt.Errorf("%s is not a small file", name)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxGitFile))
	return strings.TrimRight(string(data), "\r\n"), err
}

func openPlain(name string, flags uint64) (int, error) {
	how := &unix.OpenHow{Flags: flags | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(unix.AT_FDCWD, name, how)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, nil
}
