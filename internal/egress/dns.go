package egress

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"agentbox/internal/audit"
	"agentbox/profile"
)

// The resolver in the box answers for allowed names alone, and with addresses that lead to us and to nobody else. A name
// that is not allowed is not asked for anywhere, so that names carry nothing out.

const (
	answerTTL = 10 // seconds; the address of a name does not change, but a program may cache what was refused
	maxPacket = 1232
	extended  = 15 // EDE option, RFC 8914
	blocked   = 15 // "Blocked", section 4.16
)

// servePackets answers on a UDP socket until it is closed.
func (g *Gateway) servePackets(conn net.PacketConn) {
	slots := make(chan struct{}, 64)
	g.loop(conn, func() error {
		buffer := make([]byte, maxPacket)
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return err
		}
		select {
		case slots <- struct{}{}:
		default:
			return nil // who asks that fast asks again
		}
		g.running.Go(func() {
			defer func() { <-slots }()
			if reply := g.answer(buffer[:n], maxPacket); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		})
		return nil
	})
}

// serveNameStream answers over TCP, see RFC 7766.
func (g *Gateway) serveNameStream(c net.Conn) {
	for {
		if err := c.SetDeadline(time.Now().Add(helloTime)); err != nil {
			return
		}
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, query); err != nil {
			return
		}
		reply := g.answer(query, 0xffff)
		if reply == nil {
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

// answer makes the reply to a message; nil when it deserves none.
func (g *Gateway) answer(query []byte, limit int) []byte {
	var parser dnsmessage.Parser
	header, err := parser.Start(query)
	if err != nil || header.Response {
		return nil
	}
	question, err := parser.Question()
	reply := reply{id: header.ID, recursion: header.RecursionDesired, limit: limit}
	if err != nil {
		return reply.bytes(dnsmessage.RCodeFormatError)
	}
	if _, err := parser.Question(); err != dnsmessage.ErrSectionDone || header.OpCode != 0 {
		return reply.bytes(dnsmessage.RCodeNotImplemented)
	}
	reply.question, reply.edns = &question, hasEDNS(&parser)
	return reply.bytes(g.resolveFor(&reply, question))
}

func hasEDNS(p *dnsmessage.Parser) bool {
	if p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return false
	}
	for range 8 {
		h, err := p.AdditionalHeader()
		if err != nil {
			return false
		}
		if h.Type == dnsmessage.TypeOPT {
			return true
		}
		if p.SkipAdditional() != nil {
			return false
		}
	}
	return false
}

// resolveFor decides about a name, and fills in its addresses.
func (g *Gateway) resolveFor(r *reply, q dnsmessage.Question) dnsmessage.RCode {
	name := strings.TrimSuffix(q.Name.String(), ".")
	host, err := profile.ParseHost(name)
	if err != nil || host.Name == "" || q.Class != dnsmessage.ClassINET {
		return g.refuseName(r, profile.Host{Name: name}, Verdict{Reason: BadHost})
	}
	verdict, ok := g.policy.AllowsName(host)
	if !ok {
		return g.refuseName(r, host, verdict)
	}
	if g.upstream == nil {
		ctx, cancel := context.WithTimeout(g.ctx, lookupTime)
		defer cancel()
		switch _, err := g.resolver.resolve(ctx, host.Name); {
		case notFound(err):
			return dnsmessage.RCodeNameError
		case err != nil:
			return dnsmessage.RCodeServerFailure
		}
	}
	v4, v6, ok := g.names.addresses(host.Name)
	if !ok {
		return dnsmessage.RCodeServerFailure
	}
	switch q.Type {
	case dnsmessage.TypeA:
		r.addr = v4
	case dnsmessage.TypeAAAA:
		r.addr = v6
	}
	return dnsmessage.RCodeSuccess
}

func (g *Gateway) refuseName(r *reply, host profile.Host, v Verdict) dnsmessage.RCode {
	r.refused = "agentbox: " + host.Name + " is not allowed by this box's profile"
	g.watchName(nil, target{host: host, via: viaDNS})
	// Reverse lookups are made by programs that print addresses, not by who wants to reach a host.
	if !strings.HasSuffix(host.Name, ".arpa") {
		g.record(&audit.NetworkRefused{Via: viaDNS, Host: audit.Text(host.Name), Reason: audit.Text(v.Reason.String()),
			Rule: audit.Text(v.Rule), Detail: audit.Text(v.Detail)})
	}
	return dnsmessage.RCodeNameError
}

// A reply is what is to be said of a question.
type reply struct {
	id        uint16
	recursion bool
	limit     int
	question  *dnsmessage.Question
	edns      bool
	addr      netip.Addr
	refused   string // for people who look: the extra text of RFC 8914
}

func (r reply) bytes(code dnsmessage.RCode) []byte {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{
		ID: r.id, Response: true, RecursionDesired: r.recursion, RecursionAvailable: true, RCode: code,
	})
	b.EnableCompression()
	if err := r.build(&b, code); err != nil {
		return nil
	}
	out, err := b.Finish()
	if err != nil || len(out) > r.limit {
		return nil
	}
	return out
}

func (r reply) build(b *dnsmessage.Builder, code dnsmessage.RCode) error {
	if r.question == nil {
		return nil
	}
	if err := b.StartQuestions(); err != nil {
		return err
	}
	if err := b.Question(*r.question); err != nil {
		return err
	}
	if err := b.StartAnswers(); err != nil {
		return err
	}
	if code == dnsmessage.RCodeSuccess && r.addr.IsValid() {
		if err := r.address(b); err != nil {
			return err
		}
	}
	if !r.edns {
		return nil
	}
	if err := b.StartAdditionals(); err != nil {
		return err
	}
	var h dnsmessage.ResourceHeader
	if err := h.SetEDNS0(maxPacket, code, false); err != nil {
		return err
	}
	var opt dnsmessage.OPTResource
	if r.refused != "" {
		opt.Options = []dnsmessage.Option{{Code: extended, Data: append(binary.BigEndian.AppendUint16(nil, blocked), r.refused...)}}
	}
	return b.OPTResource(h, opt)
}

func (r reply) address(b *dnsmessage.Builder) error {
	h := dnsmessage.ResourceHeader{Name: r.question.Name, Class: dnsmessage.ClassINET, TTL: answerTTL}
	if r.addr.Is4() {
		return b.AResource(h, dnsmessage.AResource{A: r.addr.As4()})
	}
	return b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: r.addr.As16()})
}
