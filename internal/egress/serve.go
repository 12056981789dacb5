package egress

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"time"

	"agentbox/internal/audit"
	"agentbox/internal/egress/hello"
	"agentbox/internal/egress/socks"
	"agentbox/profile"
)

const (
	httpPort = 80
	dnsPort  = 53
	// silence is how long a client may say nothing before it is taken for one that lets the server speak first, which
	// then has to wait that much longer.
	silence = 100 * time.Millisecond
	// hearing is how long one that is refused has to show in which words.
	hearing = 500 * time.Millisecond
)

// serveCaptured serves a connection that knows of no proxy: where it was to go stands in its destination, and if that is
// an address that the resolver gave out, it stands for a name.
func (g *Gateway) serveCaptured(c *client) {
	at := c.Destination
	if at.Port() == dnsPort {
		g.serveNameStream(c)
		return
	}
	to := target{port: at.Port(), via: viaCapture}
	if name, ok := g.names.name(at.Addr()); ok {
		to.host = profile.Host{Name: name}
	} else if h, err := profile.AddrHost(at.Addr()); err == nil {
		to.host = h
	}
	v := g.policy.Decide(Query{Host: to.host, Port: to.port})
	switch {
	case to.host.IsZero(): // the kernel does not say where it was to go
		g.refuse(c, to, &refusal{Verdict: v}, "")
		reset(c.TCPConn)
	case (v.OK() || v.Reason == BadRequest) && g.inspects(to):
		g.serveInspected(c, to)
	case v.OK() && to.port == defaultPort:
		g.tunnel(c, to, v)
	case v.OK() && to.port != httpPort:
		g.serveUnknown(c, to, v)
	case v.OK() || v.Reason == BadRequest:
		g.servePlain(c, to)
	default:
		g.refuseCaptured(c, to, v)
	}
}

// serveUnknown serves a port that the profile names and that is neither of the web's. What speaks HTTP there is read as
// such; TLS must be for the host. Anything else passes as it is, also a server that speaks first.
func (g *Gateway) serveUnknown(c *client, to target, v Verdict) {
	switch first := c.sniff(sniffed, silence); {
	case looksLikeHTTP(first):
		g.handPlain(c, to)
	case hello.LooksLike(first):
		g.tunnel(c, to, v)
	default:
		g.tunnelRaw(c, to, v)
	}
}

// servePlain serves a port that only requests may be made at that can be read.
func (g *Gateway) servePlain(c *client, to target) {
	if first := c.sniff(sniffed, headTime); looksLikeHTTP(first) {
		g.handPlain(c, to)
		return
	}
	g.refuse(c, to, &refusal{Verdict: Verdict{Reason: WrongProtocol, Detail: "only HTTP may be spoken at this port"}}, "")
	reset(c.TCPConn)
}

// refuseCaptured refuses in the client's own words where it speaks first.
func (g *Gateway) refuseCaptured(c *client, to target, v Verdict) {
	first := c.sniff(sniffed, hearing)
	if looksLikeHTTP(first) {
		g.handPlain(c, to) // where the same verdict gets its page
		return
	}
	r := &refusal{Verdict: v}
	if !hello.LooksLike(first) {
		g.refuse(c, to, r, "")
		reset(c.TCPConn)
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(helloTime))
	_, h, _ := hello.Read(c, maxHello)
	g.refuse(c, to, r, h.ServerName)
	g.alert(c)
}

// alert ends a TLS handshake with access_denied (RFC 8446, section 6.2), which clients show.
func (g *Gateway) alert(c *client) {
	_ = c.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = c.Write(hello.Alert(hello.Fatal, hello.AccessDenied))
	_ = c.CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.CopyN(io.Discard, c, maxHello) // a reset would overtake the alert
}

// tunnel lets TLS through whose client asks for the very host that was decided about.
func (g *Gateway) tunnel(c *client, to target, v Verdict) {
	if first, h, r := g.hear(c, to); r == nil {
		g.connect(c, to, v, h.ServerName, first)
	}
}

