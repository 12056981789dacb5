package processes

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"

	"github.com/prometheus/procfs"

	"agentbox/internal/audit"
)

// A Socket is one of a network namespace. Which process holds it is in the processes' files, by inode: "socket:[INODE]".
type Socket struct {
	Protocol string     `json:"protocol"` // tcp, tcp6, udp, udp6 or unix
	Local    audit.Text `json:"local"`    // an address, or the path of a unix socket
	Remote   audit.Text `json:"remote,omitempty"`
	State    string     `json:"state"` // in words, for TCP; a number of the kernel's, for others
	Inode    uint64     `json:"inode"`
}

// states are those of include/net/tcp_states.h.
var states = []string{1: "established", "syn-sent", "syn-recv", "fin-wait-1", "fin-wait-2", "time-wait", "close", "close-wait", "last-ack", "listen", "closing"}

// sockets are those of the network namespace of a process.
func sockets(pid int) ([]Socket, error) {
	proc, err := procfs.NewFS(fmt.Sprintf("/proc/%d", pid)) // whose net is a directory like that of /proc itself
	if err != nil {
		return nil, err
	}
	list := []Socket{}
	add := func(protocol string, table procfs.NetTCP) {
		for _, s := range table {
			list = append(list, Socket{protocol, address(s.LocalAddr.String(), s.LocalPort), address(s.RemAddr.String(), s.RemPort), state(s.St), s.Inode})
		}
	}
	tcp, err1 := proc.NetTCP()
	tcp6, err2 := proc.NetTCP6()
	udp, err3 := proc.NetUDP()
	udp6, err4 := proc.NetUDP6()
	unix, err5 := proc.NetUNIX()
	add("tcp", tcp)
	add("tcp6", tcp6)
	add("udp", procfs.NetTCP(udp))
	add("udp6", procfs.NetTCP(udp6))
	if unix != nil {
		for _, s := range unix.Rows {
			list = append(list, Socket{Protocol: "unix", Local: audit.Text(s.Path), State: s.State.String(), Inode: s.Inode})
		}
	}
	slices.SortFunc(list, func(a, b Socket) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Local, b.Local), cmp.Compare(a.Inode, b.Inode))
	})
	for _, err := range []error{err1, err2, err3, err4, err5} {
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6 has no such table
			return list, err
		}
	}
	return list, nil
}

func address(ip string, port uint64) audit.Text {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return audit.Text(ip + ":" + strconv.FormatUint(port, 10))
	}
	return audit.Text(netip.AddrPortFrom(a, uint16(port)).String())
}

func state(n uint64) string {
	if n > 0 && n < uint64(len(states)) {
		return states[n]
	}
	return strconv.FormatUint(n, 10)
}
