package egress

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"agentbox/internal/egress/route"
	"agentbox/profile"
)

// defaultPort is the one that an entry of an allow list stands for when it names none.
const defaultPort = 443

// A Reason is why something may, or may not, leave the box. The zero value is that nothing allows it.
type Reason uint8

// The reasons.
const (
	NotAllowed Reason = iota // no entry of network.allow names the host and port
	Allowed
	Denied         // an entry of network.deny names it
	BadHost        // it is no host at all
	BadAddress     // the address is one that no name may have
	BadRequest     // method or path are not what a rule allows
	Mismatch       // the name asked for, the one in TLS or HTTP and the address do not agree
	WrongProtocol  // what the client sent is not what belongs to the port
	TooMany        // a rule's limit of connections, rate or bytes, or the box's own
	Unreachable    // it was allowed, and upstream failed
	Spent          // the budget is used up, or cannot be kept
	reasonsInTotal // how many there are
)

var reasonWords = [reasonsInTotal]string{
	NotAllowed: "not-allowed", Allowed: "allowed", Denied: "denied", BadHost: "bad-host", BadAddress: "bad-address", BadRequest: "bad-request",
	Mismatch: "mismatch", WrongProtocol: "wrong-protocol", TooMany: "limit", Unreachable: "unreachable",
	Spent: "budget",
}

// String is the word that records and --json have for it.
func (r Reason) String() string {
	if r < reasonsInTotal {
		return reasonWords[r]
	}
	return "unknown"
}

// A Query is what somebody wants to reach.
type Query struct {
	Host profile.Host
	Port uint16
	// Method and Path are of a request that can be read; Method is "" where it cannot.
	Method, Path string
}

// A Verdict answers a Query. The zero value refuses.
type Verdict struct {
	Reason Reason
	Rule   string // the key of the entry that decided, as the merged profile calls it; "" when none did
	Entry  string // what it says
	Detail string // what more there is to say
}

// OK says that it may leave.
func (v Verdict) OK() bool { return v.Reason == Allowed }

// An entry is one of a host list.
type entry struct {
	profile.HostPattern
	key, text string
}

// A limit is a row of network.rule.
type ruleEntry struct {
	entry
	row profile.NetworkRule
}

// A Policy decides what may leave a box. It is immutable; the zero value lets nothing out.
type Policy struct {
	allow, deny []entry
	private     []netip.Prefix
	rules       []ruleEntry
	inspected   []entry
	own         func(netip.Addr) bool
	proxied     bool // an upstream proxy resolves the names
}

// An Endpoint is one that a word like "@npm" stands for.
type Endpoint struct {
	Host string
	Port uint16
}

// Compile makes a policy of a profile that Check has passed. inspected are the hosts whose TLS is read; registries has what "@npm" and its kin stand for on this
// host, and own tells this machine's addresses.
func Compile(n profile.Network, inspected []string, registries map[string][]Endpoint, own func(netip.Addr) bool) (*Policy, error) {
	p := &Policy{own: own, proxied: n.UpstreamProxy != ""}
	var err error
	if n.Mode != "allowlist" {
		return p, nil
	}
	if p.allow, err = compileList("network.allow", n.Allow, false, registries); err != nil {
		return nil, err
	}
	if p.deny, err = compileList("network.deny", n.Deny, true, registries); err != nil {
		return nil, err
	}
	if p.inspected, err = compileList("inspected", inspected, false, registries); err != nil {
		return nil, err
	}
	for _, text := range n.Private {
		r, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, err
		}
		p.private = append(p.private, r)
	}
	for i, r := range n.Rules {
		list, err := compileList(fmt.Sprintf("network.rule[%d].host", i), []string{r.Host}, false, registries)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			e.key = fmt.Sprintf("network.rule[%d]", i)
			p.rules = append(p.rules, ruleEntry{e, r})
		}
	}
	return p, nil
}

func compileList(key string, texts []string, deny bool, registries map[string][]Endpoint) ([]entry, error) {
	var list []entry
	for i, text := range texts {
		at := key
		if !strings.HasSuffix(key, ".host") {
			at = fmt.Sprintf("%s[%d]", key, i)
		}
		pattern, err := profile.ParseHostPattern(text, deny)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		if pattern.Registry == "" {
			list = append(list, entry{pattern, at, text})
			continue
		}
		for _, e := range registries[pattern.Registry] {
			h, err := profile.ParseHost(e.Host)
			if err != nil || e.Port == 0 {
				return nil, fmt.Errorf("%s: %q stands for %q, which is not a host", at, text, e.Host)
			}
			list = append(list, entry{profile.HostPattern{Host: h, Port: e.Port}, at, text})
		}
	}
	return list, nil
}

// Decide answers a query. It looks nothing up: what address the host has is checked when it is dialled.
func (p *Policy) Decide(q Query) Verdict {
	if q.Host.IsZero() || q.Port == 0 {
		return Verdict{Reason: BadHost}
	}
	if i, ok := p.denies(q.Host, q.Port); ok {
		return p.deny[i].verdict(Denied)
	}
	i, ok := p.allows(q.Host, q.Port)
	if !ok {
		return p.unlisted(q)
	}
	v := p.allow[i].verdict(Allowed)
	if narrowed := p.narrow(q); narrowed != nil {
		return *narrowed
	}
	return v
}

