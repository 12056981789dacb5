// Package egress is the only way out of a box: it decides, dials, and keeps a record of both.
//
// A Policy is the pure part. It knows a profile's lists and answers a Query with a Verdict that names the entry behind it;
// its zero value lets nothing out. A Gateway is the part that acts. It serves a box whose connections and name queries
// all arrive at it (package capture), finds out for each what is to be reached, asks the policy, dials, and passes bytes.
//
// What it promises. The name that was asked for, the name in TLS or HTTP and the address that is dialled agree, or nothing
// is passed on. A name is resolved once for a decision and the connection that follows from it. Nobody is asked for the
// address of a name that is not allowed. What is refused is refused at once, in the words of the protocol where it has
// any, and stands in the record, as does every connection. The listeners are those of one box, and no other reaches them.
//
// TLS is read for the hosts that the policy says, with certificates of the session's own authority, and nothing but HTTP
// is spoken there. Packages below this one know the parts: authority signs, credential changes authentication, scrub finds
// and cuts, meter counts what models use, route tells requests apart.
//
// What it does not: it does not read other TLS, so it cannot tell one tenant of an allowed host from another there.
//
// To add a protocol to what is told apart on a port, see sniff.go; a reason to refuse, policy.go.
package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"

	"agentbox/internal/audit"
	"agentbox/internal/capture"
	"agentbox/internal/egress/authority"
	"agentbox/internal/egress/credential"
	"agentbox/profile"
)

// An Acceptor gives the connections of a box one by one.
type Acceptor interface {
	Accept() (*capture.Conn, error)
	Close() error
}

// A Box is what a Gateway serves.
type Box struct {
	Proxy    Acceptor         // for clients that use a proxy
	TCP      []Acceptor       // every other connection
	DNS      []net.PacketConn // name queries
	Forwards []Forward
	Publish  []string                            // entries of network.publish
	Dial     func(port uint16) (net.Conn, error) // connects to a port of the box's loopback, for Publish
	// Owner finds the program behind a connection; nil, or an error, where it is not known.
	Owner func(*capture.Conn) (pid int, argv []string, err error)
}

// A Forward is a listener in the box for an entry of network.forward, or for a credential.
type Forward struct {
	Target     string
	Credential string // whose host is behind it, and HTTP is spoken; "" is Target itself
	Listener   net.Listener
}

// Options say how a Gateway works.
type Options struct {
	Policy   *Policy
	Lookup   Lookup                  // nil: HostLookup
	Upstream *Upstream               // nil: there is no proxy beyond
	Record   func(audit.Event) error // what happens to each event; an error closes the connection that it is about

	Roots        *x509.CertPool          // trusted of servers whose TLS is read; nil: the host's
	Authority    *authority.Authority    // the session's own; nil: no TLS is read
	Credentials  []credential.Credential // that are added to requests
	Registries   map[string][]Endpoint   // what "@npm" and its kin stand for
	Placeholders map[string]string       // by credential: what the box holds
	Budget       Budget
}

// A Gateway serves one box.
type Gateway struct {
	policy   *Policy
	resolver *resolver
	upstream *Upstream
	dialer   dialer
	recorder func(audit.Event) error
	box      Box
	names    names
	meters   meters
	open     openConns     // of the box, that count towards a limit
	looking  chan struct{} // who looks for the program behind a connection
	doors    openConns     // both sides of what goes through a door

	ctx       context.Context
	cancel    context.CancelFunc
	running   sync.WaitGroup
	closers   []func()
	plain     *handover
	transport *http.Transport
	relay     *httputil.ReverseProxy

	roots       *x509.CertPool
	authority   *authority.Authority
	inspected   *tls.Config // of connections that are read
	credentials *credential.Set
	vault       *vault // nil: there are no credentials
	purse       *purse
}

const (
	helloTime = 10 * time.Second // a client has that long for the first bytes that say what it wants
	headTime  = 10 * time.Second // and that long for the head of a request
	idleTime  = 2 * time.Minute  // between requests
	maxHead   = 32 << 10         // bytes of a request's head
	maxHello  = 16 << 10         // bytes of a ClientHello
)

