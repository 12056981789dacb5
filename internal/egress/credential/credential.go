// Package credential changes the authentication of requests: what the agent sent is taken off, what the profile names is
// put on. It is pure but for the source that it asks for a secret.
//
// What it promises. A request to a host of a credential leaves with the secrets that the profile names for it and with no
// other authentication that this package knows: a key of a stranger's, which would make the host a way out, is of no use
// there. A secret goes into one place of one request and nowhere else.
//
// What it does not: it does not look into bodies, in which a server may take a password as well.
package credential

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"agentbox/internal/egress/route"
	"agentbox/internal/secret"
	"agentbox/profile"
)

// A Source gives a secret that is good now.
type Source interface {
	Get(context.Context) (secret.Value, error)
}

// A Credential is a row of the profile with its secret.
type Credential struct {
	Row    profile.Credential
	Source Source
}

// A Target is the host of a request; Secure says that TLS protects it.
type Target struct {
	Host   profile.Host
	Port   uint16
	Secure bool
}

// A Set is what a profile names. The zero value changes nothing.
type Set struct{ rows []row }

type row struct {
	Credential
	hosts []host
	match route.Match
}

type host struct {
	profile.HostPattern
	plain bool
}

const httpsPort = 443

// NewSet compiles rows that profile.Check has passed. endpoints has what a word like "@npm" stands for.
func NewSet(list []Credential, endpoints func(registry string) []profile.HostPattern) (*Set, error) {
	s := &Set{}
	for _, c := range list {
		r := row{Credential: c, match: route.Match{Methods: c.Row.Methods, Paths: c.Row.Paths}}
		for _, entry := range c.Row.Hosts {
			p, plain, err := profile.CredentialHost(entry)
			if err != nil {
				return nil, fmt.Errorf("credential %q: %w", c.Row.Name, err)
			}
			patterns := []profile.HostPattern{p}
			if p.Registry != "" {
				patterns = endpoints(p.Registry)
			}
			for _, p := range patterns {
				if p.Port == 0 {
					p.Port = httpsPort
				}
				r.hosts = append(r.hosts, host{p, plain})
			}
		}
		s.rows = append(s.rows, r)
	}
	return s, nil
}

func (r row) reaches(to Target) bool {
	return slices.ContainsFunc(r.hosts, func(h host) bool { return h.plain != to.Secure && h.Port == to.Port && h.Match(to.Host) })
}

// Covers reports whether a credential is for a host: what authentication goes there is not the agent's to say. On plain
// HTTP to a host that is protected elsewhere, too: nothing is added there, and what the agent sends is taken off.
func (s *Set) Covers(to Target) bool {
	return s != nil && slices.ContainsFunc(s.rows, func(r row) bool {
		return r.reaches(to) || !to.Secure && slices.ContainsFunc(r.hosts, func(h host) bool { return !h.plain && h.Match(to.Host) })
	})
}

// ByPath reports whether the path of a request to a host decides about its credentials.
func (s *Set) ByPath(to Target) bool {
	return s != nil && slices.ContainsFunc(s.rows, func(r row) bool { return r.reaches(to) && len(r.match.Paths) > 0 })
}

// Reaches reports whether the credential of that name is for a host.
func (s *Set) Reaches(name string, to Target) bool {
	return s != nil && slices.ContainsFunc(s.rows, func(r row) bool { return r.Row.Name == name && r.reaches(to) })
}

// Names are those of the credentials that a request would carry.
func (s *Set) Names(to Target, method, urlPath string) []string {
	var names, places []string
	if s == nil {
		return nil
	}
	for _, c := range s.rows {
		if c.reaches(to) && c.match.Permits(method, urlPath) && !slices.Contains(places, c.place()) {
			names, places = append(names, c.Row.Name), append(places, c.place())
		}
	}
	return names
}

// BaseURL is the host that the name of a credential stands for in the box's own URLs; ok is false if it stands for none.
func (s *Set) BaseURL(name string) (to Target, ok bool) {
	if s == nil {
		return to, false
	}
	for _, r := range s.rows {
		if r.Row.Name == name && len(r.hosts) == 1 && !r.hosts[0].Subdomains {
			h := r.hosts[0]
			return Target{Host: h.Host, Port: h.Port, Secure: !h.plain}, true
		}
	}
	return to, false
}

// A Secret is one that was put into a request.
type Secret struct {
	Name  string // of the credential
	Value secret.Value
}

// Apply changes a request, whose URL must be its own: what the agent sent as authentication is taken off, and each
// credential that is for the request is added. Of several for one place the first one counts. An error names a secret
// that cannot be had; the request must not be sent then.
func (s *Set) Apply(ctx context.Context, r *http.Request, to Target, urlPath string) ([]Secret, error) {
	if s == nil || !s.Covers(to) {
		return nil, nil
	}
	Strip(r, s.ownFields(to))
	var added []Secret
	names := s.Names(to, r.Method, urlPath)
	for _, c := range s.rows {
		if !slices.Contains(names, c.Row.Name) {
			continue
		}
		v, err := c.Source.Get(ctx)
		if err != nil {
			return nil, fmt.Errorf("credential %q: %w", c.Row.Name, err)
		}
		c.put(r, v)
		added = append(added, Secret{c.Row.Name, v})
	}
	return added, nil
}

// ownFields are the headers and parameters in which the host takes secrets, whether it takes them from this request or not.
func (s *Set) ownFields(to Target) (own []string) {
	for _, c := range s.rows {
		if c.reaches(to) {
			own = append(own, c.place())
		}
	}
	return own
}

// place is where the secret goes: "header:NAME" or "query:NAME".
func (r row) place() string {
	switch r.Row.Carrier() {
	case "query":
		return inQuery + r.Row.Query
	case "header":
		return inHeader + strings.ToLower(r.Row.Header)
	}
	return inHeader + "authorization"
}

const inHeader, inQuery = "header:", "query:"

func (r row) put(req *http.Request, v secret.Value) {
	text := v.Reveal()
	switch r.Row.Carrier() {
	case "bearer":
		req.Header.Set("Authorization", "Bearer "+text)
	case "basic":
		req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(r.Row.User+":"+text)))
	case "query":
		pair := url.QueryEscape(r.Row.Query) + "=" + url.QueryEscape(text)
		if req.URL.RawQuery != "" {
			pair = "&" + pair
		}
		req.URL.RawQuery += pair
	default:
		format := r.Row.Format
		if format == "" {
			format = "{}"
		}
		req.Header.Set(r.Row.Header, strings.Replace(format, "{}", text, 1))
	}
}

// Forms are what a secret looks like on its way, for who looks for it.
func (r Credential) Forms(v secret.Value) []string {
	forms := []string{v.Reveal()}
	if r.Row.Carrier() == "basic" {
		forms = append(forms, base64.StdEncoding.EncodeToString([]byte(r.Row.User+":"+v.Reveal())))
	}
	return forms
}