func (e entry) verdict(r Reason) Verdict { return Verdict{Reason: r, Rule: e.key, Entry: e.text} }

// unlisted says what comes nearest to the query.
func (p *Policy) unlisted(q Query) Verdict {
	v := Verdict{Reason: NotAllowed}
	for _, e := range p.allow {
		if e.Match(q.Host) {
			v.Detail = fmt.Sprintf("%s (%q) allows port %d of it, not %d", e.key, e.text, portOf(e), q.Port)
			return v
		}
	}
	for _, e := range p.deny {
		if e.All {
			return e.verdict(NotAllowed)
		}
	}
	return v
}

func portOf(e entry) uint16 {
	if e.Port == 0 {
		return defaultPort
	}
	return e.Port
}

// denies finds the entry that denies; without a port an entry is about all of them. "*" is none: it means that nothing
// else is allowed, which is so anyway.
func (p *Policy) denies(h profile.Host, port uint16) (int, bool) {
	i := slices.IndexFunc(p.deny, func(e entry) bool { return (e.Port == 0 || e.Port == port) && e.Match(h) })
	return i, i >= 0
}

func (p *Policy) allows(h profile.Host, port uint16) (int, bool) {
	i := slices.IndexFunc(p.allow, func(e entry) bool { return portOf(e) == port && e.Match(h) })
	return i, i >= 0
}

// AllowsName reports whether any port of a host is allowed: whether its name is to be resolved.
func (p *Policy) AllowsName(h profile.Host) (Verdict, bool) {
	best := Verdict{Reason: NotAllowed}
	for _, e := range p.allow {
		if !e.Match(h) {
			continue
		}
		if best = p.Decide(Query{Host: h, Port: portOf(e)}); best.OK() || best.Reason == BadRequest {
			return best, true
		}
	}
	if best.Reason == NotAllowed {
		best = p.Decide(Query{Host: h, Port: defaultPort})
	}
	return best, false
}

// rulesFor are the rules about a host and port.
func (p *Policy) rulesFor(h profile.Host, port uint16) []ruleEntry {
	var list []ruleEntry
	for _, r := range p.rules {
		if (r.Port == 0 || r.Port == port) && r.Match(h) {
			list = append(list, r)
		}
	}
	return list
}

// Inspects reports whether TLS to a host is read, and nothing else may be spoken there.
func (p *Policy) Inspects(h profile.Host, port uint16) bool {
	if port == httpPort {
		return false
	}
	about := func(r ruleEntry) bool { return r.row.AboutRequests() }
	return slices.ContainsFunc(p.inspected, func(e entry) bool { return portOf(e) == port && e.Match(h) }) ||
		slices.ContainsFunc(p.rulesFor(h, port), about)
}

// ByPath names the rule by which the path of a request to a host decides, if there is one. A path that servers could read
// in more than one way is refused there.
func (p *Policy) ByPath(h profile.Host, port uint16) (rule string, ok bool) {
	for _, r := range p.rulesFor(h, port) {
		if len(r.row.Paths) > 0 {
			return r.key, true
		}
	}
	return "", false
}

// InspectedHosts are the names and addresses that a session's authority must be able to sign for.
func (p *Policy) InspectedHosts() (names []string, addrs []netip.Addr) {
	for _, e := range p.inspected {
		switch {
		case e.Host.Addr.IsValid():
			addrs = append(addrs, e.Host.Addr)
		case e.Subdomains:
			names = append(names, "*."+e.Host.Name)
		default:
			names = append(names, e.Host.Name)
		}
	}
	return names, addrs
}

// narrow is the refusal of the rules about a host, or nil. Those with methods or paths are alternatives; where they are
// and the request cannot be read, it is refused.
func (p *Policy) narrow(q Query) *Verdict {
	var refusal *Verdict
	for _, r := range p.rulesFor(q.Host, q.Port) {
		if !r.row.AboutRequests() {
			continue
		}
		if q.Method != "" && (route.Match{Methods: r.row.Methods, Paths: r.row.Paths}).Permits(q.Method, q.Path) {
			return nil
		}
		if refusal == nil {
			v := r.verdict(BadRequest)
			v.Detail = r.says()
			refusal = &v
		}
	}
	return refusal
}

func (r ruleEntry) says() string {
	var parts []string
	if len(r.row.Methods) > 0 {
		parts = append(parts, strings.Join(r.row.Methods, ", "))
	}
	if len(r.row.Paths) > 0 {
		parts = append(parts, strings.Join(r.row.Paths, ", "))
	}
	return "it allows " + strings.Join(parts, " of ")
}

// Address answers whether an allowed host may be dialled at one of its addresses.
func (p *Policy) Address(host profile.Host, port uint16, a netip.Addr) Verdict {
	reason, detail := p.mayDial(host, port, a)
	v := Verdict{Reason: reason, Detail: detail}
	if reason == Denied {
		v.Rule, v.Detail = detail, ""
	}
	return v
}

// Says is what a reason means, for people.
func (r Reason) Says() string { return reasonTexts[min(r, reasonsInTotal-1)] }
