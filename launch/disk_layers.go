package launch

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"agentbox/internal/workspace"
)

// openImage mounts the image of a session's workspace directory. One that was made just now begins with what is in the
// directory, and is the session's once all of that is in it and on disk.
func openImage(dir string, attrs int, own *account) (*os.File, error) {
	image, part := filepath.Join(dir, imageName), filepath.Join(dir, imagePart)
	if _, err := os.Lstat(image); err == nil {
		return mountImage(image, attrs)
	}
	m, err := mountImage(part, attrs)
	if err != nil {
		return nil, err
	}
	err = fillWrites(m, dir, own)
	if err == nil && holdsWrites(dir) {
		err = toDisk(m)
	}
	if err == nil {
		err = os.Rename(part, image)
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// toDisk brings a file system to disk. The descriptor of a mount is not one of a file.
func toDisk(m *os.File) error {
	root, err := openBelow(int(m.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	return unix.Syncfs(root)
}

// holdsWrites reports that an earlier box wrote into a session's workspace directory.
func holdsWrites(dir string) bool {
	for _, state := range []string{dir, workspace.GitState(dir)} {
		f, err := os.Open(workspace.LayersOf(state).Upper)
		if err != nil {
			continue
		}
		names, _ := f.Readdirnames(1)
		f.Close()
		if len(names) > 0 {
			return true
		}
	}
	return false
}

// fillWrites makes the directories of the overlays on a file system of their own: the project's, and where there is one
// the git directory's.
func fillWrites(root *os.File, dir string, own *account) error {
	if err := fillLayers(root, dir, own); err != nil {
		return err
	}
	return inGitState(root, dir, func(git *os.File, dir string) error { return fillLayers(git, dir, own) })
}

// inGitState goes, in a file system of writes and in the session's directory, to the git directory's part of it.
func inGitState(root *os.File, dir string, do func(git *os.File, dir string) error) error {
	dir = workspace.GitState(dir)
	if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	name := workspace.GitState("")
	if err := unix.Mkdirat(int(root.Fd()), name, 0o711); err != nil && !errors.Is(err, unix.EEXIST) {
		return &os.PathError{Op: "mkdir", Path: name, Err: err}
	}
	fd, err := openBelow(int(root.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	git := os.NewFile(uintptr(fd), name)
	defer git.Close()
	return do(git, dir)
}

// fillLayers makes one overlay's directories. They begin as they are in the session's directory: empty, or with what an
// earlier box has left.
func fillLayers(root *os.File, dir string, own *account) error {
	from, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer from.Close()
	at, layers := int(root.Fd()), workspace.LayersOf("")
	var st unix.Stat_t
	if unix.Fstatat(at, layers.Work, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		return nil // the image of an earlier box
	}
	if err := copyTree(from, layers.Upper, root, layers.Upper, own); err != nil {
		return err
	}
	// PID 1 of a box of root passes through as a user whom the mount does not know.
	if err := unix.Fchmodat(at, ".", 0o711, 0); err != nil {
		return err
	}
	err = unix.Mkdirat(at, layers.Work, 0o700)
	if err == nil && own != nil {
		err = unix.Fchownat(at, layers.Work, own.uid, own.gid, 0)
	}
	return err
}

// keepTmpfs copies what is in memory to the session's directory: of each overlay all, or nothing.
func keepTmpfs(root *os.File, dir string, own *account) error {
	err := inGitState(root, dir, func(git *os.File, dir string) error { return keepUpper(git, dir, own) })
	if err != nil {
		return err
	}
	return keepUpper(root, dir, own)
}

func keepUpper(root *os.File, dir string, own *account) error {
	const part = "upper.part"
	upper := workspace.LayersOf("").Upper
	to, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer to.Close()
	at := int(to.Fd())
	if err := workspace.Remove(filepath.Join(dir, part)); err != nil {
		return err
	}
	if err := copyTree(root, upper, to, part, own); err != nil {
		return errors.Join(err, workspace.Remove(filepath.Join(dir, part)))
	}
	if err := unix.Renameat2(at, part, at, upper, unix.RENAME_EXCHANGE); err != nil {
		return err
	}
	return workspace.Remove(filepath.Join(dir, part))
}
