package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"agentbox/internal/audit"
	"agentbox/internal/egress/authority"
	"agentbox/internal/egress/credential"
	"agentbox/internal/secret"
	"agentbox/profile"
)

// fixed is a source whose secret is always the same.
type fixed struct{ text string }

func (f fixed) Get(ctx context.Context) (secret.Value, error) {
	r := secret.Reader{Env: func(string) (string, bool) { return f.text, f.text != "" }}
	s, err := r.Open(ctx, "env:X")
	if err != nil {
		return secret.Value{}, err
	}
	defer s.Close()
	return s.Get(ctx)
}

const realKey, placeholder = "sk-real-0123456789abcdef", "sk-agentboxABCDEFGHIJKLMNOPQRSTUVWX"

// A readBox is a box with one credential for api.test, and a server of the test behind every name.
type readBox struct {
	*served
	trust *x509.CertPool // of the box
}

func serveRead(t testing.TB, p profile.Profile, handler http.Handler, change ...func(*Options)) *readBox {
	t.Helper()
	p.Network.Mode = "allowlist"
	far, err := authority.New([]string{"test"}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{GetCertificate: func(i *tls.ClientHelloInfo) (*tls.Certificate, error) { return far.Certificate(i.ServerName) }}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	own, err := authority.New([]string{"test"}, nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	roots, trust := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(far.PEM())
	trust.AppendCertsFromPEM(own.PEM())
	s := &served{t: t}
	p.Network.Private = append(p.Network.Private, "127.0.0.0/8")
	policy, err := Compile(p.Network, p.Inspected(), nil, func(netip.Addr) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Policy: policy, Record: s.note, Authority: own, Roots: roots, Budget: Budget{Budget: p.Budget}, Placeholders: map[string]string{},
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}}
	for _, row := range p.Credentials {
		o.Credentials = append(o.Credentials, credential.Credential{Row: row, Source: fixed{realKey}})
		o.Placeholders[row.Name] = placeholder
	}
	for _, f := range change {
		f(&o)
	}
	s.Gateway = newGateway(t, o)
	s.dialer = func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address(server))
	}
	s.proxy = listenLocal(t)
	if err := s.Serve(Box{Proxy: aimed{Listener: s.proxy}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &readBox{s, trust}
}

// browser is a client of the box that knows of no proxy.
func (b *readBox) browser() *http.Client {
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: b.trust}, ForceAttemptHTTP2: true, DisableCompression: true,
		DialContext: func(_ context.Context, _, at string) (net.Conn, error) {
			host, port, _ := parseAuthority(at, 0)
			return b.captured(hostText(target{host: host}), port), nil
		}}
	b.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// proxied is a client of the box that uses the proxy; scheme is the proxy's.
func (b *readBox) proxied(scheme string) *http.Client {
	at := &url.URL{Scheme: scheme, Host: b.proxy.Addr().String()}
	tr := &http.Transport{Proxy: http.ProxyURL(at), TLSClientConfig: &tls.Config{RootCAs: b.trust}, ForceAttemptHTTP2: true}
	b.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// events are those of one type so far.
func events[E audit.Event](b *readBox) []E {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []E
	for _, e := range b.events {
		if one, ok := e.(E); ok {
			list = append(list, one)
		}
	}
	return list
}

func keyed(hosts ...string) profile.Profile {
	return profile.Profile{
		Network:     profile.Network{Allow: []string{"api.test", "other.test", "api.test:80", "other.test:80"}},
		Credentials: []profile.Credential{{Name: "key", Source: "env:X", Hosts: hosts, Header: "x-api-key", Env: "KEY"}},
	}
}

func read(t testing.TB, r *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// seen is a server that notes what authentication reaches it.
type seen struct {
	mu   sync.Mutex
	list []string
}

func (s *seen) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, fmt.Sprintf("%s %s%s key=%s auth=%s cookie=%s", r.Proto, r.Host, r.URL, r.Header.Get("X-Api-Key"), r.Header.Get("Authorization"), r.Header.Get("Cookie")))
	if to := r.URL.Query().Get("to"); to != "" {
		http.Redirect(w, r, to, http.StatusFound)
		return
	}
	io.WriteString(w, "ok "+r.Header.Get("X-Api-Key"))
}

func (s *seen) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list[len(s.list)-1]
}

