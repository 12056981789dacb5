package egress

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"agentbox/internal/audit"
	"agentbox/internal/egress/credential"
	"agentbox/internal/egress/scrub"
)

// A vault knows the secrets that have left, so that none comes back, and the placeholders that stand for them.
type vault struct {
	rows         []credential.Credential
	placeholders *scrub.Set
	mu           sync.Mutex
	known        map[string][]string // by credential: the forms of its secret now, and of those before
	now          *scrub.Set
}

// mostKept bounds how many forms of former secrets of one credential are looked for.
const mostKept = 64

func newVault(rows []credential.Credential, placeholders map[string]string) *vault {
	needles := map[string][]string{}
	for name, text := range placeholders {
		needles[name] = scrub.Encodings(text)
	}
	return &vault{rows: rows, placeholders: scrub.NewSet(needles), known: map[string][]string{}, now: scrub.NewSet(nil)}
}

// secrets are those that may come back once these have been sent.
func (v *vault) secrets(sent []credential.Secret) *scrub.Set {
	v.mu.Lock()
	defer v.mu.Unlock()
	changed := false
	for _, s := range sent {
		i := slices.IndexFunc(v.rows, func(c credential.Credential) bool { return c.Row.Name == s.Name })
		if i < 0 || slices.Contains(v.known[s.Name], s.Value.Reveal()) {
			continue
		}
		var forms []string
		for _, f := range v.rows[i].Forms(s.Value) {
			forms = append(forms, scrub.Encodings(f)...)
		}
		all := append(forms, v.known[s.Name]...)
		v.known[s.Name] = all[:min(len(all), mostKept)]
		changed = true
	}
	if changed {
		v.now = scrub.NewSet(v.known)
	}
	return v.now
}

// authenticate replaces what the agent sent as authentication by what the profile names. Its refusal is to be written.
func (g *Gateway) authenticate(e *exchange, path string) *refusal {
	to := e.flow.target.credential()
	if !g.credentials.Covers(to) {
		return nil
	}
	dropHops(e.request.Header)
	var err error
	if e.added, err = g.credentials.Apply(e.request.Context(), e.request, to, path); err != nil {
		return &refusal{Verdict: Verdict{Reason: Unreachable}, err: err}
	}
	e.secrets = g.vault.secrets(e.added)
	// What is compressed cannot be looked at.
	e.request.Header.Set("Accept-Encoding", "identity")
	e.request.Header.Del("Sec-Websocket-Extensions")
	return nil
}

// dropHops takes off what a request's Connection names (RFC 9110, section 7.6.1), before it could name what is added.
func dropHops(h http.Header) {
	upgrade := false
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); strings.EqualFold(name, "Upgrade") {
				upgrade = true
				continue
			}
			h.Del(name)
		}
	}
	if h.Del("Connection"); upgrade {
		h.Set("Connection", "Upgrade")
	}
}

// found puts a secret that came back on the record, once for each place.
func (e *exchange) found(where string) func(name string) {
	seen := map[string]bool{}
	return func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		f := e.flow
		cut := &audit.SecretCut{Credential: audit.Text(name), Where: audit.Text(where), Host: audit.Text(f.host.String()), Port: f.port,
			Method: audit.Text(e.asked.Method), Path: audit.Text(shownPath(e.asked.URL))}
		cut.PID, cut.Argv = e.gateway.program(e.client)
		e.gateway.record(cut)
	}
}

// cutHeader cuts secrets out of a response's head.
func (e *exchange) cutHeader(h http.Header) {
	if e.secrets == nil {
		return
	}
	found := e.found("head")
	for name, values := range h {
		if names := e.secrets.FindFold(name); len(names) > 0 {
			delete(h, name)
			for _, n := range names {
				found(n)
			}
			continue
		}
		for i, v := range values {
			cut, names := e.secrets.Cut([]byte(v))
			for _, n := range names {
				found(n)
				h[name][i] = string(cut)
			}
		}
	}
}

// received prepares what comes back to be looked at as it passes.
func (g *Gateway) received(r *http.Response) error {
	e := r.Request.Context().Value(exchangeKey{}).(*exchange)
	if r.StatusCode == http.StatusSwitchingProtocols { // its head is written past WriteHeader, with the server's own words
		e.cutHeader(r.Header)
		r.Status = ""
		return nil
	}
	if len(r.Trailer) > 0 { // HTTP/1.1 has trailers in chunks alone
		r.Header.Del("Content-Length")
	}
	body := io.Reader(r.Body)
	if e.secrets != nil {
		body = e.secrets.NewReader(body, e.found("body"))
	}
	body = e.usage.watch(r, body)
	if body != io.Reader(r.Body) {
		r.Body = &passing{Reader: body, Closer: r.Body, response: r, e: e}
	}
	return nil
}

// passing is a body that is looked at; its trailers come after it.
type passing struct {
	io.Reader
	io.Closer
	response *http.Response
	e        *exchange
}

// Read cuts the trailers where the body ends.
func (p *passing) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if err != nil {
		p.e.cutHeader(p.response.Trailer)
	}
	return n, err
}

// watchHead looks for placeholders in a request's head.
func (g *Gateway) watchHead(e *exchange) {
	if g.vault == nil {
		return
	}
	names := g.vault.placeholders.Find([]byte(e.asked.RequestURI))
	for name, values := range e.asked.Header {
		names = append(names, g.vault.placeholders.Find([]byte(name))...)
		for _, v := range values {
			names = append(names, g.vault.placeholders.Find([]byte(v))...)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		g.tripped(e.client, e.flow.target, name, "head")
	}
}

// watchBody looks for placeholders in what follows.
func (g *Gateway) watchBody(e *exchange) io.Writer {
	if g.vault == nil {
		return io.Discard
	}
	return g.vault.placeholders.Watch(func(name string) { g.tripped(e.client, e.flow.target, name, "body") })
}

// watchName looks for placeholders in a host's name, by which data leaves where names are asked for.
func (g *Gateway) watchName(c *client, to target) {
	if g.vault == nil {
		return
	}
	for _, name := range g.vault.placeholders.FindFold(to.name()) {
		g.tripped(c, to, name, "name")
	}
}

// tripped puts a placeholder on the record that is on its way to where it has no business.
func (g *Gateway) tripped(c *client, to target, name, where string) {
	i := slices.IndexFunc(g.vault.rows, func(c credential.Credential) bool { return c.Row.Name == name })
	if i >= 0 && g.credentials.Reaches(name, to.credential()) {
		return
	}
	e := &audit.NetworkTripwire{Credential: audit.Text(name), Where: audit.Text(where), Via: audit.Text(to.via), Host: audit.Text(to.name()), Port: to.port}
	e.PID, e.Argv = g.program(c)
	g.record(e)
}

// Refreshed is to be told when a credential's secret was read again.
func (g *Gateway) Refreshed(name string, err error) {
	e := &audit.CredentialRefresh{Credential: audit.Text(name)}
	if err != nil {
		e.Error = audit.Text(err.Error())
	}
	g.record(e)
}
