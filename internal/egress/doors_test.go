package egress

import (
	"bufio"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"agentbox/profile"
)

// greets answers each connection with a word.
func greets(t testing.TB, network, address, word string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, word)
			c.Close()
		}
	}()
	return l
}

func heard(t testing.TB, l net.Listener) string {
	t.Helper()
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text, _ := io.ReadAll(c)
	return string(text)
}

func TestDoors(t *testing.T) {
	host, socket := greets(t, "tcp", "127.0.0.1:0", "service"), greets(t, "unix", filepath.Join(t.TempDir(), "s"), "socket")
	inTCP, inUnix, proxy := listenLocal(t), listenLocal(t), listenLocal(t)
	free := listenLocal(t)
	port := strconv.Itoa(free.Addr().(*net.TCPAddr).Port)
	free.Close()
	inside := greets(t, "tcp", "127.0.0.1:0", "box")
	g := newGateway(t, Options{})
	box := Box{Proxy: aimed{Listener: proxy}, Publish: []string{port + ":3000"},
		Forwards: []Forward{{Target: host.Addr().String(), Listener: inTCP}, {Target: profile.UnixForward + socket.Addr().String(), Listener: inUnix}},
		Dial: func(port uint16) (net.Conn, error) {
			if port != 3000 {
				return nil, errors.New("another port")
			}
			return net.Dial("tcp", inside.Addr().String())
		}}
	if err := g.Serve(box); err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if got := heard(t, inTCP) + " " + heard(t, inUnix); got != "service socket" {
		t.Errorf("forwarded: %q", got)
	}
	c, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := io.ReadAll(c); string(text) != "box" {
		t.Errorf("published: %q", text)
	}
	other := newGateway(t, Options{})
	if err := other.Serve(Box{Proxy: aimed{Listener: listenLocal(t)}, Publish: []string{port}}); err == nil || !strings.Contains(err.Error(), "network.publish[0]: port "+port+" of the host: address already in use") {
		t.Errorf("a port that is taken: %v", err)
	}
}

// A company's proxy gets its password, and the box's connections go through it, names and all.
func TestUpstreamProxy(t *testing.T) {
	server := echoHost(t)
	var lines []string
	l := listenLocal(t)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil {
				c.Close()
				continue
			}
			lines = append(lines, r.Method+" "+r.Host)
			if r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("me:s3cret")) {
				io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
				c.Close()
				continue
			}
			u, _ := net.Dial("tcp", address(server))
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			go func() { io.Copy(u, c); u.Close() }()
			go func() { io.Copy(c, u); c.Close() }()
		}
	}()
	n := profile.Network{Allow: []string{"api.test:80", "10.0.0.7:80"}, Deny: []string{"10.0.0.7"}, UpstreamProxy: "http://" + l.Addr().String()}
	for secret, want := range map[string]string{
		"me:s3cret\n": "HTTP/1.1 200 OK", "me:wrong": `it answers "407 Proxy Authentication Required"`,
	} {
		s := serveBox(t, n, "127.0.0.1:1")
		up, err := NewUpstream(n.UpstreamProxy, secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.Gateway.upstream = up
		got := say(t, s.toProxy(), "GET http://api.test/up HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n")
		if !strings.Contains(got, want) || strings.Contains(got, "s3cret") {
			t.Errorf("%q", got)
		}
		if got := say(t, s.toProxy(), "GET http://10.0.0.7/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403") {
			t.Errorf("a denied address: %q", got)
		}
		if len(s.asked) != 0 {
			t.Errorf("looked up here: %v", s.asked)
		}
	}
	for _, line := range lines {
		if line != "CONNECT api.test:80" {
			t.Errorf("the proxy was asked %s", line)
		}
	}
	if _, err := NewUpstream("http://proxy.test", "no-colon-s3cret", nil); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%v", err)
	}
}
