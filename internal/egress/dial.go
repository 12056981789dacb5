package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"agentbox/profile"
)

const (
	dialTime  = 30 * time.Second
	nextAfter = 250 * time.Millisecond // RFC 8305, section 5: the delay before the next address is tried as well
)

// A dialer connects to an address that was checked.
type dialer func(context.Context, netip.AddrPort) (net.Conn, error)

func dialTCP(ctx context.Context, at netip.AddrPort) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", at.String())
}

// An upstream is a connection that leaves the host.
type upstream struct {
	net.Conn
	addr netip.AddrPort // that was dialled; the proxy's where there is one
}

// dial connects to a host that the policy allows. The addresses that were checked are the ones that are dialled: nothing
// is looked up a second time.
func (g *Gateway) dial(ctx context.Context, host profile.Host, port uint16) (*upstream, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	if g.upstream != nil && !host.Addr.IsLoopback() { // which is this machine's, and not the proxy's
		return g.dialUpstream(ctx, host, port)
	}
	addrs, err := g.pin(ctx, host, port)
	if err != nil {
		return nil, err
	}
	c, err := race(ctx, g.dialer, addrs, port)
	if err != nil {
		return nil, &refusal{Verdict: Verdict{Reason: Unreachable}, err: err}
	}
	return c, nil
}

// dialUpstream goes through the profile's proxy, which resolves the names. An address is checked here all the same.
func (g *Gateway) dialUpstream(ctx context.Context, host profile.Host, port uint16) (*upstream, error) {
	if host.Addr.IsValid() {
		if _, err := g.pin(ctx, host, port); err != nil {
			return nil, err
		}
	}
	c, err := g.upstream.Dial(ctx, host, port)
	if err != nil {
		return nil, &refusal{Verdict: Verdict{Reason: Unreachable}, err: err}
	}
	return &upstream{c, addrPort(c.RemoteAddr())}, nil
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		return netip.AddrPortFrom(t.AddrPort().Addr().Unmap(), uint16(t.Port))
	}
	return netip.AddrPort{}
}

// race tries the addresses in turn, the next one as soon as the one before has failed or is slow.
func race(ctx context.Context, dial dialer, addrs []netip.Addr, port uint16) (*upstream, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		c   *upstream
		err error
	}
	results := make(chan outcome)
	try := func(a netip.Addr) {
		at := netip.AddrPortFrom(a, port)
		c, err := dial(ctx, at)
		o := outcome{err: err}
		if err == nil {
			o.c = &upstream{c, at}
		}
		select {
		case results <- o:
		case <-ctx.Done():
			if c != nil {
				c.Close()
			}
		}
	}
	var errs []error
	running := 0
	for next := time.After(0); running > 0 || len(addrs) > 0; {
		select {
		case <-next:
			if len(addrs) == 0 {
				next = nil
				continue
			}
			go try(addrs[0])
			addrs = addrs[1:]
			running++
			next = time.After(nextAfter)
		case o := <-results:
			if o.err == nil {
				return o.c, nil
			}
			running--
			errs = append(errs, o.err)
			next = time.After(0)
		case <-ctx.Done():
			return nil, errors.Join(append(errs, ctx.Err())...)
		}
	}
	return nil, errors.Join(errs...)
}
