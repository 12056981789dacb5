package workspace

import (
	"fmt"
	"slices"
)

// Tracked says which of these files, relative to the project, are in its git index, so that their content is in the
// object store as well. Without a repository none is.
func Tracked(project string, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	d, err := openDir(project)
	if err != nil {
		return nil, err
	}
	defer d.close()
	data, err := d.index(".git/index")
	if err != nil {
		return nil, fmt.Errorf(".git/index: %w", err)
	}
	if data == nil {
		return nil, nil
	}
	wanted := map[string]bool{}
	for _, name := range names {
		wanted[name] = true
	}
	return inIndex(data, wanted)
}

func inIndex(data []byte, wanted map[string]bool) ([]string, error) {
	for _, hash := range hashSizes {
		var list []string
		if eachEntry(data, hash, func(e entry) {
			if wanted[string(e.name)] {
				list = append(list, string(e.name))
			}
		}) {
			slices.Sort(list)
			return slices.Compact(list), nil // a file in conflict has up to three entries
		}
	}
	return nil, fmt.Errorf(".git/index: %w", errIndex)
}
