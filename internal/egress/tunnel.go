package egress

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"agentbox/internal/audit"
)

// A flow is one connection that was let out, as the record has it.
type flow struct {
	target
	addr    string
	sni     string
	rule    string
	started time.Time
	out, in atomic.Int64
	failure error
}

// chunk is how much is granted at a time where bytes are limited.
const chunk = 64 << 10

var errQuota = errors.New("bytes_out has been sent")

// relay passes bytes both ways until both sides have ended. Each side's end is passed on by itself. Between two TCP
// connections the kernel moves the bytes, see splice(2).
func relay(in io.Reader, client, server net.Conn, f *flow, t *toll) {
	var wait sync.WaitGroup
	wait.Go(func() {
		n, err := io.Copy(direct(client), direct(server))
		f.in.Add(n)
		finish(client, server, err)
	})
	err := f.send(server, in, t)
	if errors.Is(err, errQuota) {
		f.failure = err
	}
	finish(server, client, err)
	wait.Wait()
}

// direct is the connection itself where it is one of TCP, for io.Copy to see that.
func direct(c net.Conn) net.Conn {
	switch c := c.(type) {
	case *client:
		return c.TCPConn
	case *upstream:
		return direct(c.Conn)
	}
	return c
}

// send passes on what the client sends, as far as it may.
func (f *flow) send(server net.Conn, in io.Reader, t *toll) error {
	for {
		granted := t.grant(chunk)
		if granted == 0 {
			return errQuota
		}
		if granted == noQuota {
			n, err := io.Copy(direct(server), in)
			f.out.Add(n)
			return err
		}
		n, err := io.CopyN(direct(server), in, granted)
		t.refund(granted - n)
		f.out.Add(n)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// finish passes the end of one side on to the other; after an error neither has a use any more.
func finish(to, from net.Conn, err error) {
	if err != nil {
		abort(to)
		abort(from)
		return
	}
	if half, ok := direct(to).(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	} else {
		to.Close()
	}
}

func abort(c net.Conn) {
	if t, ok := direct(c).(*net.TCPConn); ok {
		reset(t)
		return
	}
	c.Close()
}

// pass relays for a client whose first bytes are settled: what it has sent already goes first.
func (g *Gateway) pass(c *client, server *upstream, f *flow, t *toll, first []byte) {
	if granted := t.grant(int64(len(first))); granted < int64(len(first)) {
		f.failure = errQuota
	} else if n, err := server.Write(first); err != nil {
		f.failure = err
	} else {
		f.out.Add(int64(n))
		relay(c.rest(), c, server, f, t)
	}
	server.Close()
	g.over(c, f)
}

// over puts a connection that has ended on the record.
func (g *Gateway) over(c *client, f *flow) {
	e := &audit.NetworkConnection{
		Via: audit.Text(f.via), Host: audit.Text(f.host.String()), Port: f.port, Address: audit.Text(f.addr), SNI: audit.Text(f.sni),
		BytesOut: f.out.Load(), BytesIn: f.in.Load(), Milliseconds: time.Since(f.started).Milliseconds(), Rule: audit.Text(f.rule),
	}
	if f.failure != nil {
		e.Error = audit.Text(f.failure.Error())
	}
	e.PID, e.Argv = g.program(c)
	g.record(e)
}

// program is who made a connection.
func (g *Gateway) program(c *client) (int, []audit.Text) {
	if c == nil {
		return 0, nil
	}
	g.find(c)
	var argv []audit.Text
	for _, a := range c.argv {
		argv = append(argv, audit.Text(a))
	}
	return c.pid, argv
}
