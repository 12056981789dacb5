package profile

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// registries are the words that stand for the hosts of this machine's own tools.
var registries = []string{"@npm", "@go", "@pip", "@cargo"}

// A complaint is what is wrong with one value.
type complaint struct {
	msg, hint string
	warning   bool
}

// A HostPattern is one entry of a host list. The zero value matches nothing.
type HostPattern struct {
	All        bool         // "*", in a deny list
	Registry   string       // "@npm" and its kin, which stand for other hosts
	Host       Host         // the host; with Subdomains what they end in
	Subdomains bool         // "*.": every name below Host, and not Host itself
	Range      netip.Prefix // in a deny list, or of network.private
	Port       uint16       // 0: none was written
}

// Match reports whether the pattern speaks of a host, whatever the port. "*" speaks of none: it is not more than what
// remains when nothing else does.
func (p HostPattern) Match(h Host) bool {
	switch {
	case p.Range.IsValid():
		return h.Addr.IsValid() && p.Range.Contains(h.Addr)
	case h.IsZero() || p.Host.IsZero():
		return false
	case p.Subdomains:
		return h.Name != "" && strings.HasSuffix(h.Name, "."+p.Host.Name)
	}
	return h == p.Host
}

// ParseHostPattern reads an entry that Check finds nothing wrong with; deny says which kind of list it stands in.
func ParseHostPattern(entry string, deny bool) (HostPattern, error) {
	p, c := parsePattern(entry, deny)
	if c != nil && !c.warning {
		return HostPattern{}, fmt.Errorf("%s", c.msg)
	}
	return p, nil
}

// hostProblem checks one entry of a host list. Only deny lists may name "*" and address ranges.
func hostProblem(entry string, deny bool) *complaint {
	_, c := parsePattern(entry, deny)
	return c
}

func parsePattern(entry string, deny bool) (HostPattern, *complaint) {
	if strings.HasPrefix(entry, "@") {
		if slices.Contains(registries, entry) {
			return HostPattern{Registry: entry}, nil
		}
		return HostPattern{}, &complaint{msg: fmt.Sprintf("there is no %q", entry), hint: "the registries are " + strings.Join(registries, ", ")}
	}
	if deny && entry == "*" {
		return HostPattern{All: true}, nil
	}
	if r, err := netip.ParsePrefix(entry); err == nil {
		if deny {
			return HostPattern{Range: unmapRange(r.Masked())}, nil
		}
		return HostPattern{}, &complaint{msg: fmt.Sprintf("%q is a range of addresses", entry),
			hint: "name the hosts; the private addresses that their names may have go into network.private"}
	}
	if strings.Contains(entry, "://") || strings.Contains(entry, "/") {
		return HostPattern{}, &complaint{msg: fmt.Sprintf("%q is not a host", entry), hint: `write the name alone ("api.github.com"); paths go into [[network.rule]]`}
	}
	host, port, c := splitPort(entry)
	if c != nil {
		return HostPattern{}, c
	}
	if a, err := netip.ParseAddr(host); err == nil {
		h, err := AddrHost(a)
		if err != nil {
			return HostPattern{}, &complaint{msg: fmt.Sprintf("%q names an interface", entry), hint: "write the address without a zone"}
		}
		return HostPattern{Host: h, Port: port}, nil
	}
	p, c := namePattern(host, deny)
	p.Port = port
	return p, c
}

// unmapRange is the IPv4 range that a range of mapped addresses is.
func unmapRange(r netip.Prefix) netip.Prefix {
	if !r.Addr().Is4In6() || r.Bits() < 96 {
		return r
	}
	return netip.PrefixFrom(r.Addr().Unmap(), r.Bits()-96)
}

// splitPort takes the port off a host; an IPv6 address with one is in brackets.
func splitPort(entry string) (string, uint16, *complaint) {
	if rest, ok := strings.CutPrefix(entry, "["); ok {
		addr, port, ok := strings.Cut(rest, "]")
		if a, err := netip.ParseAddr(addr); !ok || err != nil || !a.Is6() {
			return "", 0, &complaint{msg: fmt.Sprintf("%q is not an address in brackets", entry)}
		}
		if port == "" {
			return addr, 0, nil
		}
		digits, ok := strings.CutPrefix(port, ":")
		n, valid := parsePort(digits)
		if !ok || !valid {
			return "", 0, &complaint{msg: fmt.Sprintf("%q has no valid port after the bracket", entry)}
		}
		return addr, n, nil
	}
	host, port, ok := strings.Cut(entry, ":")
	if !ok || strings.Contains(port, ":") {
		return entry, 0, nil // no port, or an IPv6 address
	}
	n, valid := parsePort(port)
	if !valid {
		return "", 0, &complaint{msg: fmt.Sprintf("%q is not a port", port), hint: "a port is a number from 1 to 65535"}
	}
	return host, n, nil
}

func parsePort(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n > 0 && s[0] != '0' && s[0] != '+'
}

func validPort(s string) bool {
	_, ok := parsePort(s)
	return ok
}

func namePattern(host string, deny bool) (HostPattern, *complaint) {
	base, wild := strings.CutPrefix(host, "*.")
	if strings.Contains(base, "*") || base == "" {
		return HostPattern{}, &complaint{msg: fmt.Sprintf("%q has a \"*\" where none may stand", host), hint: `a "*" stands for the whole first part ("*.example.com")`}
	}
	h, err := ParseHost(base)
	if err != nil || h.Name == "" && wild {
		return HostPattern{}, &complaint{msg: fmt.Sprintf("%q is not a host name", host)}
	}
	if normal := h.String(); normal != base {
		if wild {
			normal = "*." + normal
		}
		return HostPattern{}, &complaint{msg: fmt.Sprintf("%q is not written as the network writes it", host), hint: fmt.Sprintf("write %q", normal)}
	}
	p := HostPattern{Host: h, Subdomains: wild}
	if !wild || deny {
		return p, nil
	}
	if registry(base) {
		return HostPattern{}, &complaint{msg: fmt.Sprintf("%q would allow every .%s host", host, base),
			hint: `name the host ("api.github.com") or one level below it ("*.githubusercontent.com")`}
	}
	if !slices.Contains(tenants, base) {
		return p, nil
	}
	return p, &complaint{warning: true, msg: fmt.Sprintf("anybody can get a name that %q allows", host), hint: "name the host if you can"}
}

// registry reports a suffix below which names are sold: a top-level domain, or the second level of a country's.
func registry(base string) bool {
	first, country, two := strings.Cut(base, ".")
	return !two || len(country) == 2 && slices.Contains([]string{"ac", "co", "com", "edu", "go", "gov", "mil", "ne", "net", "or", "org"}, first)
}

// tenants are suffixes below which anybody can have a host. The Public Suffix List knows more, but its Go package
// links an HTTP client into a program that has to start twice for every box.
var tenants = []string{
	"amazonaws.com", "appspot.com", "azurewebsites.net", "blob.core.windows.net", "cloudfront.net", "firebaseapp.com",
	"fly.dev", "github.io", "gitlab.io", "glitch.me", "herokuapp.com", "netlify.app", "ngrok-free.app", "ngrok.io",
	"onrender.com", "pages.dev", "repl.co", "run.app", "s3.amazonaws.com", "surge.sh", "trycloudflare.com", "vercel.app",
	"web.app", "workers.dev",
}