func TestTheSecretGoesWhereItBelongsAndNowhereElse(t *testing.T) {
	server := &seen{}
	b := serveRead(t, keyed("api.test"), server)
	c := b.browser()
	for _, step := range []struct{ name, url, header, value, want string }{
		{"to its host, in the placeholder's place", "https://api.test/a?x=1", "X-Api-Key", placeholder, "HTTP/2.0 api.test/a?x=1 key=" + realKey + " auth= cookie="},
		{"to its host, without being asked", "https://api.test/b", "", "", "HTTP/2.0 api.test/b key=" + realKey + " auth= cookie="},
		{"a stranger's key is taken off", "https://api.test/c", "Authorization", "Bearer stranger", "HTTP/2.0 api.test/c key=" + realKey + " auth= cookie="},
		{"a stranger's cookie is taken off", "https://api.test/d", "Cookie", "session=1", "HTTP/2.0 api.test/d key=" + realKey + " auth= cookie="},
		{"a stranger's parameter is taken off", "https://api.test/e?api_key=stranger&page=2", "", "", "HTTP/2.0 api.test/e?page=2 key=" + realKey + " auth= cookie="},
		{"not to another host", "https://other.test/", "X-Api-Key", placeholder, "HTTP/2.0 other.test/ key=" + placeholder + " auth= cookie="},
	} {
		r, _ := http.NewRequest("GET", step.url, nil)
		if step.header != "" {
			r.Header.Set(step.header, step.value)
		}
		if strings.Contains(step.url, "other") { // a plain tunnel: the box sees the server's own certificate
			c = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true,
				DialContext: func(context.Context, string, string) (net.Conn, error) { return b.captured("other.test", 443), nil }}}
		}
		response, err := c.Do(r)
		if body := read(t, response, err); strings.Contains(body, realKey) {
			t.Errorf("%s: the secret came back: %s", step.name, body)
		}
		if got := server.last(); got != step.want {
			t.Errorf("%s:\n got %s\nwant %s", step.name, got, step.want)
		}
	}
	cuts := events[*audit.SecretCut](b)
	if len(cuts) != 5 || cuts[0].Credential != "key" || cuts[0].Where != "body" {
		t.Errorf("cut: %+v", cuts)
	}
	first := events[*audit.NetworkRequest](b)[0]
	if first.Path != "/a?x=…" || first.Status != 200 || first.Scheme != "https" || first.Protocol != "HTTP/2.0" || !slices.Equal(first.Credentials, []audit.Text{"key"}) {
		t.Errorf("%+v", first)
	}
}

// A redirect is the client's to follow, and what it sends then is for another host.
func TestARedirectCarriesNothingElsewhere(t *testing.T) {
	server := &seen{}
	p := keyed("api.test")
	p.Network.Rules = []profile.NetworkRule{{Host: "other.test", Methods: []string{"GET"}}} // so that it is read
	b := serveRead(t, p, server)
	c := b.browser()
	r, err := c.Get("https://api.test/?to=https://other.test/x")
	read(t, r, err)
	at, err := url.Parse(r.Header.Get("Location"))
	if err != nil || at.Host != "other.test" {
		t.Fatal(at, err)
	}
	r, err = c.Get(at.String())
	read(t, r, err)
	if got := server.last(); strings.Contains(got, realKey) || !strings.Contains(got, "other.test/x") {
		t.Error(got)
	}
}

// On plain HTTP to a host that TLS protects elsewhere, the secret stays here, and so does a stranger's.
func TestPlainHTTPCarriesNoSecret(t *testing.T) {
	var mu sync.Mutex
	var got []string
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r.Header.Get("X-Api-Key")+r.Header.Get("Authorization"))
	}))
	defer plain.Close()
	b := serveRead(t, keyed("api.test"), &seen{})
	b.dialer = func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address(plain))
	}
	say(t, b.captured("api.test", 80), "GET / HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer stranger\r\nX-Api-Key: mine\r\nConnection: close\r\n\r\n")
	if len(got) != 1 || got[0] != "" {
		t.Errorf("%q", got)
	}
}

