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
	c.each("network.publish", n.Publish, publishProblem)
	c.each("network.forward", n.Forward, forwardProblem)
	c.each("network.extra_ca", n.ExtraCA, fileProblem)
	if n.UpstreamProxy != "" {
		if w := proxyProblem(n.UpstreamProxy); w != nil {
			c.finding("network.upstream_proxy", *w)
		}
	}
}

func publishProblem(s string) *complaint {
	for part := range strings.SplitSeq(s, ":") {
		if !validPort(part) || strings.Count(s, ":") > 1 {
			return &complaint{msg: fmt.Sprintf("%q is not a port", s), hint: `write the box's port ("3000"), or the host's and the box's ("8080:3000")`}
		}
	}
	return nil
}

func forwardProblem(s string) *complaint {
	const hint = `write "127.0.0.1:5432" or "unix:/path/to/socket"`
	if p, ok := strings.CutPrefix(s, "unix:"); ok {
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

var httpMethod = lazily(`^[A-Z]{1,20}$`)

func (c *checker) rules() {
	for i, r := range c.p.Network.Rules {
		at := index("network.rule", i)
		if r.Host == "" {
			c.add(at+".host", "is missing", "a rule is about one host")
		} else if w := hostProblem(r.Host, false); w != nil {
			c.finding(at+".host", *w)
		}
		if len(r.Methods) == 0 && len(r.Paths) == 0 {
			c.add(at, "narrows nothing", "give it methods, paths or both")
		}
		c.each(at+".methods", r.Methods, func(s string) *complaint {
			if !httpMethod().MatchString(s) {
				return &complaint{msg: fmt.Sprintf("%q is not an HTTP method", s), hint: `methods are written in capitals ("GET")`}
			}
			return nil
		})
		c.each(at+".paths", r.Paths, func(s string) *complaint {
			if !strings.HasPrefix(s, "/") || strings.Contains(s+"/", "/../") || strings.ContainsAny(s, "?#") {
				return &complaint{msg: fmt.Sprintf("%q is not the path of a URL", s), hint: `write it from "/", without a query ("/repos/**")`}
			}
			return nil
		})
	}
}