// hear reads the ClientHello that a connection must begin with. Its refusal has been said to the client.
func (g *Gateway) hear(c *client, to target) (first []byte, h hello.Hello, r *refusal) {
	_ = c.SetReadDeadline(time.Now().Add(helloTime))
	first, h, err := hello.Read(c, maxHello)
	_ = c.SetReadDeadline(time.Time{})
	if r = checkHello(to, h, err); r != nil {
		g.refuseHello(c, to, r, h, first, err)
	}
	return first, h, r
}

// checkHello compares what TLS names with what was asked for. Without a name, or with an encrypted one, nobody knows
// which of a server's hosts would answer.
func checkHello(to target, h hello.Hello, err error) *refusal {
	no := func(r Reason, detail string) *refusal { return &refusal{Verdict: Verdict{Reason: r, Detail: detail}} }
	switch {
	case errors.Is(err, hello.ErrNotTLS):
		return no(WrongProtocol, "a connection to this port must begin with a TLS ClientHello")
	case err != nil:
		return no(WrongProtocol, "the TLS ClientHello cannot be read: "+err.Error())
	case h.ECH:
		return no(Mismatch, "the TLS ClientHello has an encrypted name (ECH)")
	case h.ServerName == "" && to.host.Name != "":
		return no(Mismatch, "the TLS ClientHello names no host (SNI)")
	case h.ServerName == "":
		return nil
	}
	if named, err := profile.ParseHost(h.ServerName); err != nil || named != to.host {
		return no(Mismatch, "the TLS ClientHello names another host (SNI)")
	}
	return nil
}

// tunnelRaw lets anything through.
func (g *Gateway) tunnelRaw(c *client, to target, v Verdict) { g.connect(c, to, v, "", nil) }

// connect dials for a client whose wish was granted, and passes bytes until one side has had enough.
func (g *Gateway) connect(c *client, to target, v Verdict, sni string, first []byte) {
	f := &flow{target: to, sni: sni, rule: v.Rule, started: time.Now()}
	g.look(c)
	server, t, r := g.dialCounted(to)
	if r != nil {
		g.refuse(c, to, r, sni)
		if first != nil && r.Reason != Unreachable {
			g.alert(c)
		} else {
			reset(c.TCPConn)
		}
		return
	}
	defer t.leave()
	f.addr = server.addr.String()
	g.pass(c, server, f, t, first)
}

// dialCounted dials under the limits of network.rule. The toll is to be left.
func (g *Gateway) dialCounted(to target) (*upstream, *toll, *refusal) {
	t, r := g.meters.enter(to.host, to.port)
	if r != nil {
		return nil, nil, r
	}
	server, err := g.dial(g.ctx, to.host, to.port)
	if err != nil {
		t.leave()
		return nil, nil, asRefusal(err)
	}
	if tcp, ok := server.Conn.(*net.TCPConn); ok {
		_ = tcp.SetKeepAlive(true)
	}
	return server, t, nil
}

func asRefusal(err error) *refusal {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	return &refusal{Verdict: Verdict{Reason: Unreachable}, err: err}
}

