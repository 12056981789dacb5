package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"agentbox/mounts"
)

// Names in a session's directory.
const (
	treeDir  = "tree"        // holds the next one
	rootDir  = "tree/rootfs" // becomes the box's root
	stateDir = "state"       // libcontainer's
	boxName  = "box"         // the container's name in it
)

// makeSkeleton creates what the box's read-only root consists of. uid is the host id of the box's root, or -1.
func makeSkeleton(dir string, nodes []mounts.Node, uid int) error {
	base := filepath.Join(dir, rootDir)
	s := skeleton{base: base, uid: uid}
	if err := os.Mkdir(base, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Chmod(base, 0o755); err != nil {
		return err
	}
	if err := s.own("/"); err != nil {
		return err
	}
	for _, n := range nodes {
		if err := s.make(n); err != nil {
			return fmt.Errorf("the box's root: %w", err)
		}
	}
	return nil
}

type skeleton struct {
	base string
	uid  int
}

func (s skeleton) make(n mounts.Node) error {
	p := mounts.Inside(s.base, n.Path)
	var err error
	switch n.Kind {
	case mounts.NodeDir:
		err = os.Mkdir(p, fs.FileMode(n.Mode))
	case mounts.NodeLink:
		err = os.Symlink(n.Target, p)
	case mounts.NodeFile:
		content := []byte(n.Content)
		if n.Source != "" {
			if content, err = os.ReadFile(n.Source); err != nil {
				return err
			}
		}
		err = os.WriteFile(p, content, fs.FileMode(n.Mode))
	default:
		err = fmt.Errorf("%s: unknown kind %q", n.Path, n.Kind)
	}
	if err != nil {
		return err
	}
	return s.own(n.Path)
}

// own gives an entry to the box's root, so that it does not show up as nobody's.
func (s skeleton) own(p string) error {
	if s.uid < 0 {
		return nil
	}
	return os.Lchown(path.Join(s.base, p), s.uid, s.uid)
}
