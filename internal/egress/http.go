package egress

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"agentbox/internal/egress/socks"
	"agentbox/profile"
)

// serveProxy serves a client of the explicit proxy, which speaks HTTP or SOCKS5.
func (g *Gateway) serveProxy(c *client) {
	const socks4, socks5 = 4, 5
	first := c.sniff(1, helloTime)
	switch {
	case len(first) == 0:
	case first[0] == socks4:
		g.refuse(c, target{via: viaSOCKS}, &refusal{Verdict: Verdict{Reason: WrongProtocol, Detail: socks.ErrVersion.Error()}}, "")
	case first[0] == socks5:
		g.serveSOCKS(c)
	default:
		g.handPlain(c, target{})
	}
}

// handPlain gives a client that speaks HTTP to the server that does; to is what it is connected with, and the zero value
// if it names that itself.
func (g *Gateway) handPlain(c *client, to target) {
	c.to, c.taken = to, true
	g.plain.give(&handed{client: c, over: func() { g.open.remove(c.TCPConn) }})
}

// A handover is a listener whose connections are given to it.
type handover struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (h *handover) give(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.done:
		c.Close()
	}
}

// Accept waits for the next one.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close ends it.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr is nowhere.
func (h *handover) Addr() net.Addr { return &net.TCPAddr{} }

// A handed is a client's connection whose end somebody wants to know.
type handed struct {
	*client
	over func()
	once sync.Once
}

// Close ends the connection.
func (h *handed) Close() error {
	h.once.Do(h.over)
	return h.TCPConn.Close()
}

type clientKey struct{}

func (g *Gateway) serveHTTP() {
	g.plain = newHandover()
	g.transport = &http.Transport{
		DialContext: g.dialForHTTP, DisableCompression: true, MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second, ResponseHeaderTimeout: 5 * time.Minute,
		MaxResponseHeaderBytes: 1 << 20, ExpectContinueTimeout: time.Second,
	}
	silent := log.New(io.Discard, "", 0)
	g.relay = &httputil.ReverseProxy{Rewrite: rewrite, Transport: g.transport, FlushInterval: -1, ErrorLog: silent, ErrorHandler: g.failed}
	server := &http.Server{
		Handler: http.HandlerFunc(g.handle), ReadHeaderTimeout: headTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHead, ErrorLog: silent,
		DisableGeneralOptionsHandler: true,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, clientKey{}, c.(*handed))
		},
	}
	g.closers = append(g.closers, func() { server.Close() })
	g.running.Go(func() { _ = server.Serve(g.plain) })
}

// handle serves one request.
func (g *Gateway) handle(w http.ResponseWriter, r *http.Request) {
	g.running.Add(1)
	defer g.running.Done()
	c := r.Context().Value(clientKey{}).(*handed)
	to, refused := requestTarget(c.to, r)
	if refused == nil && r.Method == http.MethodConnect {
		g.serveConnect(w, c.client, to)
		return
	}
	if refused == nil {
		refused = g.exchange(w, r, c.client, to)
	}
	if refused != nil {
		g.refuseRequest(c.client, to, r, refused)
		refused.write(w, r, to)
	}
}

// requestTarget is what a request wants to reach. The host of a request on a connection to a host must be that one: a
// server may have others, which nobody decided about.
func requestTarget(fixed target, r *http.Request) (target, *refusal) {
	no := func(to target, reason Reason, detail string) (target, *refusal) {
		return to, &refusal{Verdict: Verdict{Reason: reason, Detail: detail}}
	}
	to := target{via: viaHTTP, asked: r.Host}
	if fixed.host.IsZero() && r.Method != http.MethodConnect {
		switch {
		case r.URL.Host == "":
			return no(to, WrongProtocol, "this is a proxy: the request must name a host")
		case r.URL.Scheme != "http":
			return no(to, WrongProtocol, "the proxy takes \"http\" URLs; for others use CONNECT")
		}
	}
	port := uint16(httpPort)
	if r.Method == http.MethodConnect {
		port, to.via = 0, viaConnect
	}
	var ok bool
	if to.host, to.port, ok = parseAuthority(r.Host, port); !ok {
		return no(to, BadHost, "the request names no host and port that agentbox can read")
	}
	if fixed.host.IsZero() {
		return to, nil
	}
	if r.Method == http.MethodConnect {
		return no(fixed, WrongProtocol, "CONNECT is for a proxy, and this is a connection to a host")
	}
	if !strings.Contains(strings.TrimPrefix(r.Host, "["+to.host.Addr.String()+"]"), ":") {
		to.port = fixed.port // a client may leave it out where it is not the default, and nothing follows from it
	}
	if to.host != fixed.host || to.port != fixed.port {
		fixed.asked = r.Host
		return no(fixed, Mismatch, "the request names "+to.host.String()+", and the connection is to another host")
	}
	to.via = fixed.via
	return to, nil
}

