package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"agentbox/internal/audit"
	"agentbox/internal/egress/credential"
	"agentbox/internal/egress/route"
	"agentbox/internal/egress/scrub"
)

// An exchange is a request that is read and its response, on their way.
type exchange struct {
	http.ResponseWriter
	request *http.Request // that is sent on
	asked   *http.Request // as the client sent it
	flow    *flow
	toll    *toll
	client  *client
	head    int64 // bytes of the request's head
	status  int
	refused *refusal
	addr    atomic.Pointer[string]

	gateway *Gateway
	added   []credential.Secret // to the request
	secrets *scrub.Set          // that may come back; nil: none went there
	usage   *usage              // nil: it is no model's
	cut     bool                // the client went before the server answered
	held    int64               // bytes that are kept for it
}

type exchangeKey struct{}

func (g *Gateway) newExchange(w http.ResponseWriter, r *http.Request, c *client, f *flow, t *toll) *exchange {
	e := &exchange{ResponseWriter: w, asked: r, flow: f, toll: t, client: c, head: headSize(r), gateway: g}
	f.out.Add(e.head)
	ctx := context.WithValue(r.Context(), exchangeKey{}, e)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		addr := addrPort(i.Conn.RemoteAddr()).String()
		e.addr.Store(&addr)
	}})
	e.request = r.Clone(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		e.request.Body = &countedBody{r.Body, e, g.watchBody(e)}
	}
	return e
}

// exchange passes one request on and its response back. Its refusal is to be written.
func (g *Gateway) exchange(w http.ResponseWriter, r *http.Request, c *client, to target) *refusal {
	clean, exact := route.Path(r.URL)
	v := g.decideRequest(to, r.Method, clean, exact)
	if !v.OK() {
		return &refusal{Verdict: v}
	}
	t, refused := g.meters.enter(to.host, to.port)
	if refused != nil {
		return refused
	}
	defer t.leave()
	g.look(c)
	e := g.newExchange(w, r, c, &flow{target: to, rule: v.Rule, started: time.Now()}, t)
	if t.grant(e.head) < e.head {
		return &refusal{Verdict: Verdict{Reason: TooMany, Detail: errQuota.Error()}}
	}
	g.watchHead(e)
	if refused = g.authenticate(e, clean); refused != nil {
		return refused
	}
	defer func() { g.purse.held.Release(e.held) }()
	if refused = g.meter(e, clean); refused != nil {
		return refused
	}
	defer func() { // also when the copying of the response is broken off, which is a panic of net/http
		g.settle(e)
		if e.refused == nil {
			g.exchanged(e)
		}
	}()
	g.relay.ServeHTTP(e, e.request)
	return nil
}

// decideRequest asks the policy. A path that servers could read in several ways is none that could be decided about,
// where paths decide.
func (g *Gateway) decideRequest(to target, method, path string, exact bool) Verdict {
	v := g.policy.Decide(Query{Host: to.host, Port: to.port, Method: method, Path: path})
	if !v.OK() || exact {
		return v
	}
	const detail = "the path can be read in more than one way, and paths decide here"
	if rule, ok := g.policy.ByPath(to.host, to.port); ok {
		return Verdict{Reason: BadRequest, Rule: rule, Detail: detail}
	}
	if g.credentials.ByPath(to.credential()) || g.purse.strict(to) {
		return Verdict{Reason: BadRequest, Detail: detail}
	}
	return v
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
	e     *exchange
	watch io.Writer // of what passes
}

// Read reads as far as bytes_out goes.
func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.e.take(p, b.ReadCloser.Read)
	_, _ = b.watch.Write(p[:n])
	return n, err
}

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
	e.cutHeader(e.Header())
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
	return e.upgraded(c), buffered, nil
}

// countedConn counts both ways, and looks at what passes.
type countedConn struct {
	net.Conn
	e    *exchange
	in   io.Writer // to the client, without secrets
	out  io.Writer // looks for placeholders
	stop func() error
}

func (e *exchange) upgraded(c net.Conn) *countedConn {
	up := &countedConn{Conn: c, e: e, in: c, out: e.gateway.watchBody(e), stop: func() error { return nil }}
	if e.secrets != nil {
		w := e.secrets.NewWriter(c, e.found("body"))
		up.in, up.stop = w, w.Flush
	}
	return up
}

