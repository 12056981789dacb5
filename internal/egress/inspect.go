package egress

import (
	"context"
	"crypto/tls"
	"errors"
)

// inspects reports whether TLS to a target is read.
func (g *Gateway) inspects(to target) bool { return g.policy.Inspects(to.host, to.port) }

var errNoAuthority = errors.New("there is no authority to sign for it")

func (g *Gateway) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(info *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if g.authority == nil {
				return nil, errNoAuthority
			}
			return g.authority.Certificate(hostText(info.Conn.(*handed).to))
		},
	}
}

// serveInspected serves a connection to a host whose TLS is read. Nothing but HTTP is spoken there.
func (g *Gateway) serveInspected(c *client, to target) {
	if to.port != defaultPort {
		first := c.sniff(sniffed, helloTime)
		if looksLikeHTTP(first) {
			g.handPlain(c, to) // rules are about plain requests as well
			return
		}
	}
	if first, _, r := g.hear(c, to); r == nil {
		g.inspect(c, to, first)
	}
}

// inspect takes the server's part in a TLS handshake that the client has begun with first.
func (g *Gateway) inspect(c *client, to target, first []byte) {
	c.pending = append(first, c.pending...)
	to.secure = true
	over := func() { g.open.remove(c.TCPConn) }
	h := &handed{Conn: c, client: c, to: to, over: over}
	c.taken = true
	conn := tls.Server(h, g.inspected)
	ctx, cancel := context.WithTimeout(g.ctx, helloTime)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		r := &refusal{Verdict: Verdict{Reason: WrongProtocol, Detail: "TLS with agentbox, which reads what is said to this host, failed: " + shortly(err)}}
		g.refuse(c, to, r, hostText(to))
		h.Close()
		return
	}
	g.plain.give(conn)
}