// parseAuthority reads "host:port" (RFC 3986, section 3.2); without a port it is the given one, and with 0 there must be one.
func parseAuthority(s string, port uint16) (profile.Host, uint16, bool) {
	name, digits, found := s, "", false
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		name, digits, found = s[:i], s[i+1:], true
	}
	if found {
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || n == 0 || digits[0] == '+' {
			return profile.Host{}, 0, false
		}
		port = uint16(n)
	}
	if strings.Contains(name, ":") && !strings.HasPrefix(name, "[") {
		return profile.Host{}, 0, false
	}
	h, err := profile.ParseHost(name)
	return h, port, err == nil && port != 0
}

// serveConnect serves CONNECT (RFC 9110, section 9.3.6). The upstream is dialled before the answer, so that its failure
// can be told.
func (g *Gateway) serveConnect(w http.ResponseWriter, c *client, to target) {
	v := g.policy.Decide(Query{Host: to.host, Port: to.port})
	plain := v.Reason == BadRequest || v.OK() && to.port == httpPort
	fail := func(r *refusal) {
		g.refuse(c, to, r, "")
		r.write(w, nil, to)
	}
	if !v.OK() && !plain {
		fail(&refusal{Verdict: v})
		return
	}
	f := &flow{target: to, rule: v.Rule, started: time.Now()}
	var server *upstream
	t := &toll{}
	if !plain {
		var r *refusal
		if server, t, r = g.dialCounted(to); r != nil {
			fail(r)
			return
		}
		defer t.leave()
		defer server.Close()
	}
	c, err := hijack(w, c)
	if err != nil {
		return
	}
	defer func() {
		if !c.taken {
			c.close()
			g.open.remove(c.TCPConn)
		}
	}()
	if _, err := io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	if plain {
		// What it may reach there is decided with each request.
		if first := c.sniff(sniffed, headTime); looksLikeHTTP(first) && len(first) > 0 {
			g.handPlain(c, to)
			return
		}
		g.refuse(c, to, &refusal{Verdict: Verdict{Reason: WrongProtocol, Detail: "only HTTP may be spoken at this port"}}, "")
		reset(c.TCPConn)
		return
	}
	g.look(c)
	g.carry(c, server, f, t)
}

// hijack takes a connection back from the server of HTTP.
func hijack(w http.ResponseWriter, c *client) (*client, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	h, ok := conn.(*handed)
	if !ok {
		conn.Close()
		return nil, errors.New("not the connection that was handed over")
	}
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	again := &client{Conn: h.Conn, pending: append(append([]byte{}, early...), h.pending...), pid: c.pid, argv: c.argv}
	_ = again.SetDeadline(time.Time{})
	return again, nil
}

// exchange passes one plain request on and its response back. Its refusal is to be written.
func (g *Gateway) exchange(w http.ResponseWriter, r *http.Request, c *client, to target) *refusal {
	clean, exact := requestPath(r)
	v := g.policy.Decide(Query{Host: to.host, Port: to.port, Method: r.Method, Path: clean})
	if v.OK() && !exact && len(g.policy.rulesFor(to.host, to.port)) > 0 {
		v = Verdict{Reason: BadRequest, Rule: g.policy.rulesFor(to.host, to.port)[0].key, Detail: "the path can be read in more than one way"}
	}
	if !v.OK() {
		return &refusal{Verdict: v}
	}
	t, refused := g.meters.enter(to.host, to.port)
	if refused != nil {
		return refused
	}
	defer t.leave()
	g.look(c)
	e := newExchange(w, r, &flow{target: to, rule: v.Rule, started: time.Now()}, t)
	if t.grant(e.head) < e.head {
		return &refusal{Verdict: Verdict{Reason: TooMany, Detail: errQuota.Error()}}
	}
	e.client = c
	defer func() { // also when the copying of the response is broken off, which is a panic of net/http
		if e.refused == nil {
			g.exchanged(e)
		}
	}()
	g.relay.ServeHTTP(e, e.request)
	return nil
}

// requestPath is the path that rules are about. It is exact if every server reads it so: no part is "." or "..", none is
// empty, and nothing that separates parts is escaped.
func requestPath(r *http.Request) (clean string, exact bool) {
	p := r.URL.Path
	if p == "" {
		p = "/"
	}
	escaped := strings.ToLower(r.URL.EscapedPath())
	odd := strings.Contains(escaped, "%2f") || strings.Contains(escaped, "%5c") || strings.Contains(escaped, "%25") || strings.ContainsAny(p, "\\;\x00")
	want := path.Clean(p)
	if strings.HasSuffix(p, "/") && want != "/" {
		want += "/"
	}
	return p, !odd && want == p
}
