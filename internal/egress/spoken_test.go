package egress

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"agentbox/internal/audit"
	"agentbox/profile"
)

// What is said to the proxy, byte for byte, and how its answer begins.
func TestWhatTheProxyAnswers(t *testing.T) {
	s := serveBox(t, profile.Network{Allow: []string{"api.test:80", "api.test", "api.test:9000"}}, address(echoHost(t)))
	for name, tc := range map[string]struct{ say, want string }{
		"an absolute form":                 {"GET http://api.test/x HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 "},
		"in other letters":                 {"GET http://API.test.:80/x HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 "},
		"a host that is denied":            {"GET http://evil.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n", "HTTP/1.1 403 "},
		"two hosts":                        {"GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\nHost: evil.test\r\n\r\n", "HTTP/1.1 400 "},
		"an https URL":                     {"GET https://api.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n", "HTTP/1.1 400 "},
		"a URL without a path":             {"GET http:x HTTP/1.1\r\nHost: api.test\r\n\r\n", "HTTP/1.1 400 "},
		"an origin form":                   {"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n", "HTTP/1.1 400 "},
		"a user in the URL":                {"GET http://me@evil.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n", "HTTP/1.1 403 "},
		"CONNECT to a denied host":         {"CONNECT evil.test:443 HTTP/1.1\r\n\r\n", "HTTP/1.1 403 "},
		"CONNECT to another port":          {"CONNECT api.test:22 HTTP/1.1\r\n\r\n", "HTTP/1.1 403 "},
		"CONNECT without a port":           {"CONNECT api.test HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
		"CONNECT to port 0":                {"CONNECT api.test:0 HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
		"CONNECT to itself":                {"CONNECT 127.0.0.1:3128 HTTP/1.1\r\n\r\n", "HTTP/1.1 403 "},
		"CONNECT in small letters":         {"connect api.test:443 HTTP/1.1\r\n\r\n", "HTTP/1.1 40"},
		"CONNECT with HTTP/1.0, denied":    {"CONNECT evil.test:443 HTTP/1.0\r\n\r\n", "HTTP/1.0 403 "},
		"a line that is folded":            {"GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\nX: a\r\n b: c\r\nConnection: close\r\n\r\n", "HTTP/1.1 "},
		"a length and chunks":              {"POST http://api.test/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n", "HTTP/1.1 "},
		"a header without an end":          {"GET http://api.test/ HTTP/1.1\r\nX: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", "HTTP/1.1 431 "},
		"thousands of headers":             {"GET http://api.test/ HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 20000) + "\r\n", "HTTP/1.1 431 "},
		"CONNECT and a request, in clear":  {"CONNECT api.test:80 HTTP/1.1\r\n\r\nGET /y HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 "},
		"CONNECT, and another host inside": {"CONNECT api.test:80 HTTP/1.1\r\n\r\nGET /y HTTP/1.1\r\nHost: evil.test\r\n\r\n", "HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 421 "},
		"CONNECT, and HTTP where TLS goes": {"CONNECT api.test:443 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: api.test\r\n\r\n", "HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 400 "},
		"SOCKS4":                           {"\x04\x01\x00\x50\x00\x00\x00\x01u\x00api.test\x00", ""},
		"SOCKS5, denied":                   {"\x05\x01\x00\x05\x01\x00\x03\x09evil.test\x00\x50", "\x05\x00\x05\x02"},
		"SOCKS5, by an inner address":      {"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50", "\x05\x00\x05\x02"},
		"SOCKS5, UDP":                      {"\x05\x01\x00\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00", "\x05\x00\x05\x07"},
		"SOCKS5, and a request":            {"\x05\x01\x00\x05\x01\x00\x03\x08api.test\x00\x50GET /z HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n", "\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00HTTP/1.1 200 "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := say(t, s.toProxy(), tc.say); !strings.HasPrefix(got, tc.want) || tc.want == "" && got != "" {
				t.Errorf("%.200q", got)
			}
		})
	}
}

// The host that is sent on is the one that was decided about.
func TestTheHostIsRewritten(t *testing.T) {
	s := serveBox(t, profile.Network{Allow: []string{"api.test:80", "api.test:8080"}}, address(echoHost(t)))
	for say1, want := range map[string]string{
		"GET http://API.Test./a HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n":    "api.test /a",
		"GET http://api.test:8080/b HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n": "api.test:8080 /b",
	} {
		if got := say(t, s.toProxy(), say1); !strings.HasSuffix(got, want) {
			t.Errorf("%q", got)
		}
	}
}

// A connection that was captured may carry requests for its own host alone, the second like the first.
func TestCapturedRequests(t *testing.T) {
	s := serveBox(t, profile.Network{Allow: []string{"api.test:80"}}, address(echoHost(t)))
	got := say(t, s.captured("api.test", 80), "GET /1 HTTP/1.1\r\nHost: api.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: evil.test\r\n\r\n")
	if strings.Count(got, "HTTP/1.1 200") != 1 || strings.Count(got, "HTTP/1.1 421") != 1 || !strings.Contains(got, "the names of the host do not agree") {
		t.Errorf("%q", got)
	}
	got = say(t, s.captured("203.0.113.9", 80), "GET / HTTP/1.1\r\nHost: api.test\r\nAccept: application/json\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 421") || !strings.Contains(got, `{"type":"error","error":{"type":"agentbox_refused","reason":"mismatch"`) {
		t.Errorf("%q", got)
	}
	if got := say(t, s.captured("api.test", 80), "\x16\x03\x01\x00\x05hello\r\n"); got != "" {
		t.Errorf("what is no HTTP got %q", got)
	}
}

func TestTunnelsCarryTLSForTheirHostAlone(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	s := serveBox(t, profile.Network{Allow: []string{"api.test", "203.0.113.9"}}, address(server))
	for name, tc := range map[string]struct{ to, sni, want string }{
		"the same":                   {"api.test", "api.test", ""},
		"another":                    {"api.test", "evil.test", "access denied"},
		"none":                       {"api.test", "", "access denied"},
		"none, to an address":        {"203.0.113.9", "", ""},
		"one, to an address":         {"203.0.113.9", "evil.test", "access denied"},
		"the same, of a denied host": {"evil.test", "evil.test", "access denied"},
	} {
		c := tls.Client(s.captured(tc.to, 443), &tls.Config{ServerName: tc.sni, InsecureSkipVerify: true})
		err := c.Handshake()
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, err := s.client().Get("https://api.test/")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(r.Body)
	if r.Body.Close(); string(body) != "HTTP/2.0" {
		t.Errorf("by the proxy: %q", body)
	}
}

// What an upstream may do wrong, and what the client is told.
func TestUpstreamThatFails(t *testing.T) {
	for name, tc := range map[string]struct {
		host   string
		serve  func(net.Conn)
		status int
		words  string
	}{
		"a name that there is not": {"none.test:80", nil, http.StatusBadGateway, "no such host"},
		"nobody listens":           {"api.test:80", nil, http.StatusBadGateway, "connection refused"},
		"it hangs up":              {"api.test:80", func(c net.Conn) { c.Close() }, http.StatusBadGateway, "could not reach api.test:80"},
		"it resets":                {"api.test:80", func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() }, http.StatusBadGateway, "could not reach api.test:80"},
		"it lies":                  {"api.test:80", func(c net.Conn) { io.WriteString(c, "220 smtp\r\n"); c.Close() }, http.StatusBadGateway, "could not reach api.test:80"},
	} {
		t.Run(name, func(t *testing.T) {
			l := listenLocal(t)
			if tc.serve == nil {
				l.Close()
			}
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					bufio.NewReader(c).ReadString('\n')
					tc.serve(c)
				}
			}()
			defer l.Close()
			s := serveBox(t, profile.Network{Allow: []string{tc.host}}, l.Addr().String())
			r, err := s.client().Get("http://" + tc.host + "/")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			body, _ := io.ReadAll(r.Body)
			if r.StatusCode != tc.status || !strings.Contains(string(body), tc.words) || r.Header.Get("X-Agentbox-Refused") != "unreachable" {
				t.Errorf("%d %s", r.StatusCode, body)
			}
		})
	}
}

