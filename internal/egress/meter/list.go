package meter

import (
	"maps"
	"slices"
)

// List returns every price that is known, by name, with what is usual filled in.
func (p *Prices) List() []Price {
	var list []Price
	for _, name := range slices.Sorted(maps.Keys(p.rows)) {
		list = append(list, p.rows[name])
	}
	return list
}
