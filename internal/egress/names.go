package egress

import (
	"encoding/binary"
	"net/netip"
	"sync"

	"agentbox/internal/capture"
)

// maxNames bounds what a box may make us remember. A profile names hosts, and "*." entries have no more names than that.
const maxNames = 16384

// names gives each allowed name one address of each family that stands for it in the box, for as long as the box runs.
type names struct {
	mu      sync.Mutex
	indices map[string]uint32
	list    []string
}

// firstIndex leaves out the network's address and the box's own.
const firstIndex = 2

// addresses are those of a name; ok is false when there are no more.
func (n *names) addresses(name string) (v4, v6 netip.Addr, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	i, known := n.indices[name]
	if !known {
		if len(n.list) >= maxNames {
			return v4, v6, false
		}
		if n.indices == nil {
			n.indices = map[string]uint32{}
		}
		i = firstIndex + uint32(len(n.list))
		n.indices[name] = i
		n.list = append(n.list, name)
	}
	four, six := capture.Names4.Addr().As4(), capture.Names6.Addr().As16()
	binary.BigEndian.PutUint32(four[:], binary.BigEndian.Uint32(four[:])+i)
	binary.BigEndian.PutUint32(six[12:], i)
	return netip.AddrFrom4(four), netip.AddrFrom16(six), true
}

// name is what an address stands for.
func (n *names) name(a netip.Addr) (string, bool) {
	a = a.Unmap()
	var i uint32
	switch {
	case capture.Names4.Contains(a):
		four, base := a.As4(), capture.Names4.Addr().As4()
		i = binary.BigEndian.Uint32(four[:]) - binary.BigEndian.Uint32(base[:])
	case capture.Names6.Contains(a):
		six := a.As16()
		if binary.BigEndian.Uint32(six[8:]) != 0 {
			return "", false
		}
		i = binary.BigEndian.Uint32(six[12:])
	default:
		return "", false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if i < firstIndex || i-firstIndex >= uint32(len(n.list)) {
		return "", false
	}
	return n.list[i-firstIndex], true
}
