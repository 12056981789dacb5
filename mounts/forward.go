package mounts

import (
	"fmt"
	"slices"
	"strings"

	"agentbox/profile"
)

// SocketDir is where the box has the sockets that lead to the hosts of credentials.
const SocketDir = "/run/egress"

// forwards makes the directories for the sockets of network.forward, which lie at the same path as on the host, and for
// those of credentials.
func (b *builder) forwards() {
	if b.profile.Network.Mode == "none" {
		return
	}
	for i, entry := range b.profile.Network.Forward {
		p, ok := strings.CutPrefix(entry, profile.UnixForward)
		if !ok {
			continue
		}
		if rest, ok := strings.CutPrefix(p, "/var/run/"); ok {
			p = "/run/" + rest // where the box's link leads
		}
		base := b.mountOver(p)
		if base == nil || base.Type != "tmpfs" {
			b.find(fmt.Sprintf("network.forward[%d]", i), "%s lies on no tmpfs of the box: add a [[mount]] of the type \"tmpfs\" for its directory", p)
			continue
		}
		for _, d := range parents(p) {
			if Below(d, base.Target) && d != base.Target {
				b.out.Dirs = append(b.out.Dirs, d)
			}
		}
	}
	for _, c := range b.profile.Credentials {
		if c.SocketEnv != "" && !slices.Contains(b.out.Dirs, SocketDir) {
			b.out.Dirs = append(b.out.Dirs, SocketDir)
		}
	}
}
