package egress

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// ownFor is how long the list of this machine's addresses is good: a laptop moves.
const ownFor = 10 * time.Second

// OwnAddresses tells the addresses of this machine, all of which lead to it and none through a firewall. When they cannot
// be read, every address is one.
func OwnAddresses() func(netip.Addr) bool {
	var mu sync.Mutex
	var at time.Time
	var known map[netip.Addr]bool
	return func(a netip.Addr) bool {
		mu.Lock()
		defer mu.Unlock()
		if known == nil || time.Since(at) > ownFor {
			known, at = interfaceAddresses(), time.Now()
		}
		return known == nil || known[a.WithZone("").Unmap()]
	}
}

func interfaceAddresses() map[netip.Addr]bool {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	known := map[netip.Addr]bool{}
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			known[p.Addr().WithZone("").Unmap()] = true
		}
	}
	return known
}