func TestWhereARequestMayGoIsWhatItsConnectionIsFor(t *testing.T) {
	b := serveRead(t, keyed("api.test"), &seen{})
	for name, tc := range map[string]struct{ say, want string }{
		"the host of the connection": {"GET / HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n", "HTTP/1.1 200"},
		"with its port":              {"GET / HTTP/1.1\r\nHost: API.test.:443\r\nConnection: close\r\n\r\n", "HTTP/1.1 200"},
		"another host":               {"GET / HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n", "HTTP/1.1 421"},
		"another port":               {"GET / HTTP/1.1\r\nHost: api.test:80\r\nConnection: close\r\n\r\n", "HTTP/1.1 421"},
		"another one in its URL":     {"GET https://other.test/ HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n", "HTTP/1.1 421"},
		"another scheme in its URL":  {"GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n", "HTTP/1.1 421"},
		"a scoped package of npm's":  {"GET /@scope%2fname HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n", "HTTP/1.1 200"},
		"no HTTP at all":             {"SSH-2.0-x\r\n\r\n", "HTTP/1.1 400"},
	} {
		c := tls.Client(b.captured("api.test", 443), &tls.Config{RootCAs: b.trust, ServerName: "api.test"})
		if got := say(t, c, tc.say); !strings.HasPrefix(got, tc.want) {
			t.Errorf("%s: %.80q", name, got)
		}
	}
	c := tls.Client(b.captured("api.test", 443), &tls.Config{RootCAs: b.trust, ServerName: "other.test"})
	if err := c.Handshake(); err == nil || !strings.Contains(err.Error(), "access denied") {
		t.Errorf("another name in TLS: %v", err)
	}
}

// The three ways in lead to the same place.
func TestEveryWayInIsRead(t *testing.T) {
	b := serveRead(t, keyed("api.test"), &seen{})
	for _, scheme := range []string{"http", "socks5"} {
		if r, err := b.proxied(scheme).Get("https://api.test/"); read(t, r, err) == "" {
			t.Error(scheme)
		}
	}
	base := "http://" + b.proxy.Addr().String() + "/key"
	r, err := http.Get(base + "/v1/x?y=1")
	if body := read(t, r, err); r.StatusCode != http.StatusOK || body != "ok "+strings.Repeat("*", len(realKey)) {
		t.Errorf("base URL: %d %q", r.StatusCode, body)
	}
	if r, err := http.Get("http://" + b.proxy.Addr().String() + "/nokey/"); err != nil || r.StatusCode != http.StatusBadRequest {
		t.Errorf("a name that there is not: %v, %v", r, err)
	}
	b.Close()
	var vias []string
	for _, e := range events[*audit.NetworkRequest](b) {
		vias = append(vias, string(e.Via))
	}
	if slices.Sort(vias); !slices.Equal(vias, []string{"base-url", "connect", "socks5"}) {
		t.Errorf("%v", vias)
	}
}

// Where paths decide about a credential, one that could be read in two ways goes nowhere.
func TestAPathWithTwoReadings(t *testing.T) {
	p := keyed("api.test")
	p.Credentials[0].Paths = []string{"/a/**"}
	b := serveRead(t, p, &seen{})
	for path, want := range map[string]string{"/a/b": "HTTP/1.1 200", "/b": "HTTP/1.1 200", "/a/%2e%2e/b": "HTTP/1.1 403", "/a%2fb": "HTTP/1.1 403", "/a//b": "HTTP/1.1 403"} {
		c := tls.Client(b.captured("api.test", 443), &tls.Config{RootCAs: b.trust, ServerName: "api.test"})
		if got := say(t, c, "GET "+path+" HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %.80q", path, got)
		}
	}
}

func TestRulesAboutRequestsHoldInsideTLS(t *testing.T) {
	b := serveRead(t, profile.Profile{Network: profile.Network{Allow: []string{"api.test"},
		Rules: []profile.NetworkRule{{Host: "api.test", Methods: []string{"GET"}, Paths: []string{"/repos/**"}}}}}, &seen{})
	for request, want := range map[string]int{"GET /repos/a": 200, "POST /repos/a": 403, "GET /user": 403, "GET /repos/../user": 403, "GET /repos//a": 403} {
		method, path, _ := strings.Cut(request, " ")
		c := tls.Client(b.captured("api.test", 443), &tls.Config{RootCAs: b.trust, ServerName: "api.test"})
		got := say(t, c, method+" "+path+" HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", want)) {
			t.Errorf("%s: %.60q", request, got)
		}
	}
}

// A client that does not trust the session's authority leaves a trace that says so.
func TestAClientThatDoesNotTrust(t *testing.T) {
	b := serveRead(t, keyed("api.test"), &seen{})
	raw := b.captured("api.test", 443)
	err := tls.Client(raw, &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "api.test"}).Handshake()
	var unknown *tls.CertificateVerificationError
	if !errors.As(err, &unknown) {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, raw) // until it is over on the other side
	list := events[*audit.NetworkRefused](b)
	if len(list) != 1 || !strings.Contains(string(list[0].Detail), "TLS with agentbox") || !strings.Contains(string(list[0].Detail), "bad certificate") {
		t.Errorf("%+v", *list[0])
	}
}
