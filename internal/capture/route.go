package capture

import (
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Addresses of the box itself. Without one beyond the loopback, getaddrinfo(3) with AI_ADDRCONFIG finds no name.
var (
	own4 = netip.MustParseAddr("198.18.0.1") // RFC 2544: never routed
	own6 = netip.MustParseAddr("fd61:6774:6278::1")
)

// Names4 and Names6 are the addresses that stand for names in the box: of the ranges that are never routed (RFC 2544) and
// of local use (RFC 4193). The first of each is the box's own.
var (
	Names4 = netip.MustParsePrefix("198.18.0.0/15")
	Names6 = netip.MustParsePrefix("fd61:6774:6278::/64")
)

// table is the routing table that TCP alone looks at.
const table = 52

// ruleOrder puts it after the local table and before the main one.
const ruleOrder = 100

const loopbackIndex = 1

// route makes every address local, for TCP: ip rule add ipproto tcp lookup 52; ip route add local default dev lo table 52.
func route(s *netlinkSocket, v6 bool) error {
	requests := []*nl.NetlinkRequest{address(own4), tcpRule(unix.AF_INET), everywhere(unix.AF_INET, own4)}
	if v6 {
		requests = append(requests, address(own6), tcpRule(unix.AF_INET6), everywhere(unix.AF_INET6, own6))
	}
	for _, r := range requests {
		if err := s.do([]*nl.NetlinkRequest{r}, nil); err != nil {
			return err
		}
	}
	return nil
}

// up is: ip link set lo up.
func up() *nl.NetlinkRequest {
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index, m.Flags, m.Change = loopbackIndex, unix.IFF_UP, unix.IFF_UP
	r := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	r.AddData(m)
	return r
}

const create = unix.NLM_F_CREATE | unix.NLM_F_EXCL | unix.NLM_F_ACK

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func address(a netip.Addr) *nl.NetlinkRequest {
	m := nl.NewIfAddrmsg(family(a))
	m.Prefixlen, m.Index, m.Flags, m.Scope = uint8(a.BitLen()), loopbackIndex, unix.IFA_F_NODAD, unix.RT_SCOPE_UNIVERSE
	r := nl.NewNetlinkRequest(unix.RTM_NEWADDR, create)
	r.AddData(m)
	r.AddData(nl.NewRtAttr(unix.IFA_LOCAL, a.AsSlice()))
	r.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, a.AsSlice()))
	return r
}

// tcpRule is a struct fib_rule_hdr, which has the layout of struct rtmsg. FRA_IP_PROTO is of Linux 4.17.
func tcpRule(family int) *nl.NetlinkRequest {
	m := nl.NewRtMsg()
	m.Family, m.Table, m.Type, m.Protocol, m.Scope = uint8(family), table, nl.FR_ACT_TO_TBL, 0, 0
	r := nl.NewNetlinkRequest(unix.RTM_NEWRULE, create)
	r.AddData(m)
	r.AddData(nl.NewRtAttr(nl.FRA_PRIORITY, u32(ruleOrder)))
	r.AddData(nl.NewRtAttr(nl.FRA_IP_PROTO, []byte{unix.IPPROTO_TCP}))
	return r
}

func everywhere(family int, from netip.Addr) *nl.NetlinkRequest {
	m := nl.NewRtMsg()
	m.Family, m.Table, m.Type, m.Scope, m.Protocol = uint8(family), table, unix.RTN_LOCAL, unix.RT_SCOPE_HOST, unix.RTPROT_STATIC
	r := nl.NewNetlinkRequest(unix.RTM_NEWROUTE, create)
	r.AddData(m)
	r.AddData(nl.NewRtAttr(unix.RTA_OIF, u32(loopbackIndex)))
	r.AddData(nl.NewRtAttr(unix.RTA_PREFSRC, from.AsSlice()))
	return r
}
