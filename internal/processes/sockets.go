package processes

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"

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

// maxSockets bounds what is kept of them, and maxTable what is read of those of the type unix.
const (
	maxSockets = 50_000
	maxTable   = 64 << 20
)

// unixStates are those of include/uapi/linux/net.h.
var unixStates = []string{"free", "unconnected", "connecting", "connected", "disconnecting"}

// sockets are those of the network namespace of a process, and how many more there are.
func sockets(pid int) (list []Socket, omitted int, err error) {
	proc, err := procfs.NewFS(fmt.Sprintf("/proc/%d", pid)) // whose net is a directory like that of /proc itself
	if err != nil {
		return []Socket{}, 0, err
	}
	list = []Socket{}
	add := func(protocol string, table procfs.NetTCP) {
		for _, s := range table {
			list = append(list, Socket{protocol, address(s.LocalAddr.String(), s.LocalPort), address(s.RemAddr.String(), s.RemPort), state(s.St), s.Inode})
		}
	}
	//lint:ignore SA1019 netlink(7), which is named instead, answers about the caller's own network namespace alone
	tcp, err1 := proc.NetTCP()
	//lint:ignore SA1019 as above
	tcp6, err2 := proc.NetTCP6()
	udp, err3 := proc.NetUDP()
	udp6, err4 := proc.NetUDP6()
	table, err5 := readAtMost(fmt.Sprintf("/proc/%d/net/unix", pid), maxTable)
	add("tcp", tcp)
	add("tcp6", tcp6)
	add("udp", procfs.NetTCP(udp))
	add("udp6", procfs.NetTCP(udp6))
	list = append(list, unixSockets(table)...)
	slices.SortFunc(list, func(a, b Socket) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Local, b.Local), cmp.Compare(a.Inode, b.Inode))
	})
	omitted = max(0, len(list)-maxSockets)
	list = list[:len(list)-omitted]
	for _, err := range []error{err1, err2, err3, err4, err5} {
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6 has no such table
			return list, omitted, err
		}
	}
	return list, omitted, nil
}

// unixSockets reads the table of proc_net(5). The name of a socket is what its owner likes, with spaces and line breaks: a
// line that is none of the kernel's goes on with the name before, and one that looks like it may still be such a name.
func unixSockets(table []byte) (list []Socket) {
	for line := range strings.Lines(string(table)) {
		if s, ok := unixSocket(strings.TrimSuffix(line, "\n")); ok {
			list = append(list, s)
		} else if len(list) > 0 {
			list[len(list)-1].Local += audit.Text("\n" + strings.TrimSuffix(line, "\n"))
		}
	}
	return list
}

// unixSocket reads one line of unix_seq_show in net/unix/af_unix.c: an address, five numbers, an inode, and a name that may
// be missing.
func unixSocket(line string) (s Socket, ok bool) {
	var part [7]string
	rest := line
	for i := range part {
		part[i], rest, _ = strings.Cut(strings.TrimLeft(rest, " "), " ")
	}
	inode, err := strconv.ParseUint(part[6], 10, 64)
	if err != nil || !strings.HasSuffix(part[0], ":") || len(part[1]) != 8 || len(part[2]) != 8 || len(part[3]) != 8 || len(part[4]) != 4 || len(part[5]) != 2 {
		return s, false // the heading, for one
	}
	state, err := strconv.ParseUint(part[5], 16, 8)
	if err != nil {
		return s, false
	}
	s = Socket{Protocol: "unix", Local: audit.Text(rest), State: strconv.FormatUint(state, 10), Inode: inode}
	switch {
	case part[3] == "00010000": // __SO_ACCEPTCON
		s.State = "listen"
	case int(state) < len(unixStates):
		s.State = unixStates[state]
	}
	return s, true
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
