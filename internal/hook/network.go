package hook

import (
	"net/url"
	"strings"

	"agentbox/profile"
)

// A network is what the proxy would say about a host.
type network struct {
	mode        string
	allow, deny []profile.HostPattern
	open        bool // an entry names hosts that are looked up elsewhere
}

func newNetwork(n profile.Network) *network {
	out := &network{mode: n.Mode}
	for _, entry := range n.Allow {
		if p, err := profile.ParseHostPattern(entry, false); err == nil && !strings.HasPrefix(entry, "@") {
			out.allow = append(out.allow, p)
		} else {
			out.open = true
		}
	}
	for _, entry := range n.Deny {
		if p, err := profile.ParseHostPattern(entry, true); err == nil && entry != "*" {
			out.deny = append(out.deny, p)
		}
	}
	return out
}

// refuses reports a host that the proxy would not reach.
func (n *network) refuses(h profile.Host) bool {
	for _, d := range n.deny {
		if d.Match(h) {
			return true
		}
	}
	if n.open && n.mode == "allowlist" {
		return false
	}
	for _, a := range n.allow {
		if a.Match(h) {
			return n.mode != "allowlist"
		}
	}
	return true
}

// host reads the address of a WebFetch.
func host(text string) (profile.Host, bool) {
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.Scheme != "https" && u.Scheme != "http" || strings.ContainsAny(text, "\\ \t\r\n") {
		return profile.Host{}, false
	}
	h, err := profile.ParseHost(u.Hostname())
	return h, err == nil
}

// atDomain reports that a WebFetch is for a domain of a rule.
func (c call) atDomain(spec string) bool {
	h, ok := host(textOf(c.fields["url"]))
	entry, isDomain := strings.CutPrefix(spec, "domain:")
	if !ok || !isDomain {
		return false
	}
	p, err := profile.ParseHostPattern(entry, true)
	return err == nil && p.Match(h)
}

// url refuses a WebFetch for what its address names.
func (c call) url() (Answer, bool) {
	if c.Tool != "WebFetch" {
		return Answer{}, false
	}
	h, ok := host(textOf(c.fields["url"]))
	switch {
	case !ok:
		return Answer{Rule: "default: strange-address", Reason: "this is no plain address of a web page: write https:// and the name of a host."}, true
	case c.p.network.refuses(h):
		return Answer{Rule: "network.allow", Reason: "the box cannot reach " + h.String() + ": network.allow does not name it. Tell the person which host you need and why."}, true
	}
	return Answer{}, false
}
