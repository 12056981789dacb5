package egress

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"

	"agentbox/internal/audit"
	"agentbox/internal/capture"
	"agentbox/profile"
)

// aimed is a listener of the box's side whose connections are said to go somewhere.
type aimed struct {
	net.Listener
	to netip.AddrPort
}

func (a aimed) Accept() (*capture.Conn, error) {
	c, err := a.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &capture.Conn{TCPConn: c.(*net.TCPConn), Destination: a.to}, nil
}

// A served is a gateway with a box that the test plays. Every name has the address 127.0.0.1, where at any port the one
// server of the test answers.
type served struct {
	*Gateway
	t      testing.TB
	proxy  net.Listener
	asked  []string // names that were looked up
	mu     sync.Mutex
	events []audit.Event
}

func serveBox(t testing.TB, n profile.Network, server string) *served {
	t.Helper()
	n.Private = append(n.Private, "127.0.0.0/8")
	s := &served{t: t}
	s.Gateway = newGateway(t, Options{Policy: compile(t, n), Record: s.note, Lookup: func(_ context.Context, name string) ([]netip.Addr, error) {
		s.mu.Lock()
		s.asked = append(s.asked, name)
		s.mu.Unlock()
		if strings.HasPrefix(name, "none.") {
			return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}})
	s.dialer = func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", server)
	}
	s.proxy = listenLocal(t)
	if err := s.Serve(Box{Proxy: aimed{Listener: s.proxy}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func listenLocal(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (s *served) note(e audit.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
	return nil
}

// captured connects as a program of the box that looked a name up, or to an address.
func (s *served) captured(host string, port uint16) net.Conn {
	s.t.Helper()
	a, err := netip.ParseAddr(host)
	if err != nil {
		a, _, _ = s.names.addresses(host)
	}
	l := listenLocal(s.t)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accept(aimed{l, netip.AddrPortFrom(a, port)}, s.serveCaptured)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// say sends bytes and returns all that comes back.
func say(t testing.TB, c net.Conn, text string) string {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(c)
	return string(answer)
}

// toProxy opens a connection to the explicit proxy.
func (s *served) toProxy() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.proxy.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// client is an HTTP client that uses the proxy and trusts anybody.
func (s *served) client() *http.Client {
	u := &url.URL{Scheme: "http", Host: s.proxy.Addr().String()}
	tr := &http.Transport{Proxy: http.ProxyURL(u), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	s.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func echoHost(t testing.TB) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host+" "+r.URL.Path) }))
	t.Cleanup(s.Close)
	return s
}

func address(s *httptest.Server) string { return s.Listener.Addr().String() }

func newGateway(t testing.TB, o Options) *Gateway {
	t.Helper()
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}
