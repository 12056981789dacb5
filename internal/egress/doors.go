package egress

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"agentbox/internal/audit"
	"agentbox/profile"
)

// The doors that a profile opens besides the way out: forward leads from the box to one service of the host, publish from
// the host's loopback into the box.

// serveForward connects what comes to a listener in the box with the service of the host.
func (g *Gateway) serveForward(f Forward) {
	if f.Credential != "" {
		g.serveSocket(f)
		return
	}
	g.serveDoor(f.Listener, viaForward, f.Target, func() (net.Conn, error) { return dialForward(f.Target) })
}

// serveSocket serves a unix socket of the box whose requests are for a credential's host.
func (g *Gateway) serveSocket(f Forward) {
	at, _ := g.credentials.BaseURL(f.Credential)
	to := target{host: at.Host, port: at.Port, secure: at.Secure, via: viaSocket}
	g.loop(f.Listener, func() error {
		c, err := f.Listener.Accept()
		if err != nil {
			return err
		}
		if !g.open.add(c) {
			c.Close()
			return nil
		}
		g.running.Go(func() { g.plain.give(&handed{Conn: c, to: to, over: func() { g.open.remove(c) }}) })
		return nil
	})
}

func (g *Gateway) serveDoor(l net.Listener, via, entry string, dial func() (net.Conn, error)) {
	g.loop(l, func() error {
		c, err := l.Accept()
		if err == nil {
			g.running.Go(func() { g.join(c, via, entry, dial) })
		}
		return err
	})
}

func dialForward(target string) (net.Conn, error) {
	if path, ok := strings.CutPrefix(target, profile.UnixForward); ok {
		return net.DialTimeout("unix", path, dialTime)
	}
	a, err := profile.ForwardAddr(target)
	if err != nil {
		return nil, err
	}
	return net.DialTimeout("tcp", a.String(), dialTime)
}

// join passes bytes between two connections, and puts it on the record.
func (g *Gateway) join(c net.Conn, via, door string, dial func() (net.Conn, error)) {
	defer c.Close()
	e := &audit.NetworkConnection{Via: audit.Text(via), Host: audit.Text(door), Rule: audit.Text("network." + via)}
	started := time.Now()
	server, err := dial()
	if err != nil {
		e.Error = audit.Text(shortly(err))
		g.record(e)
		abort(c)
		return
	}
	defer server.Close()
	if !g.doors.add(c) || !g.doors.add(server) {
		g.doors.remove(c)
		return
	}
	defer g.doors.remove(c)
	defer g.doors.remove(server)
	f := &flow{started: started}
	relay(c, c, server, f, &toll{})
	e.BytesOut, e.BytesIn, e.Milliseconds = f.out.Load(), f.in.Load(), time.Since(started).Milliseconds()
	if via == viaPublish { // out is out of the box
		e.BytesOut, e.BytesIn = e.BytesIn, e.BytesOut
	}
	g.record(e)
}

// publish opens the ports of the host's loopback.
func (g *Gateway) publish() error {
	for i, entry := range g.box.Publish {
		outside, inside, err := publishPorts(entry)
		if err != nil {
			return fmt.Errorf("network.publish[%d]: %w", i, err)
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(outside))))
		if err != nil {
			return fmt.Errorf("network.publish[%d]: port %d of the host: %s", i, outside, shortly(err))
		}
		dial := func() (net.Conn, error) { return g.box.Dial(inside) }
		g.serveDoor(l, viaPublish, entry, dial)
		// A browser may try ::1 first for "localhost". Where there is no IPv6 nothing is missing.
		if l6, err := net.Listen("tcp", net.JoinHostPort("::1", strconv.Itoa(int(outside)))); err == nil {
			g.serveDoor(l6, viaPublish, entry, dial)
		}
	}
	return nil
}

// publishPorts reads "PORT" or "HOSTPORT:PORT".
func publishPorts(entry string) (outside, inside uint16, err error) {
	first, second, two := strings.Cut(entry, ":")
	if !two {
		second = first
	}
	a, err1 := strconv.ParseUint(first, 10, 16)
	b, err2 := strconv.ParseUint(second, 10, 16)
	if err1 != nil || err2 != nil || a == 0 || b == 0 {
		return 0, 0, fmt.Errorf("%q is not a port", entry)
	}
	return uint16(a), uint16(b), nil
}
