package egress

import (
	"io"
	"net"
	"sync"
	"time"

	"agentbox/internal/capture"
)

// A client is a connection of the box. What was read of it to find out what it wants is read again by who comes next.
type client struct {
	*capture.Conn
	pending []byte
	taken   bool // somebody else closes it

	found sync.Once
	pid   int
	argv  []string
}

func newClient(c *capture.Conn) *client { return &client{Conn: c} }

// Read reads what the client sends, from its first byte on.
func (c *client) Read(p []byte) (int, error) {
	if len(c.pending) == 0 {
		return c.TCPConn.Read(p)
	}
	n := copy(p, c.pending)
	c.pending = c.pending[n:]
	return n, nil
}

// ReadFrom and WriteTo of net.TCPConn would pass by what is pending.
func (c *client) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, c.rest()) }

// sniff waits for the first bytes, without taking them.
func (c *client) sniff(n int, limit time.Duration) []byte {
	_ = c.SetReadDeadline(time.Now().Add(limit))
	defer c.SetReadDeadline(time.Time{})
	buffer := make([]byte, 512)
	for len(c.pending) < n {
		m, err := c.TCPConn.Read(buffer)
		c.pending = append(c.pending, buffer[:m]...)
		if err != nil || decided(c.pending) {
			break
		}
	}
	return c.pending
}

// decided says that more bytes would not change what the first ones look like.
func decided(first []byte) bool { return len(first) > 0 && !looksLikeHTTP(first) }

// rest is what the client is still to send: what is pending first, and then its connection.
func (c *client) rest() io.Reader {
	if len(c.pending) == 0 {
		return c.TCPConn
	}
	b := &buffers{c.pending, c.TCPConn}
	c.pending = nil
	return b
}

// buffers is an io.Reader that leaves the way open for splice(2) once its bytes are gone.
type buffers struct {
	first []byte
	rest  *net.TCPConn
}

func (b *buffers) Read(p []byte) (int, error) {
	if len(b.first) == 0 {
		return b.rest.Read(p)
	}
	n := copy(p, b.first)
	b.first = b.first[n:]
	return n, nil
}

// WriteTo lets io.Copy hand the connection itself over.
func (b *buffers) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b.first)
	b.first = b.first[n:]
	if err != nil {
		return int64(n), err
	}
	m, err := io.Copy(w, b.rest)
	return int64(n) + m, err
}

func (c *client) close() { c.TCPConn.Close() }

// find looks for the program once, while the connection is there. Where many are being looked for, it goes without.
func (g *Gateway) find(c *client) {
	if c == nil { // a unix socket of the box
		return
	}
	c.found.Do(func() {
		if g.box.Owner == nil {
			return
		}
		select {
		case g.looking <- struct{}{}:
		default:
			return
		}
		defer func() { <-g.looking }()
		if pid, argv, err := g.box.Owner(c.Conn); err == nil {
			c.pid, c.argv = pid, argv
		}
	})
}

// look begins to find the program while the connection is being served.
func (g *Gateway) look(c *client) { g.running.Go(func() { g.find(c) }) }

// reset ends a connection so that the other side sees an error and not an end.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	c.Close()
}
