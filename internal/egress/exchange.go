package egress

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"strconv"
	"sync/atomic"
	"time"

	"agentbox/internal/audit"
)

// An exchange is a plain request and its response, on their way.
type exchange struct {
	http.ResponseWriter
	request *http.Request
	flow    *flow
	toll    *toll
	client  *client
	head    int64 // bytes of the request's head
	status  int
	refused *refusal
	addr    atomic.Pointer[string]
}

type exchangeKey struct{}

func newExchange(w http.ResponseWriter, r *http.Request, f *flow, t *toll) *exchange {
	e := &exchange{ResponseWriter: w, flow: f, toll: t, head: headSize(r)}
	f.out.Add(e.head)
	ctx := context.WithValue(r.Context(), exchangeKey{}, e)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		addr := addrPort(i.Conn.RemoteAddr()).String()
		e.addr.Store(&addr)
	}})
	e.request = r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		e.request.Body = &countedBody{r.Body, e}
	}
	return e
}

// headSize is about what a request's head has: its names and values count, for they carry data as well as a body does.
func headSize(r *http.Request) int64 {
	n := len(r.Method) + len(r.RequestURI) + len(r.Host) + len(" HTTP/1.1\r\nHost: \r\n\r\n")
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(v) + len(": \r\n")
		}
	}
	return int64(n)
}

// countedBody counts what is read of a request's body, as far as it may be sent.
type countedBody struct {
	io.ReadCloser
	e *exchange
}

// Read reads as far as bytes_out goes.
func (b *countedBody) Read(p []byte) (int, error) { return b.e.take(p, b.ReadCloser.Read) }

func (e *exchange) take(p []byte, read func([]byte) (int, error)) (int, error) {
	granted := e.toll.grant(int64(len(p)))
	if granted == 0 && len(p) > 0 {
		e.flow.failure = errQuota
		return 0, errQuota
	}
	n, err := read(p[:min(int64(len(p)), granted)])
	if granted != noQuota {
		e.toll.refund(granted - int64(n))
	}
	e.flow.out.Add(int64(n))
	return n, err
}

// WriteHeader notes the status.
func (e *exchange) WriteHeader(status int) {
	if status >= http.StatusOK || status == http.StatusSwitchingProtocols {
		e.status = status
	}
	e.ResponseWriter.WriteHeader(status)
}

// Write counts what comes back.
func (e *exchange) Write(p []byte) (int, error) {
	n, err := e.ResponseWriter.Write(p)
	e.flow.in.Add(int64(n))
	return n, err
}

// Unwrap is for http.ResponseController.
func (e *exchange) Unwrap() http.ResponseWriter { return e.ResponseWriter }

// Hijack is for a connection that becomes something else than HTTP, as a WebSocket does (RFC 6455).
func (e *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, buffered, err := http.NewResponseController(e.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	_ = c.SetDeadline(time.Time{})
	e.status = http.StatusSwitchingProtocols
	return &countedConn{c, e}, buffered, nil
}

// countedConn counts both ways.
type countedConn struct {
	net.Conn
	e *exchange
}

// Read reads as far as bytes_out goes.
func (c *countedConn) Read(p []byte) (int, error) { return c.e.take(p, c.Conn.Read) }

// Write counts what comes back.
func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.e.flow.in.Add(int64(n))
	return n, err
}

// rewrite makes the request that is sent on. Its host is the one that was decided about, whatever the client wrote.
func rewrite(r *httputil.ProxyRequest) {
	e := r.In.Context().Value(exchangeKey{}).(*exchange)
	to := e.flow.target
	r.Out.URL.Scheme, r.Out.URL.Host = "http", net.JoinHostPort(hostText(to), strconv.Itoa(int(to.port)))
	r.Out.Host = to.host.String()
	if to.port != httpPort {
		r.Out.Host += ":" + strconv.Itoa(int(to.port))
	}
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v, ok := r.In.Header[name]; ok {
			r.Out.Header[name] = v
		}
	}
}

func hostText(t target) string {
	if t.host.Addr.IsValid() {
		return t.host.Addr.String()
	}
	return t.host.Name
}

// dialForHTTP dials for a request that was decided about.
func (g *Gateway) dialForHTTP(ctx context.Context, _, authority string) (net.Conn, error) {
	host, port, ok := parseAuthority(authority, 0)
	if !ok {
		return nil, &refusal{Verdict: Verdict{Reason: BadHost}}
	}
	c, err := g.dial(ctx, host, port)
	if err != nil {
		return nil, err
	}
	return c.Conn, nil
}

// failed tells a client that upstream could not be reached, or stopped.
func (g *Gateway) failed(w http.ResponseWriter, r *http.Request, err error) {
	e := r.Context().Value(exchangeKey{}).(*exchange)
	refused := asRefusal(err)
	if e.flow.failure != nil {
		refused = &refusal{Verdict: Verdict{Reason: TooMany, Detail: e.flow.failure.Error()}}
	}
	e.refused = refused
	g.refuseRequest(e.client, e.flow.target, r, refused)
	refused.write(w, r, e.flow.target)
}

// exchanged puts a request on the record.
func (g *Gateway) exchanged(e *exchange) {
	f := e.flow
	r := &audit.NetworkConnection{
		Via: audit.Text(f.via), Host: audit.Text(f.host.String()), Port: f.port, Method: audit.Text(e.request.Method), Path: audit.Text(e.request.URL.Path),
		Status: e.status, BytesOut: f.out.Load(), BytesIn: f.in.Load(), Milliseconds: time.Since(f.started).Milliseconds(), Rule: audit.Text(f.rule),
	}
	if addr := e.addr.Load(); addr != nil {
		r.Address = audit.Text(*addr)
	}
	if f.failure != nil {
		r.Error = audit.Text(f.failure.Error())
	}
	r.PID, r.Argv = g.program(e.client)
	g.record(r)
}

func (g *Gateway) refuseRequest(c *client, to target, r *http.Request, refused *refusal) {
	n := &audit.NetworkRefused{Via: audit.Text(to.via), Host: audit.Text(to.name()), Port: to.port, Method: audit.Text(r.Method), Path: audit.Text(r.URL.Path),
		Reason: audit.Text(refused.Reason.String()), Rule: audit.Text(refused.Rule), Detail: audit.Text(refused.detail())}
	n.PID, n.Argv = g.program(c)
	g.record(n)
}
