package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"agentbox/internal/boxinit"
	"agentbox/mounts"
)

// Names in a session's directory.
const (
	rootDir  = "rootfs" // where libcontainer starts from
	stateDir = "state"  // libcontainer's
	boxName  = "box"    // the container's name in it
)

// makeMountpoints creates what libcontainer mounts on. The box's own root is made by PID 1.
func makeMountpoints(dir string) error {
	root := filepath.Join(dir, rootDir)
	if err := os.Mkdir(root, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, name := range []string{"dev", "proc", boxinit.StageDir} {
		if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(root, boxinit.Path), nil, 0o555)
}

// nodes are the entries of the box's root, parents first.
func (p Plan) nodes() ([]boxinit.Node, error) {
	list := []boxinit.Node{
		{Kind: boxinit.NodeFile, Path: boxinit.Path, Mode: 0o555},
		{Kind: boxinit.NodeDir, Path: boxinit.StageDir, Mode: 0o555},
	}
	for _, n := range p.Files.Skeleton {
		node := boxinit.Node{Path: n.Path, Mode: n.Mode, Content: []byte(n.Content)}
		switch n.Kind {
		case mounts.NodeDir:
			node.Kind = boxinit.NodeDir
		case mounts.NodeLink:
			node.Kind, node.Content = boxinit.NodeLink, []byte(n.Target)
		case mounts.NodeFile:
			node.Kind = boxinit.NodeFile
			if n.Source != "" {
				data, err := os.ReadFile(n.Source)
				if err != nil {
					return nil, fmt.Errorf("the box's root: %w", err)
				}
				node.Content = append(data, node.Content...)
			}
		default:
			return nil, fmt.Errorf("the box's root: %s: unknown kind %q", n.Path, n.Kind)
		}
		list = append(list, node)
	}
	return list, nil
}
