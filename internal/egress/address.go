package egress

import (
	"net/netip"

	"agentbox/profile"
)

// A class is why an address is not simply one of the internet.
type class string

// The classes. What is neither of them is an address that anybody may be reached at.
const (
	internet  class = ""
	loopback  class = "loopback"
	private   class = "private"
	local     class = "link-local"
	metadata  class = "cloud metadata"
	multicast class = "multicast or broadcast"
	reserved  class = "reserved"
	embedded  class = "IPv4 in IPv6"
	ownHost   class = "this machine's own"
)

// ranges are looked up in this order; the first that contains an address decides. Sources: the IANA special-purpose
// address registries (RFC 6890), RFC 1918, RFC 4193, RFC 6598, RFC 3927, RFC 6052, RFC 3056, RFC 4380, and the clouds'
// own manuals for their metadata. The ranges for documentation are not among them: they lead nowhere.
var ranges = []struct {
	prefix string
	class  class
}{
	{"169.254.169.254/32", metadata}, {"169.254.170.2/32", metadata}, {"169.254.170.23/32", metadata},
	{"100.100.100.200/32", metadata}, {"168.63.129.16/32", metadata}, {"192.0.0.192/32", metadata},
	{"fd00:ec2::/32", metadata}, {"fd20:ce::254/128", metadata}, {"fe80::a9fe:a9fe/128", metadata},
	{"0.0.0.0/8", reserved}, {"127.0.0.0/8", loopback}, {"10.0.0.0/8", private}, {"172.16.0.0/12", private},
	{"192.168.0.0/16", private}, {"100.64.0.0/10", private}, {"169.254.0.0/16", local},
	{"192.0.0.0/24", reserved}, {"198.18.0.0/15", reserved}, {"192.88.99.0/24", reserved}, {"224.0.0.0/4", multicast}, {"255.255.255.255/32", multicast}, {"240.0.0.0/4", reserved},
	{"::1/128", loopback}, {"::/96", embedded}, {"::ffff:0:0/96", embedded}, {"::ffff:0:0:0/96", embedded},
	{"64:ff9b::/96", embedded}, {"64:ff9b:1::/48", embedded}, {"2002::/16", embedded}, {"2001::/32", embedded},
	{"100::/64", reserved}, {"2001:2::/48", reserved},
	{"2001:10::/28", reserved}, {"2001:20::/28", reserved}, {"5f00::/16", reserved},
	{"fc00::/7", private}, {"fe80::/10", local}, {"fec0::/10", local}, {"ff00::/8", multicast},
}

// parsed are the ranges, in their order.
var parsed = func() []netip.Prefix {
	list := make([]netip.Prefix, len(ranges))
	for i, r := range ranges {
		list[i] = netip.MustParsePrefix(r.prefix)
	}
	return list
}()

// classify says what an address is by itself. The Teredo, 6to4 and NAT64 forms, and an interface identifier that holds
// an IPv4 address (ISATAP, RFC 5214), are refused as such: what they lead to is up to a router.
func classify(a netip.Addr) class {
	a = a.WithZone("").Unmap()
	for i, p := range parsed {
		if p.Contains(a) {
			return ranges[i].class
		}
	}
	if a.Is6() {
		if b := a.As16(); b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe {
			return embedded
		}
		if b := a.As16(); b[0]&0xe0 != 0x20 { // what is not 2000::/3 has not been given to anybody (RFC 4291, section 2.4)
			return reserved
		}
	}
	return internet
}

// mayDial says whether an address may be dialled for an allowed host: the internet's may, private ones where the profile
// opens their range, and any that allow names by itself. The result names what stands in the way.
func (p *Policy) mayDial(host profile.Host, port uint16, a netip.Addr) (refused Reason, detail string) {
	a = a.WithZone("").Unmap()
	if i, ok := p.denies(profile.Host{Addr: a}, port); ok {
		return Denied, p.deny[i].key
	}
	if host.Addr == a {
		return Allowed, "" // it was named
	}
	if _, ok := p.allows(profile.Host{Addr: a}, port); ok {
		return Allowed, ""
	}
	c := classify(a)
	if c == internet && p.own(a) {
		c = ownHost
	}
	switch c {
	case internet:
		return Allowed, ""
	case loopback, private:
		for _, r := range p.private {
			if r.Contains(a) {
				return Allowed, ""
			}
		}
	}
	return BadAddress, string(c)
}
