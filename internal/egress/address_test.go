package egress

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"agentbox/profile"
)

// Ways to name an address that no box may reach. Each must be refused with a policy that allows every name the list
// mentions, so that nothing but the address stands in its way.
var spellings = map[string]string{
	"127.0.0.1": `127.0.0.1 127.1 127.0.1 127.255.255.254 127.0.0.2 2130706433 0x7f000001 0x7f.0.0.1 0x7F.0x0.0x0.0x1 017700000001 0177.0.0.1
		0177.0x0.0.01 127.0.0.01 0x7f.1 127.0x1 127.0.0.1. 2130706433. [::1] ::1 [::] [0:0:0:0:0:0:0:1] [0000:0000::0001] [::ffff:127.0.0.1]
		[::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:0001] [::127.0.0.1] [::7f00:1] [64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::]
		[2002:7f00:0001::1] [::ffff:0:127.0.0.1] [2001:0:7f00:1::] 0 0.0.0.0 0x0 00`,
	"169.254.169.254": `169.254.169.254 2852039166 0xa9fea9fe 0xa9.0xfe.0xa9.0xfe 0251.0376.0251.0376 169.254.43518 169.16689662 0xA9FEA9FE
		0251.254.169.254 025177524776 169.254.169.254. [::ffff:169.254.169.254] [::ffff:a9fe:a9fe] [::a9fe:a9fe] [64:ff9b::a9fe:a9fe]
		[2002:a9fe:a9fe::] [fe80::a9fe:a9fe] [fd00:ec2::254] 169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192 [64:ff9b:1::a9fe:a9fe]`,
	"10.0.0.1": `10.0.0.1 10.1 10.0.1 167772161 0xa000001 0xa.0.0.1 012.0.0.1 01200000001 10.0.0.01 0xA.1 [::ffff:10.0.0.1] [::ffff:a00:1]
		[::10.0.0.1] [64:ff9b::10.0.0.1] [2002:a00:1::] [fec0::1] [fc00::1] [fdff::1] 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1
		100.127.255.254 224.0.0.1 239.255.255.250 255.255.255.255 240.0.0.1 [ff02::1] [fe80::1] 198.18.0.1
		[100::1] [2001:10::1] [2001:4860::5efe:10.0.0.1] [4000::1] 203.0.113.2`,
}

func TestEverySpellingOfAnInnerAddressIsRefused(t *testing.T) {
	n := 0
	for what, list := range spellings {
		for spelling := range strings.FieldsSeq(list) {
			n++
			h, err := profile.ParseHost(spelling)
			if err != nil {
				continue // no host at all: nothing to reach
			}
			if !h.Addr.IsValid() {
				t.Errorf("%s, for %s, is taken for the name %s", spelling, what, h.Name)
				continue
			}
			// The name that leads there is allowed; the address is not.
			g := newGateway(t, Options{Policy: compile(t, profile.Network{Allow: []string{"name.test"}}), Lookup: answers(h.Addr)})
			_, err = g.pin(context.Background(), profile.Host{Name: "name.test"}, 443)
			if r := (&refusal{}); !errors.As(err, &r) || r.Reason != BadAddress {
				t.Errorf("a name with the address %s is let out: %v", spelling, err)
			}
			// And the address is no host that an allowlist of names lets out.
			if v := g.policy.Decide(Query{Host: h, Port: 443}); v.OK() {
				t.Errorf("%s is let out", spelling)
			}
		}
	}
	if n < 60 {
		t.Errorf("only %d spellings", n)
	}
}

func answers(addrs ...netip.Addr) Lookup {
	return func(context.Context, string) ([]netip.Addr, error) { return addrs, nil }
}

func TestAddressesThatMayBeDialled(t *testing.T) {
	for name, tc := range map[string]struct {
		network profile.Network
		host    string
		addrs   string
		want    string
	}{
		"of the internet":                   {profile.Network{}, "name.test", "93.184.216.34 2606:2800:220:1::1", "93.184.216.34 2606:2800:220:1::1"},
		"only those that are":               {profile.Network{}, "name.test", "10.0.0.1 93.184.216.34 127.0.0.1", "93.184.216.34"},
		"private, where the profile says":   {profile.Network{Private: []string{"10.0.0.0/8"}}, "name.test", "10.0.0.1", "10.0.0.1"},
		"private, of another range":         {profile.Network{Private: []string{"10.0.0.0/8"}}, "name.test", "192.168.1.1", ""},
		"private, in IPv6 clothes":          {profile.Network{Private: []string{"10.0.0.0/8"}}, "name.test", "::ffff:10.0.0.1", "10.0.0.1"},
		"metadata in a private range":       {profile.Network{Private: []string{"fc00::/7"}}, "name.test", "fd00:ec2::254", ""},
		"named by itself":                   {profile.Network{Allow: []string{"169.254.169.254"}}, "169.254.169.254", "", "169.254.169.254"},
		"a name at an address that is":      {profile.Network{Allow: []string{"127.0.0.1"}}, "name.test", "127.0.0.1", "127.0.0.1"},
		"a name at such, on another port":   {profile.Network{Allow: []string{"127.0.0.1:8080"}}, "name.test", "127.0.0.1", ""},
		"denied by its range":               {profile.Network{Deny: []string{"93.184.0.0/16"}}, "name.test", "93.184.216.34", ""},
		"denied, however it was named":      {profile.Network{Allow: []string{"10.0.0.1"}, Deny: []string{"10.0.0.0/8"}}, "10.0.0.1", "", ""},
		"this machine's":                    {profile.Network{}, "name.test", "203.0.113.2", ""},
		"denied range of mapped addresses":  {profile.Network{Deny: []string{"::ffff:93.184.216.0/120"}}, "name.test", "93.184.216.34", ""},
		"NAT64, whatever the profile opens": {profile.Network{Private: []string{"10.0.0.0/8"}}, "name.test", "64:ff9b::a00:1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var addrs []netip.Addr
			for a := range strings.FieldsSeq(tc.addrs) {
				addrs = append(addrs, netip.MustParseAddr(a))
			}
			tc.network.Allow = append(tc.network.Allow, "name.test")
			g := newGateway(t, Options{Policy: compile(t, tc.network), Lookup: answers(addrs...)})
			q := query(t, tc.host, 443)
			got, _ := g.pin(context.Background(), q.Host, q.Port)
			var texts []string
			for _, a := range got {
				texts = append(texts, a.String())
			}
			if s := strings.Join(texts, " "); s != tc.want {
				t.Errorf("%q, want %q", s, tc.want)
			}
		})
	}
}

// A name may have another address each time it is asked for. What was checked is what is dialled.
func TestRebindingFindsOneAnswer(t *testing.T) {
	asked := 0
	g := newGateway(t, Options{Policy: compile(t, profile.Network{Allow: []string{"name.test"}}), Lookup: func(context.Context, string) ([]netip.Addr, error) {
		asked++
		if asked == 1 {
			return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}})
	for range 3 {
		got, err := g.pin(context.Background(), profile.Host{Name: "name.test"}, 443)
		if err != nil || got[0].String() != "93.184.216.34" || asked != 1 {
			t.Errorf("%v, %v after %d questions", got, err, asked)
		}
	}
}