// What streams does not wait, and what becomes something else than HTTP passes.
func TestStreamsAndUpgrades(t *testing.T) {
	next := make(chan string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			c, both, _ := http.NewResponseController(w).Hijack()
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			io.Copy(c, both)
			return
		}
		for text := range next {
			io.WriteString(w, text+"\n")
			http.NewResponseController(w).Flush()
		}
	}))
	defer server.Close()
	s := serveBox(t, profile.Network{Allow: []string{"api.test:80"}}, address(server))
	c := s.captured("api.test", 80)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n")
	r := bufio.NewReader(c)
	for _, want := range []string{"one", "two"} {
		next <- want
		for line := ""; line != want; {
			text, err := r.ReadString('\n')
			if line = strings.TrimSpace(text); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(next)
	c = s.captured("api.test", 80)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	r = bufio.NewReader(c)
	response, err := http.ReadResponse(r, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", response, err)
	}
	io.WriteString(c, "ping\n")
	if got, err := r.ReadString('\n'); got != "ping\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// Those who say nothing do not keep others from being served.
func TestHalfARequest(t *testing.T) {
	s := serveBox(t, profile.Network{Allow: []string{"api.test:80"}}, address(echoHost(t)))
	for range 200 {
		io.WriteString(s.toProxy(), "CONNECT api.te")
	}
	if r, err := s.client().Get("http://api.test/"); err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("%v, %v", r, err)
	} else {
		r.Body.Close()
	}
}

// Limits of a rule count what is open, what is new, and what was sent.
func TestLimitsOfARule(t *testing.T) {
	echo := listenLocal(t)
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); io.Copy(c, c) }()
		}
	}()
	use := func(c net.Conn, n int) error {
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Write(make([]byte, n)); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, n))
		return err
	}
	rule := func(r profile.NetworkRule) *served {
		r.Host = "api.test:9000"
		return serveBox(t, profile.Network{Allow: []string{"api.test:9000"}, Rules: []profile.NetworkRule{r}}, echo.Addr().String())
	}
	s := rule(profile.NetworkRule{Connections: 2})
	a, b := s.captured("api.test", 9000), s.captured("api.test", 9000)
	if err := errors.Join(use(a, 1), use(b, 1)); err != nil {
		t.Error(err)
	}
	if use(s.captured("api.test", 9000), 1) == nil {
		t.Error("a third connection")
	}
	s = rule(profile.NetworkRule{BytesOut: 100 << 10})
	if err := use(s.captured("api.test", 9000), 64<<10); err != nil {
		t.Error(err)
	}
	if use(s.captured("api.test", 9000), 64<<10) == nil {
		t.Error("more than the bytes")
	}
	s = rule(profile.NetworkRule{Rate: "1/h"})
	if err := use(s.captured("api.test", 9000), 1); err != nil {
		t.Error(err)
	}
	if use(s.captured("api.test", 9000), 1) == nil {
		t.Error("more than the rate")
	}
	s.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	last, ok := s.events[len(s.events)-1].(*audit.NetworkRefused)
	for _, e := range s.events {
		if r, is := e.(*audit.NetworkRefused); is {
			last, ok = r, true
		}
	}
	if !ok || last.Reason != "limit" || last.Rule != "network.rule[0]" || last.Detail != `rate = "1/h" is used up` {
		t.Errorf("%+v", last)
	}
}
