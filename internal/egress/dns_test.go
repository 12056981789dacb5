package egress

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"agentbox/internal/capture"
	"agentbox/profile"
)

// ask builds a query, with EDNS if told.
func ask(t testing.TB, name string, kind dnsmessage.Type, edns bool) []byte {
	t.Helper()
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 7, RecursionDesired: true})
	n, err := dnsmessage.NewName(name + ".")
	if err != nil {
		t.Fatal(err)
	}
	b.StartQuestions()
	b.Question(dnsmessage.Question{Name: n, Type: kind, Class: dnsmessage.ClassINET})
	if edns {
		b.StartAdditionals()
		var h dnsmessage.ResourceHeader
		h.SetEDNS0(1232, 0, false)
		b.OPTResource(h, dnsmessage.OPTResource{})
	}
	query, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return query
}

// told is a reply in a line: its code, the addresses, and the extended error.
func told(t testing.TB, reply []byte) string {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(reply); err != nil {
		return "no message: " + err.Error()
	}
	parts := []string{strings.TrimPrefix(m.RCode.String(), "RCode")}
	for _, a := range m.Answers {
		switch r := a.Body.(type) {
		case *dnsmessage.AResource:
			parts = append(parts, netip.AddrFrom4(r.A).String())
		case *dnsmessage.AAAAResource:
			parts = append(parts, netip.AddrFrom16(r.AAAA).String())
		}
	}
	for _, a := range m.Additionals {
		if o, ok := a.Body.(*dnsmessage.OPTResource); ok {
			for _, option := range o.Options {
				parts = append(parts, fmt.Sprintf("EDE %d %s", binary.BigEndian.Uint16(option.Data), option.Data[2:]))
			}
		}
	}
	return strings.Join(parts, " ")
}

func TestNames(t *testing.T) {
	s := serveBox(t, profile.Network{Allow: []string{"api.test", "*.wide.test:80", "none.test"}, Deny: []string{"bad.wide.test"}}, "127.0.0.1:1")
	for _, tc := range []struct {
		name string
		kind dnsmessage.Type
		edns bool
		want string
	}{
		{"api.test", dnsmessage.TypeA, false, "Success 198.18.0.2"},
		{"API.test", dnsmessage.TypeAAAA, true, "Success fd61:6774:6278::2"},
		{"a.b.wide.test", dnsmessage.TypeA, false, "Success 198.18.0.3"},
		{"api.test", dnsmessage.TypeMX, false, "Success"},
		{"api.test", dnsmessage.Type(65), false, "Success"},
		{"none.test", dnsmessage.TypeA, false, "NameError"},
		{"wide.test", dnsmessage.TypeA, false, "NameError"},
		{"bad.wide.test", dnsmessage.TypeA, false, "NameError"},
		{"c2VjcmV0.evil.test", dnsmessage.TypeA, true, "NameError EDE 15 agentbox: c2vjcmv0.evil.test is not allowed by this box's profile"},
		{"2.0.18.198.in-addr.arpa", dnsmessage.TypePTR, false, "NameError"},
	} {
		if got := told(t, s.answer(ask(t, tc.name, tc.kind, tc.edns), maxPacket)); got != tc.want {
			t.Errorf("%s %v: %s, want %s", tc.name, tc.kind, got, tc.want)
		}
	}
	for _, name := range s.asked {
		if strings.HasSuffix(name, "evil.test") || strings.HasPrefix(name, "bad") {
			t.Errorf("somebody was asked for %s", name)
		}
	}
	if len(s.events) != 3 {
		t.Errorf("%d refusals are on the record", len(s.events))
	}
}

func TestNamesOverTCP(t *testing.T) {
	s := serveBox(t, profile.Network{Allow: []string{"api.test"}}, "127.0.0.1:1")
	c := s.captured("8.8.8.8", 53)
	for range 2 {
		q := ask(t, "api.test", dnsmessage.TypeA, false)
		c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...))
		var size [2]byte
		io.ReadFull(c, size[:])
		reply := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, reply); err != nil || told(t, reply) != "Success 198.18.0.2" {
			t.Errorf("%s, %v", told(t, reply), err)
		}
	}
}

func TestThereIsAnEndToNames(t *testing.T) {
	var n names
	for i := range maxNames {
		v4, v6, ok := n.addresses(fmt.Sprint(i))
		if !ok || !capture.Names4.Contains(v4) || !capture.Names6.Contains(v6) {
			t.Fatalf("name %d: %v %v", i, v4, v6)
		}
		for _, a := range []netip.Addr{v4, v6} {
			if name, ok := n.name(a); !ok || name != fmt.Sprint(i) {
				t.Fatalf("%v is %q", a, name)
			}
		}
	}
	if _, _, ok := n.addresses("one more"); ok {
		t.Error("there is always one more")
	}
	for _, a := range []string{"198.18.0.0", "198.18.0.1", "198.19.255.255", "fd61:6774:6278::1", "fd61:6774:6278:0:1::2", "10.0.0.1", "::ffff:10.0.0.1"} {
		if name, ok := n.name(netip.MustParseAddr(a)); ok {
			t.Errorf("%s is %q", a, name)
		}
	}
}

// Whatever a program sends, the reply can be read, and has no address of a name that is not allowed.
func FuzzAnswer(f *testing.F) {
	f.Add(ask(f, "api.test", dnsmessage.TypeA, true))
	f.Add(ask(f, "evil.test", dnsmessage.TypeAAAA, false))
	f.Add([]byte{0, 7, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0})
	p := compile(f, profile.Network{Allow: []string{"api.test"}})
	g := newGateway(f, Options{Policy: p, Lookup: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
	}})
	f.Fuzz(func(t *testing.T, query []byte) {
		reply := g.answer(query, maxPacket)
		if reply == nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(reply); err != nil {
			t.Fatal(err)
		}
		if len(m.Answers) > 0 && !strings.EqualFold(strings.TrimSuffix(m.Questions[0].Name.String(), "."), "api.test") {
			t.Errorf("%v", m)
		}
	})
}
