package capture

import (
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The rules, in the words of nft(8):
//
//	table inet agentbox {
//	  chain out {
//	    type nat hook output priority dstnat; policy accept;
//	    meta l4proto tcp tcp dport 53 redirect to :PORT
//	    meta nfproto ipv4 ip daddr 127.0.0.0/8 return
//	    meta nfproto ipv6 ip6 daddr ::1 return
//	    meta l4proto tcp redirect to :PORT
//	  }
//	}
//
// NAT in a table of both families is of Linux 5.2. docs/decisions says why these bytes are ours.
func redirect(s *netlinkSocket, port uint16) error {
	tcp := concat(meta(unix.NFT_META_L4PROTO), equals([]byte{unix.IPPROTO_TCP}))
	toUs := redirectTo(port)
	return s.do([]*nl.NetlinkRequest{
		batch(unix.NFNL_MSG_BATCH_BEGIN),
		message(unix.NFT_MSG_NEWTABLE, text(unix.NFTA_TABLE_NAME, tableName)),
		message(unix.NFT_MSG_NEWCHAIN, chain()...),
		rule(tcp, payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2), equals(be16(dnsPort)), toUs),
		rule(meta(unix.NFT_META_NFPROTO), equals([]byte{unix.NFPROTO_IPV4}),
			payload(unix.NFT_PAYLOAD_NETWORK_HEADER, 16, 1), equals([]byte{127}), verdict(unix.NFT_RETURN)),
		rule(meta(unix.NFT_META_NFPROTO), equals([]byte{unix.NFPROTO_IPV6}),
			payload(unix.NFT_PAYLOAD_NETWORK_HEADER, 24, 16), equals(loopback6.AsSlice()), verdict(unix.NFT_RETURN)),
		rule(tcp, toUs),
		batch(unix.NFNL_MSG_BATCH_END),
	}, nil)
}

const (
	tableName = "agentbox"
	chainName = "out"
	// dstnat is NF_IP_PRI_NAT_DST.
	dstnat = -100
	// accept is NF_ACCEPT.
	accept = 1
)

// batch is the begin or the end of a transaction, see nfnetlink.h.
func batch(kind int) *nl.NetlinkRequest {
	r := nl.NewNetlinkRequest(kind, 0)
	r.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, ResId: netOrder(unix.NFNL_SUBSYS_NFTABLES)})
	return r
}

// netOrder is a number of 16 bits whose bytes in memory are in network order.
func netOrder(n uint16) uint16 { return nl.Swap16(n) }

func message(kind int, attrs ...*nl.RtAttr) *nl.NetlinkRequest {
	r := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|kind, create)
	r.AddData(&nl.Nfgenmsg{NfgenFamily: unix.NFPROTO_INET})
	for _, a := range attrs {
		r.AddData(a)
	}
	return r
}

func chain() []*nl.RtAttr {
	hook := nested(unix.NFTA_CHAIN_HOOK,
		nl.NewRtAttr(unix.NFTA_HOOK_HOOKNUM, be32(unix.NF_INET_LOCAL_OUT)), nl.NewRtAttr(unix.NFTA_HOOK_PRIORITY, be32(uint32(0x1_0000_0000+dstnat))))
	return []*nl.RtAttr{text(unix.NFTA_CHAIN_TABLE, tableName), text(unix.NFTA_CHAIN_NAME, chainName), hook,
		text(unix.NFTA_CHAIN_TYPE, "nat"), nl.NewRtAttr(unix.NFTA_CHAIN_POLICY, be32(accept))}
}

// An expression is a list element of a rule: what it is called and its parameters.
type expressions []*nl.RtAttr

func rule(parts ...expressions) *nl.NetlinkRequest {
	list := nested(unix.NFTA_RULE_EXPRESSIONS, concat(parts...)...)
	r := message(unix.NFT_MSG_NEWRULE, text(unix.NFTA_RULE_TABLE, tableName), text(unix.NFTA_RULE_CHAIN, chainName), list)
	r.Flags = r.Flags&^unix.NLM_F_EXCL | unix.NLM_F_APPEND
	return r
}

func concat(parts ...expressions) (all expressions) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func expression(name string, params ...*nl.RtAttr) expressions {
	return expressions{nested(unix.NFTA_LIST_ELEM, text(unix.NFTA_EXPR_NAME, name), nested(unix.NFTA_EXPR_DATA, params...))}
}

// register is the one that every expression here uses.
var register = be32(unix.NFT_REG_1)

func meta(key uint32) expressions {
	return expression("meta", nl.NewRtAttr(unix.NFTA_META_KEY, be32(key)), nl.NewRtAttr(unix.NFTA_META_DREG, register))
}

func payload(base, offset, size uint32) expressions {
	return expression("payload", nl.NewRtAttr(unix.NFTA_PAYLOAD_DREG, register), nl.NewRtAttr(unix.NFTA_PAYLOAD_BASE, be32(base)),
		nl.NewRtAttr(unix.NFTA_PAYLOAD_OFFSET, be32(offset)), nl.NewRtAttr(unix.NFTA_PAYLOAD_LEN, be32(size)))
}

func equals(value []byte) expressions {
	return expression("cmp", nl.NewRtAttr(unix.NFTA_CMP_SREG, register), nl.NewRtAttr(unix.NFTA_CMP_OP, be32(unix.NFT_CMP_EQ)),
		nested(unix.NFTA_CMP_DATA, nl.NewRtAttr(unix.NFTA_DATA_VALUE, value)))
}

func verdict(code int32) expressions {
	return expression("immediate", nl.NewRtAttr(unix.NFTA_IMMEDIATE_DREG, be32(unix.NFT_REG_VERDICT)),
		nested(unix.NFTA_IMMEDIATE_DATA, nested(unix.NFTA_DATA_VERDICT, nl.NewRtAttr(unix.NFTA_VERDICT_CODE, be32(uint32(code))))))
}

func redirectTo(port uint16) expressions {
	load := expression("immediate", nl.NewRtAttr(unix.NFTA_IMMEDIATE_DREG, register),
		nested(unix.NFTA_IMMEDIATE_DATA, nl.NewRtAttr(unix.NFTA_DATA_VALUE, be16(port))))
	return concat(load, expression("redir", nl.NewRtAttr(unix.NFTA_REDIR_REG_PROTO_MIN, register)))
}

func text(kind int, s string) *nl.RtAttr { return nl.NewRtAttr(kind, nl.ZeroTerminated(s)) }

func nested(kind int, children ...*nl.RtAttr) *nl.RtAttr {
	a := nl.NewRtAttr(kind|unix.NLA_F_NESTED, nil)
	for _, c := range children {
		a.AddChild(c)
	}
	return a
}