// New makes a Gateway that serves nothing yet. Its error is about the options.
func New(o Options) (*Gateway, error) {
	g := &Gateway{policy: o.Policy, resolver: &resolver{lookup: o.Lookup}, upstream: o.Upstream, dialer: dialTCP, recorder: o.Record,
		roots: o.Roots, authority: o.Authority}
	g.inspected = g.tlsConfig()
	var err error
	if g.purse, err = newPurse(o.Budget); err != nil {
		return nil, err
	}
	if len(o.Credentials) > 0 {
		if g.credentials, err = credential.NewSet(o.Credentials, func(word string) []profile.HostPattern { return Patterns(o.Registries[word]) }); err != nil {
			return nil, err
		}
		g.vault = newVault(o.Credentials, o.Placeholders)
	}
	if g.policy == nil {
		g.policy = &Policy{}
	}
	if g.resolver.lookup == nil {
		g.resolver.lookup = HostLookup
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.meters.rules = g.policy.rulesFor
	g.looking = make(chan struct{}, 4)
	g.open.limit = connectionLimit()
	g.doors.limit = 2 * g.open.limit
	return g, nil
}

// Patterns are the host patterns of endpoints.
func Patterns(list []Endpoint) []profile.HostPattern {
	var out []profile.HostPattern
	for _, e := range list {
		if h, err := profile.ParseHost(e.Host); err == nil {
			out = append(out, profile.HostPattern{Host: h, Port: e.Port})
		}
	}
	return out
}

// Serve begins to serve a box and returns. Its error says what could not be opened, and then nothing is served.
func (g *Gateway) Serve(box Box) error {
	g.box = box
	if err := g.publish(); err != nil {
		g.Close()
		return err
	}
	g.serveHTTP()
	g.accept(box.Proxy, g.serveProxy)
	for _, l := range box.TCP {
		g.accept(l, g.serveCaptured)
	}
	for _, p := range box.DNS {
		g.servePackets(p)
	}
	for _, f := range box.Forwards {
		g.serveForward(f)
	}
	return nil
}

// accept serves each connection of a listener on its own goroutine.
func (g *Gateway) accept(l Acceptor, serve func(*client)) {
	g.loop(l, func() error {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		if !g.open.add(c.TCPConn) {
			g.tooMany(c)
			return nil
		}
		g.running.Go(func() {
			client := newClient(c)
			defer func() {
				if !client.taken {
					client.close()
					g.open.remove(c.TCPConn)
				}
			}()
			serve(client)
		})
		return nil
	})
}

// loop takes what comes to a listener, one after the other, until it is closed.
func (g *Gateway) loop(l io.Closer, next func() error) {
	g.closers = append(g.closers, func() { l.Close() })
	g.running.Go(func() {
		for {
			if err := next(); err != nil && g.ended(err) {
				return
			}
		}
	})
}

// ended tells the end of a listener from an error that passes, such as a table of descriptors that is full; it waits
// after one of those.
func (g *Gateway) ended(err error) bool {
	if errors.Is(err, net.ErrClosed) || g.ctx.Err() != nil {
		return true
	}
	select {
	case <-time.After(20 * time.Millisecond):
		return false
	case <-g.ctx.Done():
		return true
	}
}

// Close ends everything and returns when nothing of it is left.
func (g *Gateway) Close() {
	g.cancel()
	for _, c := range g.closers {
		c()
	}
	g.open.closeAll()
	g.doors.closeAll()
	g.running.Wait()
	if g.transport != nil {
		g.transport.CloseIdleConnections()
	}
}

func (g *Gateway) record(e audit.Event) {
	if g.recorder != nil {
		_ = g.recorder(e) // a log that cannot be written ends the box, where the profile wants that
	}
}

func (g *Gateway) tooMany(c *capture.Conn) {
	g.record(&audit.NetworkRefused{Via: viaCapture, Host: audit.Text(c.Destination.Addr().String()), Port: c.Destination.Port(),
		Reason: audit.Text(TooMany.String()), Detail: "this box has as many connections open as agentbox serves at one time"})
	reset(c.TCPConn)
}

// target is what a client wants to reach, and how it said so.
type target struct {
	host   profile.Host
	port   uint16
	secure bool // TLS protects it, and is read here
	via    string
	asked  string // what it called the host, where that was none
}

// The ways by which a client says where it wants to go.
const (
	viaCapture = "capture" // it connected there
	viaConnect = "connect" // HTTP CONNECT
	viaHTTP    = "http"    // a plain HTTP request
	viaSOCKS   = "socks5"
	viaDNS     = "dns"
	viaForward = "forward"  // an entry of network.forward
	viaPublish = "publish"  // from the host, by an entry of network.publish
	viaBase    = "base-url" // by a URL of the box's own that stands for a credential's host
	viaSocket  = "socket"   // by a unix socket that does
)
