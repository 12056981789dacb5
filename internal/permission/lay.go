package permission

import (
	"fmt"
	"slices"
	"strings"

	"agentbox/profile"
)

// An item is one that a Rule put on a list of the profile.
type item struct{ list, value, rule string }

// note puts what came of the rule at hand on a list, once.
func (c *compiler) note(list, value string) {
	items := c.out.list(list)
	if slices.Contains(*items, value) {
		return
	}
	*items = append(*items, value)
	c.out.items = append(c.out.items, item{list, value, c.row.Key})
}

// list is the field that belongs to a list of the profile.
func (c *Compiled) list(name string) *[]string {
	switch name {
	case "workspace.mask":
		return &c.WorkspaceMask
	case "workspace.protect":
		return &c.WorkspaceProtect
	case "rootfs.mask":
		return &c.RootfsMask
	case "network.allow":
		return &c.NetworkAllow
	}
	return &c.NetworkDeny
}

// Lay appends the lists to those of the profile that was compiled. Each item has the origin of its rule, so that a
// refusal names the line that the person wrote.
func (c Compiled) Lay(e *profile.Effective) {
	lists := map[string]*[]string{
		"workspace.mask": &e.Profile.Workspace.Mask, "workspace.protect": &e.Profile.Workspace.Protect,
		"rootfs.mask": &e.Profile.Rootfs.Mask, "network.allow": &e.Profile.Network.Allow, "network.deny": &e.Profile.Network.Deny,
	}
	for _, it := range c.items {
		list := lists[it.list]
		if holds(*list, it.value) {
			continue
		}
		if o, ok := e.Origins[it.rule]; ok {
			e.Origins[fmt.Sprintf("%s[%d]", it.list, len(*list))] = o
		}
		*list = append(slices.Clip(*list), it.value)
	}
}

// holds reports that a list has an item which no later exception takes back.
func holds(list []string, value string) bool {
	for _, have := range slices.Backward(list) {
		switch {
		case have == value:
			return true
		case strings.HasPrefix(have, "!"):
			return false
		}
	}
	return false
}