// Read reads as far as bytes_out goes.
func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.e.take(p, c.Conn.Read)
	_, _ = c.out.Write(p[:n])
	return n, err
}

// Write counts what comes back.
func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.in.Write(p)
	c.e.flow.in.Add(int64(n))
	return n, err
}

// Close writes what was held back.
func (c *countedConn) Close() error {
	_ = c.stop()
	return c.Conn.Close()
}

// rewrite makes the request that is sent on. Its host is the one that was decided about, whatever the client wrote.
func rewrite(r *httputil.ProxyRequest) {
	e := r.In.Context().Value(exchangeKey{}).(*exchange)
	to := e.flow.target
	r.Out.URL.Scheme, r.Out.URL.Host = to.scheme(), net.JoinHostPort(hostText(to), strconv.Itoa(int(to.port)))
	r.Out.Host = to.host.String()
	if to.port != to.defaultPort() {
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
	if e.secrets != nil && !ownWords(err) {
		refused = &refusal{Verdict: Verdict{Reason: Unreachable}, err: errAnswer}
	}
	if e.flow.failure != nil {
		refused = &refusal{Verdict: Verdict{Reason: TooMany, Detail: e.flow.failure.Error()}}
	}
	e.refused, e.cut = refused, errors.Is(err, context.Canceled) && e.addr.Load() != nil
	g.refuseRequest(e.client, e.flow.target, r, refused)
	refused.write(w, r, e.flow.target)
}

var errAnswer = errors.New("what the server answered cannot be read")

// ownWords reports whether an error is of a kind that quotes nothing of what a server answered, which may be a secret.
func ownWords(err error) bool {
	var refused *refusal
	var op *net.OpError
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &refused) || errors.As(err, &op) || errors.As(err, &dns) || errors.As(err, &certificate) || isTimeout(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled)
}

// exchanged puts a request on the record.
func (g *Gateway) exchanged(e *exchange) {
	f := e.flow
	r := &audit.NetworkRequest{
		Via: audit.Text(f.via), Scheme: audit.Text(f.scheme()), Host: audit.Text(f.host.String()), Port: f.port, Protocol: audit.Text(e.asked.Proto),
		Method: audit.Text(e.asked.Method), Path: audit.Text(shownPath(e.asked.URL)), Status: e.status, BytesOut: f.out.Load(), BytesIn: f.in.Load(),
		Milliseconds: time.Since(f.started).Milliseconds(), Rule: audit.Text(f.rule),
	}
	for _, s := range e.added {
		r.Credentials = append(r.Credentials, audit.Text(s.Name))
	}
	e.usage.note(r)
	if addr := e.addr.Load(); addr != nil {
		r.Address = audit.Text(*addr)
	}
	if f.failure != nil {
		r.Error = audit.Text(f.failure.Error())
	}
	r.PID, r.Argv = g.program(e.client)
	g.record(r)
}

// shownPath is a request's path for the record. What parameters hold may be a key; their names tell what was asked.
func shownPath(u *url.URL) string {
	if u.RawQuery == "" {
		return u.Path
	}
	var names []string
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		name, _, valued := strings.Cut(pair, "=")
		if valued {
			name += "=…"
		}
		names = append(names, name)
	}
	return u.Path + "?" + strings.Join(names, "&")
}

func (g *Gateway) refuseRequest(c *client, to target, r *http.Request, refused *refusal) {
	g.watchName(c, to)
	n := &audit.NetworkRefused{Via: audit.Text(to.via), Host: audit.Text(to.name()), Port: to.port, Method: audit.Text(r.Method), Path: audit.Text(shownPath(r.URL)),
		Reason: audit.Text(refused.Reason.String()), Rule: audit.Text(refused.Rule), Detail: audit.Text(refused.detail())}
	n.PID, n.Argv = g.program(c)
	g.record(n)
}

// credential is the target as credentials know it.
func (t target) credential() credential.Target {
	return credential.Target{Host: t.host, Port: t.port, Secure: t.secure}
}

func (t target) scheme() string {
	if t.secure {
		return "https"
	}
	return "http"
}

func (t target) defaultPort() uint16 {
	if t.secure {
		return defaultPort
	}
	return httpPort
}
