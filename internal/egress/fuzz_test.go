package egress

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"agentbox/profile"
)

// Whatever is said to the proxy, only what the policy allows is dialled.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		"GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n", "CONNECT api.test:443 HTTP/1.1\r\n\r\n\x16\x03\x01\x00\x01\x01",
		"CONNECT evil.test:443 HTTP/1.1\r\n\r\n", "\x05\x01\x00\x05\x01\x00\x03\x08api.test\x00\x50GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n",
		"GET http://api.test:80@evil.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n", "POST http://api.test/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET http://evil.test/ HTTP/1.1\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	policy := compile(f, profile.Network{Allow: []string{"api.test", "api.test:80"}})
	f.Fuzz(func(t *testing.T, sent []byte) {
		g := newGateway(t, Options{Policy: policy, Lookup: func(_ context.Context, name string) ([]netip.Addr, error) {
			if name != "api.test" {
				t.Errorf("%q was looked up", name)
			}
			return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
		}})
		g.dialer = func(_ context.Context, at netip.AddrPort) (net.Conn, error) {
			if at.Addr().String() != "93.184.216.34" || at.Port() != 443 && at.Port() != 80 {
				t.Errorf("%s was dialled", at)
			}
			return nil, io.EOF
		}
		l := listenLocal(t)
		if err := g.Serve(Box{Proxy: aimed{Listener: l}}); err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = c.Write(sent)
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	})
}

// An authority is a host in its one form and a port, or nothing.
func FuzzParseAuthority(f *testing.F) {
	for _, seed := range []string{"api.test:443", "[::1]:80", "api.test", "0x7f.1:80", "a:b:c", "[::ffff:127.0.0.1]:1", "@x:1", "x:00080"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, port, ok := parseAuthority(text, 0)
		if !ok {
			return
		}
		again, err := profile.ParseHost(h.String())
		if err != nil || again != h || port == 0 || strings.ContainsAny(h.String(), " @/\\\r\n") {
			t.Errorf("%q: %v:%d, %v, %v", text, h, port, again, err)
		}
	})
}
