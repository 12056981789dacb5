package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"agentbox/internal/workspace"
)

// Kept is what an overlay keeps of its agent's writes, open for a review.
type Kept struct {
	// Memory says that what the agent wrote lately is in the memory of its session, which copies it here when it ends
	// and loses it when its supervisor is killed. What is here is older.
	Memory bool

	Upper string // the overlay's upper directory; a path that holds in this process, until Close
	Git   string // that of a git directory outside the workspace, where there is one
	mount *os.File
}

// OpenKept opens what lies in a session's workspace directory, be it a directory or a file system in a file, which is
// mounted read-only and shown to nobody else.
func OpenKept(dir string) (*Kept, error) {
	image := filepath.Join(dir, imageName)
	_, err := os.Lstat(image)
	if errors.Is(err, fs.ErrNotExist) {
		k := keptBelow(dir, nil)
		_, err := os.Lstat(filepath.Join(dir, memoryName))
		k.Memory = err == nil
		return k, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := mountImage(image, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return nil, fmt.Errorf("the file system of what the agent wrote: %w", err)
	}
	return keptBelow(fmt.Sprintf("/proc/self/fd/%d", m.Fd()), m), nil
}

func keptBelow(dir string, mount *os.File) *Kept {
	return &Kept{Upper: workspace.LayersOf(dir).Upper, Git: workspace.LayersOf(workspace.GitState(dir)).Upper, mount: mount}
}

// Close lets go of it.
func (k *Kept) Close() error {
	if k == nil || k.mount == nil {
		return nil
	}
	return k.mount.Close()
}