// serveSOCKS serves a client of SOCKS5 (RFC 1928).
func (g *Gateway) serveSOCKS(c *client) {
	_ = c.SetDeadline(time.Now().Add(helloTime))
	name, port, err := socks.Accept(c)
	if err != nil {
		g.refuse(c, target{via: viaSOCKS}, &refusal{Verdict: Verdict{Reason: WrongProtocol, Detail: err.Error()}}, "")
		return
	}
	to := target{port: port, via: viaSOCKS, asked: name}
	to.host, _ = profile.ParseHost(name)
	v := g.policy.Decide(Query{Host: to.host, Port: port})
	switch {
	case g.inspects(to) && (v.OK() || v.Reason == BadRequest):
		if socks.Reply(c, socks.Succeeded) == nil {
			_ = c.SetDeadline(time.Time{})
			g.serveInspected(c, to)
		}
		return
	case v.Reason == BadRequest || v.OK() && port == httpPort:
		if socks.Reply(c, socks.Succeeded) == nil {
			_ = c.SetDeadline(time.Time{})
			g.servePlain(c, to)
		}
		return
	case !v.OK():
		g.refuse(c, to, &refusal{Verdict: v}, "")
		_ = socks.Reply(c, socks.NotAllowed)
		return
	}
	f := &flow{target: to, rule: v.Rule, started: time.Now()}
	server, t, r := g.dialCounted(to)
	if r != nil {
		g.refuse(c, to, r, "")
		_ = socks.Reply(c, socksCode(r))
		return
	}
	defer t.leave()
	if err := socks.Reply(c, socks.Succeeded); err != nil {
		server.Close()
		return
	}
	_ = c.SetDeadline(time.Time{})
	g.carry(c, server, f, t)
}

func socksCode(r *refusal) socks.Code {
	switch {
	case r.Reason != Unreachable:
		return socks.NotAllowed
	case isRefused(r.err):
		return socks.Refused
	}
	return socks.HostUnreachable
}

// carry passes bytes for a client that used a proxy and was told that it is connected. What it sends is held back until
// it is what belongs there: TLS for the host, at port 443 in any case, and elsewhere where it is TLS. HTTP that can be
// read is read.
func (g *Gateway) carry(c *client, server *upstream, f *flow, t *toll) {
	f.addr = server.addr.String()
	if f.port != defaultPort {
		switch first := c.sniff(sniffed, silence); {
		case looksLikeHTTP(first):
			server.Close()
			g.handPlain(c, f.target)
			return
		case !hello.LooksLike(first):
			g.pass(c, server, f, t, nil)
			return
		}
	}
	first, h, r := g.hear(c, f.target)
	if r != nil {
		server.Close()
		return
	}
	f.sni = h.ServerName
	g.pass(c, server, f, t, first)
}

// refuseHello refuses a client that did not begin as it should have.
func (g *Gateway) refuseHello(c *client, to target, r *refusal, h hello.Hello, first []byte, err error) {
	g.refuse(c, to, r, h.ServerName)
	switch {
	case err == nil || errors.Is(err, hello.ErrServerName):
		g.alert(c)
	case looksLikeHTTP(first) && len(first) > 0:
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.Write(r.rawPage(to))
	default:
		reset(c.TCPConn)
	}
}

// sniffed is how many bytes tell HTTP and TLS from the rest.
const sniffed = 8

// methods are those that requests begin with; a method that nobody knows is no HTTP to us.
var methods = []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "PATCH ", "OPTIONS ", "TRACE ", "CONNECT ", "PROPFIND ", "REPORT ", "MKCOL ", "COPY ", "MOVE ", "LOCK ", "UNLOCK ", "PRI "}

// looksLikeHTTP tells a request from its first bytes. Empty lines before it are to be ignored (RFC 9112, section 2.2).
func looksLikeHTTP(first []byte) bool {
	first = bytes.TrimLeft(first, "\r\n")
	return slices.ContainsFunc(methods, func(m string) bool {
		n := min(len(m), len(first))
		return n > 0 && string(first[:n]) == m[:n]
	})
}

func (g *Gateway) refuse(c *client, to target, r *refusal, sni string) {
	g.watchName(c, to)
	e := &audit.NetworkRefused{Via: audit.Text(to.via), Host: audit.Text(to.name()), Port: to.port, SNI: audit.Text(sni),
		Reason: audit.Text(r.Reason.String()), Rule: audit.Text(r.Rule), Detail: audit.Text(r.detail())}
	e.PID, e.Argv = g.program(c)
	g.record(e)
}

func (t target) name() string {
	if t.host.IsZero() {
		return t.asked
	}
	return t.host.String()
}
