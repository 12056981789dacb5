package profile

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

func (c *checker) network() {
	n := c.p.Network
	c.each("network.allow", n.Allow, func(s string) *complaint { return hostProblem(s, false) })
	c.each("network.deny", n.Deny, func(s string) *complaint { return hostProblem(s, true) })
	c.each("network.private", n.Private, privateProblem)
	c.each("network.publish", n.Publish, publishProblem)
	c.each("network.forward", n.Forward, forwardProblem)
	c.each("network.extra_ca", n.ExtraCA, fileProblem)
	if n.UpstreamProxy != "" {
		if w := proxyProblem(n.UpstreamProxy); w != nil {
			c.finding("network.upstream_proxy", *w)
		}
	}
	if n.UpstreamAuth != "" {
		if w := referenceProblem(n.UpstreamAuth); w != nil {
			c.finding("network.upstream_proxy_auth", *w)
		} else if n.UpstreamProxy == "" {
			c.add("network.upstream_proxy_auth", "is for a proxy, and there is none", "set network.upstream_proxy, or remove it")
		}
	}
	if n.Mode == "none" {
		c.unreachable()
	}
}

// unreachable warns of what a box without a network cannot use.
func (c *checker) unreachable() {
	n := c.p.Network
	for key, set := range map[string]bool{
		"network.publish": len(n.Publish) > 0, "network.forward": len(n.Forward) > 0, "network.allow": len(n.Allow) > 0,
	} {
		if set {
			c.warn(key, `has no effect: network.mode is "none"`, `write mode = "allowlist"`)
		}
	}
}

// privateRanges are what network.private may open: where an allowed name of a company's own network leads. Addresses of
// a link, of clouds' metadata and of groups are not among them; see internal/egress.
var privateRanges = []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "fc00::/7", "::1/128"}

func privateProblem(s string) *complaint {
	r, err := netip.ParsePrefix(s)
	if err != nil || r != r.Masked() || r.Addr().Is4In6() {
		hint := `write "10.1.0.0/16", or "10.1.2.3/32" for one address`
		if err == nil && !r.Addr().Is4In6() {
			hint = fmt.Sprintf("write %q", r.Masked())
		}
		return &complaint{msg: fmt.Sprintf("%q is not a range of addresses", s), hint: hint}
	}
	for _, p := range privateRanges {
		if all := netip.MustParsePrefix(p); all.Bits() <= r.Bits() && all.Contains(r.Addr()) {
			return nil
		}
	}
	return &complaint{msg: fmt.Sprintf("%q is not a range of private addresses", s), hint: "they are " + strings.Join(privateRanges, ", ")}
}

func publishProblem(s string) *complaint {
	for part := range strings.SplitSeq(s, ":") {
		if !validPort(part) || strings.Count(s, ":") > 1 {
			return &complaint{msg: fmt.Sprintf("%q is not a port", s), hint: `write the box's port ("3000"), or the host's and the box's ("8080:3000")`}
		}
	}
	return nil
}

// UnixForward is what an entry of network.forward begins with that is the path of a socket.
const UnixForward = "unix:"

// ForwardAddr is the address of an entry of network.forward that is one.
func ForwardAddr(entry string) (netip.AddrPort, error) {
	return netip.ParseAddrPort(strings.Replace(entry, "localhost:", "127.0.0.1:", 1))
}

func forwardProblem(s string) *complaint {
	const hint = `write "127.0.0.1:5432" or "unix:/path/to/socket"`
	if p, ok := strings.CutPrefix(s, UnixForward); ok {
		if !fullPath(p) || cleanPath(p) != p || p == "/" {
			return &complaint{msg: fmt.Sprintf("%q is not the full path of a socket", s), hint: hint}
		}
		return nil
	}
	host, port, ok := strings.Cut(s, ":")
	if i := strings.LastIndexByte(s, ':'); strings.HasPrefix(s, "[") && i > 0 {
		host, port = strings.Trim(s[:i], "[]"), s[i+1:]
	}
	if !ok || !validPort(port) {
		return &complaint{msg: fmt.Sprintf("%q is not an address and a port", s), hint: hint}
	}
	addr, err := netip.ParseAddr(host)
	if host != "localhost" && (err != nil || !addr.IsLoopback()) {
		return &complaint{msg: fmt.Sprintf("%q is not on the host's loopback", s), hint: "other hosts go into network.allow"}
	}
	return nil
}

// fileProblem checks the path of a file that agentbox itself reads or writes.
func fileProblem(p string) *complaint {
	if !fullPath(p) || cleanPath(p) != p {
		return &complaint{msg: fmt.Sprintf("%q is not a full path", p), hint: `write it from "/" or from "~/"`}
	}
	return nil
}

func proxyProblem(s string) *complaint {
	u, err := url.Parse(s)
	switch {
	// The text is not repeated: a proxy's URL is where people keep its password.
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5":
		return &complaint{msg: "is not the URL of a proxy", hint: `write "http://proxy.example.com:3128"`}
	case u.User != nil:
		return &complaint{msg: "has a user or password in it", hint: "a profile holds no secrets; name them in [[credential]]"}
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return &complaint{msg: "has more than a host and a port in it", hint: `write "http://proxy.example.com:3128"`}
	}
	return nil
}

// AboutRequests reports whether the rule is about requests, which are to be read then.
func (r NetworkRule) AboutRequests() bool { return len(r.Methods) > 0 || len(r.Paths) > 0 }

var httpMethod = lazily(`^[A-Z]{1,20}$`)

func (c *checker) rules() {
	for i, r := range c.p.Network.Rules {
		at := index("network.rule", i)
		if r.Host == "" {
			c.add(at+".host", "is missing", "a rule is about one host")
		} else if w := hostProblem(r.Host, false); w != nil {
			c.finding(at+".host", *w)
		}
		if len(r.Methods) == 0 && len(r.Paths) == 0 && r.Connections == 0 && r.Rate == "" && r.BytesOut == 0 {
			c.add(at, "narrows nothing", "give it methods, paths, connections, rate or bytes_out")
		}
		atLeast(c, at+".connections", r.Connections, 1, 1<<20)
		atLeast(c, at+".bytes_out", r.BytesOut, 1, 1<<60)
		if r.Rate != "" && !rate().MatchString(r.Rate) {
			c.add(at+".rate", fmt.Sprintf("%q is not a rate", r.Rate), `write a number and "/s", "/min" or "/h" ("60/min")`)
		}
		c.each(at+".methods", r.Methods, methodProblem)
		c.each(at+".paths", r.Paths, urlPathProblem)
	}
}

func methodProblem(s string) *complaint {
	if !httpMethod().MatchString(s) {
		return &complaint{msg: fmt.Sprintf("%q is not an HTTP method", s), hint: `methods are written in capitals ("GET")`}
	}
	return nil
}

func urlPathProblem(s string) *complaint {
	if !strings.HasPrefix(s, "/") || strings.Contains(s+"/", "/../") || strings.ContainsAny(s, "?#") {
		return &complaint{msg: fmt.Sprintf("%q is not the path of a URL", s), hint: `write it from "/", without a query ("/repos/**")`}
	}
	return nil
}
