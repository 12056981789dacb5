package profile

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// registries are the words that stand for the hosts of this machine's own tools.
var registries = []string{"@npm", "@go", "@pip", "@cargo"}

// A complaint is what is wrong with one value.
type complaint struct {
	msg, hint string
	warning   bool
}

// hostProblem checks one entry of a host list. Only deny lists may name "*" and
// address ranges.
func hostProblem(entry string, deny bool) *complaint {
	if strings.HasPrefix(entry, "@") {
		if slices.Contains(registries, entry) {
			return nil
		}
		return &complaint{msg: fmt.Sprintf("there is no %q", entry), hint: "the registries are " + strings.Join(registries, ", ")}
	}
	if deny && entry == "*" {
		return nil
	}
	if _, err := netip.ParsePrefix(entry); err == nil {
		if deny {
			return nil
		}
		return &complaint{msg: fmt.Sprintf("%q is a range of addresses", entry), hint: "name the hosts"}
	}
	if strings.Contains(entry, "://") || strings.Contains(entry, "/") {
		return &complaint{msg: fmt.Sprintf("%q is not a host", entry), hint: `write the name alone ("api.github.com"); paths go into [[network.rule]]`}
	}
	host, c := splitPort(entry)
	if c != nil {
		return c
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	return nameProblem(host, deny)
}

// splitPort takes the port off a host; an IPv6 address with one is in brackets.
func splitPort(entry string) (string, *complaint) {
	if rest, ok := strings.CutPrefix(entry, "["); ok {
		addr, port, ok := strings.Cut(rest, "]")
		if a, err := netip.ParseAddr(addr); !ok || err != nil || !a.Is6() {
			return "", &complaint{msg: fmt.Sprintf("%q is not an address in brackets", entry)}
		}
		if port == "" {
			return addr, nil
		}
		entry = "v6" + port
		if _, c := splitPort(entry); c != nil || !strings.HasPrefix(port, ":") {
			return "", &complaint{msg: fmt.Sprintf("%q has no valid port after the bracket", "["+rest)}
		}
		return addr, nil
	}
	host, port, ok := strings.Cut(entry, ":")
	if !ok || strings.Contains(port, ":") {
		return entry, nil // no port, or an IPv6 address
	}
	if !validPort(port) {
		return "", &complaint{msg: fmt.Sprintf("%q is not a port", port), hint: "a port is a number from 1 to 65535"}
	}
	return host, nil
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && s[0] != '0' && s[0] != '+'
}

func nameProblem(host string, deny bool) *complaint {
	base, wild := strings.CutPrefix(host, "*.")
	if strings.Contains(base, "*") || base == "" {
		return &complaint{msg: fmt.Sprintf("%q has a \"*\" where none may stand", host), hint: `a "*" stands for the whole first part ("*.example.com")`}
	}
	normal, err := idna.Lookup.ToASCII(strings.TrimSuffix(strings.ToLower(base), "."))
	if err != nil || strings.ContainsAny(base, " _@,;") {
		return &complaint{msg: fmt.Sprintf("%q is not a host name", host)}
	}
	if normal != base {
		if wild {
			normal = "*." + normal
		}
		return &complaint{msg: fmt.Sprintf("%q is not written as the network writes it", host), hint: fmt.Sprintf("write %q", normal)}
	}
	if !wild || deny {
		return nil
	}
	if registry(base) {
		return &complaint{msg: fmt.Sprintf("%q would allow every .%s host", host, base),
			hint: `name the host ("api.github.com") or one level below it ("*.githubusercontent.com")`}
	}
	if !slices.Contains(tenants, base) {
		return nil
	}
	return &complaint{warning: true, msg: fmt.Sprintf("anybody can get a name that %q allows", host), hint: "name the host if you can"}
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
