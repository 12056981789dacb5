package world

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Server is one of the test's, and what it saw. It ends with the test.
type Server struct {
	Addr netip.AddrPort

	world    *World
	listener net.Listener
	mu       sync.Mutex
	peers    []netip.AddrPort
	markers  map[netip.AddrPort]chan struct{}
	hellos   []string
	requests []Request
}

// A Request is one that a server of HTTP saw.
type Request struct {
	Proto, Method, Host, URI string
	SNI                      string // empty without TLS
	Header                   http.Header
	From                     string // address and port of the client
}

// HTTPS serves HTTP/1.1 and HTTP/2 over TLS at an address and port, with a certificate for the names.
func (w *World) HTTPS(address string, names []string, handler http.Handler) *Server {
	w.t.Helper()
	s := w.listen(address)
	server := s.httpServer(handler)
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{w.Cert(names...)}, GetConfigForClient: s.noteHello}
	go server.ServeTLS(s.counted(), "", "")
	w.t.Cleanup(func() { server.Close() })
	return s
}

// HTTP serves HTTP/1.1 at an address and port.
func (w *World) HTTP(address string, handler http.Handler) *Server {
	w.t.Helper()
	s := w.listen(address)
	server := s.httpServer(handler)
	go server.Serve(s.counted())
	w.t.Cleanup(func() { server.Close() })
	return s
}

// TCP serves connections at an address and port. Each is closed when serve returns; the test's end closes them all.
func (w *World) TCP(address string, serve func(net.Conn)) *Server {
	w.t.Helper()
	s := w.listen(address)
	open := &connections{}
	open.wait.Go(func() {
		for {
			conn, err := s.counted().Accept()
			if err != nil {
				return
			}
			open.serve(conn, serve)
		}
	})
	w.t.Cleanup(func() {
		s.listener.Close()
		open.end()
	})
	return s
}

// TLS serves what is inside of TLS connections, of which the certificate is for the names.
func (w *World) TLS(address string, names []string, serve func(*tls.Conn)) *Server {
	w.t.Helper()
	var s *Server
	ready := make(chan struct{})
	config := &tls.Config{Certificates: []tls.Certificate{w.Cert(names...)}}
	s = w.TCP(address, func(conn net.Conn) {
		<-ready
		inner := tls.Server(conn, config)
		if inner.Handshake() == nil {
			serve(inner)
		}
		inner.Close()
	})
	config.GetConfigForClient = s.noteHello
	close(ready)
	return s
}

// connections are those that a server of TCP has open.
type connections struct {
	wait sync.WaitGroup
	mu   sync.Mutex
	open map[net.Conn]bool
}

func (c *connections) serve(conn net.Conn, serve func(net.Conn)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[net.Conn]bool{}
	}
	c.open[conn] = true
	c.wait.Go(func() {
		serve(conn)
		conn.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.open, conn)
	})
}

func (c *connections) end() {
	c.mu.Lock()
	for conn := range c.open {
		conn.Close()
	}
	c.mu.Unlock()
	c.wait.Wait()
}

// Connections is how many arrived, until now.
func (s *Server) Connections() int { return len(s.Peers()) }

// Peers are the addresses that connections came from.
func (s *Server) Peers() []netip.AddrPort {
	s.world.t.Helper()
	s.catchUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.peers)
}

// Hellos are the names that clients sent in the clear at the start of TLS; empty where one sent none.
func (s *Server) Hellos() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.hellos)
}

// Requests are those that a server of HTTP was asked.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func (s *Server) noteHello(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hellos = append(s.hellos, hello.ServerName)
	return nil, nil
}

func (s *Server) httpServer(handler http.Handler) *http.Server {
	noted := func(w http.ResponseWriter, r *http.Request) {
		seen := Request{r.Proto, r.Method, r.Host, r.RequestURI, "", r.Header.Clone(), r.RemoteAddr}
		if r.TLS != nil {
			seen.SNI = r.TLS.ServerName
		}
		s.mu.Lock()
		s.requests = append(s.requests, seen)
		s.mu.Unlock()
		handler.ServeHTTP(w, r)
	}
	return &http.Server{Handler: http.HandlerFunc(noted), ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
}

// listen makes the socket of a server in the namespace to which the address belongs.
func (w *World) listen(address string) *Server {
	w.t.Helper()
	s := &Server{world: w, markers: map[netip.AddrPort]chan struct{}{}}
	want, err := netip.ParseAddrPort(address)
	if err == nil {
		config := net.ListenConfig{Control: freely}
		err = w.at(want.Addr()).do(func() (err error) {
			s.listener, err = config.Listen(context.Background(), "tcp", address)
			return err
		})
	}
	if err != nil {
		w.t.Fatal("world: ", err)
	}
	s.Addr = s.listener.Addr().(*net.TCPAddr).AddrPort()
	return s
}

// at is the place that an address belongs to.
func (w *World) at(address netip.Addr) *place {
	if isNear(address.String()) {
		return w.near
	}
	return w.far
}

// freely lets a socket have an address that no device has.
func freely(network, address string, raw syscall.RawConn) error {
	return control(raw, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_FREEBIND, 1) })
}

func control(raw syscall.RawConn, what func(fd int) error) error {
	var inner error
	err := raw.Control(func(fd uintptr) { inner = what(int(fd)) })
	return errors.Join(err, inner)
}

func (s *Server) counted() net.Listener { return countedListener{s.listener, s} }

type countedListener struct {
	net.Listener
	server *Server
}

// Accept takes the next connection that is no marker.
func (l countedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || l.server.note(conn) {
			return conn, err
		}
		conn.Close()
	}
}

// note remembers a connection, and says whether it is a client's.
func (s *Server) note(conn net.Conn) bool {
	from := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	s.mu.Lock()
	defer s.mu.Unlock()
	if arrived, ok := s.markers[from]; ok {
		close(arrived)
		delete(s.markers, from)
		return false
	}
	s.peers = append(s.peers, from)
	return true
}

// catchUp returns when every connection that has been made has been counted: the kernel hands them out in order, and
// this makes one more, from a port that it has first.
func (s *Server) catchUp() {
	s.world.t.Helper()
	arrived := make(chan struct{})
	dialer := net.Dialer{Control: func(network, address string, raw syscall.RawConn) error {
		if err := freely(network, address, raw); err != nil {
			return err
		}
		return control(raw, func(fd int) error { return s.mark(fd, arrived) })
	}}
	err := s.world.at(s.Addr.Addr()).do(func() error {
		conn, err := dialer.Dial("tcp", s.Addr.String())
		if err == nil {
			conn.Close()
		}
		return err
	})
	if err != nil {
		s.world.t.Fatal("world: is the server still there? ", err)
	}
	<-arrived
}

// mark gives a socket the server's address with a port, and remembers that.
func (s *Server) mark(fd int, arrived chan struct{}) error {
	ip := s.Addr.Addr()
	var address unix.Sockaddr = &unix.SockaddrInet6{Addr: ip.As16()}
	if ip.Is4() {
		address = &unix.SockaddrInet4{Addr: ip.As4()}
	}
	if err := unix.Bind(fd, address); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch b := bound.(type) {
	case *unix.SockaddrInet4:
		s.markers[netip.AddrPortFrom(ip, uint16(b.Port))] = arrived
	case *unix.SockaddrInet6:
		s.markers[netip.AddrPortFrom(ip, uint16(b.Port))] = arrived
	}
	return nil
}
