package permission

import (
	"fmt"
	"slices"
	"strings"

	"agentbox/profile"
)

// domain reads the host of a WebFetch rule. The client compares names without a port, so a Rule with one would match
// nothing there.
func (c *compiler) domain(r Rule, list string) (string, bool) {
	const hint = `write "WebFetch(domain:example.com)"`
	host, ok := strings.CutPrefix(r.Spec, "domain:")
	if !ok || strings.HasPrefix(host, "@") {
		c.refuse(fmt.Sprintf("%q names no domain", r), hint)
		return "", false
	}
	if !c.valid(list, host) {
		return "", false
	}
	p, err := profile.ParseHostPattern(host, true)
	if err != nil || p.Port != 0 || p.Range.IsValid() {
		c.refuse(fmt.Sprintf("%q names more than a domain", r), hint+"; ports and ranges of addresses go into network.allow and network.deny")
		return "", false
	}
	return host, true
}

// denyDomain makes an entry of network.deny.
func (c *compiler) denyDomain(r Rule) {
	if r.All() {
		c.note("network.deny", "*")
		c.effect(Egress, "network.deny *: nothing but what network.allow and permissions.allow name")
		return
	}
	if host, ok := c.domain(r, "network.deny"); ok {
		c.note("network.deny", host)
		c.effect(Egress, "network.deny "+host)
	}
}

// allowDomain makes an entry of network.allow.
func (c *compiler) allowDomain(r Rule) {
	if r.All() {
		c.refuse(fmt.Sprintf("%q would let everything out", r), "name the domains")
		return
	}
	host, ok := c.domain(r, "network.allow")
	if !ok {
		return
	}
	c.note("network.allow", host)
	c.effect(Egress, "network.allow "+host)
	switch {
	case c.p.Network.Mode != "allowlist":
		c.why(`nothing leaves the box: network.mode is "none"`)
	case !slices.Contains(c.p.Network.Allow, host):
		c.row.Widens = true
		c.why("every program in the box may then reach it, not the tool alone")
	}
}
