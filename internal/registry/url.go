package registry

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

var (
	errNoHost = errors.New("not a URL with a host")
	errLocal  = errors.New("a directory of this machine")
)

// The ports of the schemes that a tool can get packages by. Git may use SSH (RFC 4253, section 4).
var (
	web       = map[string]uint16{"https": 443, "http": 80}
	webAndSSH = map[string]uint16{"https": 443, "http": 80, "ssh": 22}
)

// parseURL returns where a URL leads, errLocal or errNoHost. Errors of net/url are not wrapped: they quote the URL,
// which may hold a password.
func parseURL(text string, ports map[string]uint16) (Endpoint, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil {
		return Endpoint{}, errNoHost
	}
	if u.Scheme == "file" {
		return Endpoint{}, errLocal
	}
	port, known := ports[u.Scheme]
	if !known || u.Opaque != "" {
		return Endpoint{}, errNoHost
	}
	if text := u.Port(); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return Endpoint{}, errNoHost
		}
		port = uint16(n)
	}
	host, ok := normalHost(u.Hostname())
	if !ok {
		return Endpoint{}, errNoHost
	}
	return Endpoint{Host: host, Port: port}, nil
}

// add takes a URL that may also be a directory of this machine, which is no endpoint.
func (s endpoints) add(text string, ports map[string]uint16) error {
	e, err := parseURL(text, ports)
	if err == nil {
		s[e] = true
	} else if errors.Is(err, errLocal) {
		return nil
	}
	return err
}

// normalHost returns a host name in lower case with A-labels (RFC 5891), or an address. What one reader takes for a
// name and another for an address ("0x7f.1") is neither.
func normalHost(host string) (string, bool) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().String(), a.Zone() == ""
	}
	for i := range len(host) {
		if c := host[i]; c < 0x80 && c != '.' && !wordByte(c) {
			return "", false
		}
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if strings.ContainsFunc(name, func(r rune) bool { return r >= 0x80 }) || strings.Contains(name, "xn--") {
		var err error
		if name, err = idna.Lookup.ToASCII(name); err != nil {
			return "", false
		}
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", false
		}
	}
	last := labels[len(labels)-1]
	return name, len(name) <= 253 && !number(last)
}

func number(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// wordByte reports what names are made of: host names, npm's scopes and cargo's registries.
func wordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}
