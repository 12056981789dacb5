package profile

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// A Host is the one form that a host has in every decision, lookup, connection and record, however it was written.
// Exactly one of its fields is set; the zero value is no host, and nothing allows it.
type Host struct {
	Name string     // lower case, without the trailing dot, A-labels (RFC 5891)
	Addr netip.Addr // without a zone; an IPv4 address in IPv6 form (RFC 4291, section 2.5.5.2) is the IPv4 address
}

// String is the host as it stands before a colon and a port.
func (h Host) String() string {
	if h.Addr.Is6() {
		return "[" + h.Addr.String() + "]"
	}
	if h.Addr.IsValid() {
		return h.Addr.String()
	}
	return h.Name
}

// IsZero says that there is no host.
func (h Host) IsZero() bool { return h == Host{} }

// ErrNoHost says that a text is neither a name nor an address.
var ErrNoHost = errors.New("not a host name or an address")

// ParseHost reads a host as a program may write it: any case, with a trailing dot, as U-labels, in brackets, and of an
// address every form that inet_aton(3) takes ("0x7f.1", "017700000001", "2130706433"). What would be an address to one
// reader and a name to another is an error.
func ParseHost(s string) (Host, error) {
	if rest, ok := strings.CutPrefix(s, "["); ok {
		inner, ok := strings.CutSuffix(rest, "]")
		a, err := netip.ParseAddr(inner)
		if !ok || err != nil || !a.Is6() {
			return Host{}, ErrNoHost
		}
		return AddrHost(a)
	}
	if strings.Contains(s, ":") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return Host{}, ErrNoHost
		}
		return AddrHost(a)
	}
	name, err := plainHost(s)
	if err != nil {
		return Host{}, err
	}
	if !numeric(name[strings.LastIndexByte(name, '.')+1:]) {
		return Host{Name: name}, nil
	}
	// RFC 3986, section 3.2.2 and the URL standard's IPv4 parser: a last part that is a number makes an address, or nothing.
	a, ok := atoN(name)
	if !ok {
		return Host{}, ErrNoHost
	}
	return Host{Addr: a}, nil
}

// AddrHost is the host of an address. A zone names an interface of one machine, and is refused.
func AddrHost(a netip.Addr) (Host, error) {
	if !a.IsValid() || a.Zone() != "" {
		return Host{}, ErrNoHost
	}
	return Host{Addr: a.Unmap()}, nil
}

// maxName is the length of a name in text, without the trailing dot; see RFC 1035, section 2.3.4.
const maxName = 253

// plainHost normalises a name. Underscores pass, which RFC 1123 forbids and people use ("my_service.internal").
func plainHost(s string) (string, error) {
	for _, r := range s {
		if r <= ' ' || r == 0x7f || r < 0x80 && !labelByte(byte(r)) && r != '.' {
			return "", ErrNoHost
		}
	}
	name := strings.TrimSuffix(s, ".")
	if ascii := isASCII(name); ascii && !strings.Contains(strings.ToLower(name), "xn--") {
		name = strings.ToLower(name)
	} else {
		var err error
		if name, err = idna.Lookup.ToASCII(name); err != nil {
			return "", ErrNoHost
		}
		// What it made must be what it would leave as it is.
		if again, err := idna.Lookup.ToASCII(name); err != nil || again != name || !isASCII(name) {
			return "", ErrNoHost
		}
	}
	if name == "" || len(name) > maxName {
		return "", ErrNoHost
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", ErrNoHost
		}
	}
	return name, nil
}

func labelByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// numeric reports a part that some reader takes for a number: decimal or octal digits, or hexadecimal ones after "0x".
func numeric(part string) bool {
	if hex, ok := strings.CutPrefix(part, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return part != "" && strings.Trim(part, "0123456789") == ""
}

// atoN reads an IPv4 address as inet_aton(3) does: one to four parts, the last of which fills what is left.
func atoN(s string) (netip.Addr, bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var value uint64
	for i, part := range parts {
		n, ok := number(part)
		room := uint64(8)
		if i == len(parts)-1 {
			room = uint64(8 * (5 - len(parts)))
		}
		if !ok || n >= 1<<room {
			return netip.Addr{}, false
		}
		value = value<<room | n
	}
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}), true
}

func number(part string) (uint64, bool) {
	if !numeric(part) {
		return 0, false
	}
	base, digits := 10, part
	switch {
	case strings.HasPrefix(part, "0x"):
		base, digits = 16, part[2:]
	case len(part) > 1 && part[0] == '0':
		base, digits = 8, part[1:]
	}
	if digits == "" {
		return 0, base == 16 // "0x" is 0 to inet_aton
	}
	n, err := strconv.ParseUint(digits, base, 33)
	return n, err == nil
}
