package mounts

import (
	"path"
	"slices"
	"strings"
)

// maxMasks bounds the layer of masks: a project that needs more is better served by masking a directory.
const maxMasks = 200_000

// overlay lets the agent write above the project. Masked names are whiteouts in a layer between the two, so that they
// hold whatever the host puts under them and no rename moves them away. Protected names need no mount: what the agent
// makes of them stays in its own layer, and applying it takes a person's word.
func (b *builder) overlay(m Mount) {
	m.Type = "overlay"
	b.mount(m)
	b.out.Writable = append(b.out.Writable, m.Target)
	for _, p := range b.host.Mounted {
		b.find("workspace.mode", "something is mounted on %s, and an overlay would show what lies below it", p)
	}
	masks := map[string]Mask{}
	for _, one := range slices.Concat(b.host.Masked, b.host.Absent) {
		masks[one.Path] = Mask{Path: one.Path, Key: one.Key}
		for d := path.Dir(one.Path); d != "."; d = path.Dir(d) {
			if _, ok := masks[d]; ok {
				break
			}
			place := b.host.Ancestors[d]
			masks[d] = Mask{Path: d, Dir: true, Mode: place.Mode, MTime: place.MTime}
		}
	}
	if len(masks) > maxMasks {
		b.find("workspace.mask", "the masked paths need %d entries; %d is the most", len(masks), maxMasks)
		return
	}
	b.out.Masks = make([]Mask, 0, len(masks))
	for _, one := range masks {
		if !b.hiddenAbove(masks, one.Path) {
			b.out.Masks = append(b.out.Masks, one)
		}
	}
	slices.SortFunc(b.out.Masks, func(x, y Mask) int { return strings.Compare(x.Path, y.Path) })
}

// hiddenAbove reports whether a directory above a path is masked as a whole.
func (b *builder) hiddenAbove(masks map[string]Mask, p string) bool {
	for d := path.Dir(p); d != "."; d = path.Dir(d) {
		if one, ok := masks[d]; ok && !one.Dir {
			return true
		}
	}
	return false
}
