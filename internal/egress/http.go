package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"

	"agentbox/internal/egress/socks"
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
	c.taken = true
	g.plain.give(&handed{Conn: c, client: c, to: to, over: func() { g.open.remove(c.TCPConn) }})
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

// A handed is a connection that speaks HTTP with what it is connected to, and whose end somebody wants to know.
type handed struct {
	net.Conn
	client *client // nil: of a unix socket
	to     target  // no host: each request names one
	over   func()
	once   sync.Once
}

// Close ends the connection.
func (h *handed) Close() error {
	h.once.Do(h.over)
	return h.Conn.Close()
}

type clientKey struct{}

func (g *Gateway) serveHTTP() {
	g.plain = newHandover()
	g.transport = &http.Transport{
		DialContext: g.dialForHTTP, DisableCompression: true, MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second, ResponseHeaderTimeout: answerTime,
		MaxResponseHeaderBytes: 1 << 20, ExpectContinueTimeout: time.Second,
		TLSClientConfig: &tls.Config{RootCAs: g.roots, MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: dialTime, ForceAttemptHTTP2: true,
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingTime},
	}
	silent := log.New(io.Discard, "", 0)
	g.relay = &httputil.ReverseProxy{Rewrite: rewrite, ModifyResponse: g.received, Transport: g.transport, FlushInterval: -1, BufferPool: &pages{},
		ErrorLog: silent, ErrorHandler: g.failed}
	server := &http.Server{
		Handler: http.HandlerFunc(g.handle), ReadHeaderTimeout: headTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHead, ErrorLog: silent,
		DisableGeneralOptionsHandler: true, TLSConfig: g.tlsConfig(), HTTP2: &http.HTTP2Config{MaxReceiveBufferPerConnection: received, MaxReceiveBufferPerStream: received},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if t, ok := c.(*tls.Conn); ok {
				c = t.NetConn()
			}
			return context.WithValue(ctx, clientKey{}, c.(*handed))
		},
	}
	g.closers = append(g.closers, func() { server.Close() })
	g.running.Go(func() { _ = server.Serve(g.plain) })
}

const (
	answerTime = 30 * time.Minute // a model may think for long before it says a word
	pingTime   = 30 * time.Second // of silence, after which an HTTP/2 server is asked whether it is there
	received   = 256 << 10        // bytes of requests on one connection that wait for a slow server
)

// pages are buffers for the bodies of responses.
type pages struct{ pool sync.Pool }

func (p *pages) Get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 32<<10)
}

func (p *pages) Put(b []byte) { p.pool.Put(&b) }

// handle serves one request.
func (g *Gateway) handle(w http.ResponseWriter, r *http.Request) {
	g.running.Add(1)
	defer g.running.Done()
	c := r.Context().Value(clientKey{}).(*handed)
	to, refused := g.target(c.to, r)
	if refused == nil && r.Method == http.MethodConnect {
		g.serveConnect(w, c.client, to)
		return
	}
	if refused == nil {
		_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/2 has it anyway
		refused = g.exchange(w, r, c.client, to)
	}
	if refused != nil {
		g.refuseRequest(c.client, to, r, refused)
		refused.write(w, r, to)
	}
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
	read := g.inspects(to) && (v.OK() || v.Reason == BadRequest)
	if !v.OK() && !plain && !read {
		fail(&refusal{Verdict: v})
		return
	}
	f := &flow{target: to, rule: v.Rule, started: time.Now()}
	var server *upstream
	t := &toll{}
	if !plain && !read {
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
	if read {
		g.serveInspected(c, to)
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
	if !ok || h.client == nil {
		conn.Close()
		return nil, errors.New("not the connection that was handed over")
	}
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	again := &client{Conn: h.client.Conn, pending: append(append([]byte{}, early...), h.client.pending...), pid: c.pid, argv: c.argv}
	_ = again.SetDeadline(time.Time{})
	return again, nil
}
