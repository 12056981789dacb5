package authority

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func made(tb testing.TB, names, addrs []string) *Authority {
	tb.Helper()
	a, err := New(names, parsed(addrs), time.Hour*48)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func parsed(addrs []string) (out []netip.Addr) {
	for _, s := range addrs {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// forged is a certificate for a host that the authority does not sign for, made with its key all the same.
func (a *Authority) forged(tb testing.TB, host string) *tls.Certificate {
	tb.Helper()
	addr, err := netip.ParseAddr(host)
	if err == nil {
		host = ""
	}
	c, err := a.sign(host, addr, a.now())
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func verify(a *Authority, c *tls.Certificate, host string) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.PEM())
	_, err := c.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, CurrentTime: a.now()})
	return err
}

func TestWhomItSignsFor(t *testing.T) {
	long := strings.Repeat("a.", 40) + "example.com"
	for name, tc := range map[string]struct {
		names, addrs  []string
		signs, leaves []string
	}{
		"a name, and with it what is below": {
			names: []string{"example.com"}, signs: []string{"example.com", "EXAMPLE.com.", "www.example.com", long},
			leaves: []string{"example.org", "notexample.com", "com", "192.0.2.1", "::1"}},
		"a pattern":          {names: []string{"*.example.com"}, signs: []string{"a.example.com", "a.b.example.com", "xn--bcher-kva.example.com"}, leaves: []string{"example.org"}},
		"a name in capitals": {names: []string{"API.Example.com"}, signs: []string{"api.example.com"}, leaves: []string{"example.com"}},
		"addresses alone": {
			addrs: []string{"192.0.2.1", "2001:db8::1"}, signs: []string{"192.0.2.1", "2001:db8::1", "2001:DB8:0::1", "::ffff:192.0.2.1"},
			leaves: []string{"192.0.2.2", "2001:db8::2", "example.com", "localhost"}},
		"both":                      {names: []string{"localhost"}, addrs: []string{"127.0.0.1"}, signs: []string{"localhost", "127.0.0.1"}, leaves: []string{"127.0.0.2", "::1", "example.com"}},
		"an address of one version": {names: []string{"example.com"}, addrs: []string{"::ffff:127.0.0.1"}, signs: []string{"127.0.0.1"}, leaves: []string{"::1", "2001:db8::1"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := made(t, tc.names, tc.addrs)
			for _, host := range tc.signs {
				c, err := a.Certificate(host)
				if err != nil {
					t.Error(err)
				} else if err := verify(a, c, strings.TrimPrefix(host, "::ffff:")); err != nil {
					t.Errorf("%s: %v", host, err)
				}
			}
			for _, host := range tc.leaves {
				if c, err := a.Certificate(host); err == nil || c != nil {
					t.Errorf("%s has a certificate", host)
				}
				if err := verify(a, a.forged(t, host), host); err == nil || !strings.Contains(err.Error(), "not permitted") && !strings.Contains(err.Error(), "excluded") {
					t.Errorf("a forged certificate for %s: %v", host, err)
				}
			}
			for _, host := range []string{"", ".", "*.example.com", "a b.example.com", "fe80::1%eth0", "exämple.com", "-.example.com", "a..example.com", "example.com:443", strings.Repeat("a", 64) + ".example.com", strings.Repeat("a.", 130) + "example.com"} {
				if _, err := a.Certificate(host); err == nil {
					t.Errorf("%q has a certificate", host)
				}
			}
		})
	}
}

func TestWhatNoAuthorityIsMadeFrom(t *testing.T) {
	for name, tc := range map[string]struct {
		names    []string
		addrs    []netip.Addr
		lifetime time.Duration
	}{
		"nothing":               {lifetime: time.Hour},
		"no time":               {names: []string{"example.com"}},
		"no name":               {names: []string{""}, lifetime: time.Hour},
		"every name":            {names: []string{"*"}, lifetime: time.Hour},
		"a star elsewhere":      {names: []string{"a.*.com"}, lifetime: time.Hour},
		"an address as a name":  {names: []string{"127.0.0.1"}, lifetime: time.Hour},
		"a number as a name":    {names: []string{"example.0x7f"}, lifetime: time.Hour},
		"a name with its port":  {names: []string{"example.com:443"}, lifetime: time.Hour},
		"no address":            {addrs: []netip.Addr{{}}, lifetime: time.Hour},
		"an address and a link": {addrs: parsed([]string{"fe80::1%eth0"}), lifetime: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			if a, err := New(tc.names, tc.addrs, tc.lifetime); err == nil || a != nil {
				t.Error("there is one")
			}
		})
	}
}

func TestTheCertificateOfTheAuthority(t *testing.T) {
	a, err := New([]string{"example.com"}, nil, 365*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c := a.cert
	if !c.IsCA || !c.MaxPathLenZero || c.MaxPathLen != 0 || c.KeyUsage != x509.KeyUsageCertSign || !slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) || len(c.SubjectKeyId) == 0 || !c.PermittedDNSDomainsCritical {
		t.Errorf("%+v", c)
	}
	if left := time.Until(c.NotAfter); left > maxLifetime || left < maxLifetime-time.Minute {
		t.Errorf("it has %s left", left)
	}
	if text := a.PEM(); bytes.Count(text, []byte("BEGIN")) != 1 || bytes.Contains(text, []byte("KEY")) {
		t.Errorf("%s", text)
	}
	if b := made(t, []string{"example.com"}, nil); b.HashName() == a.HashName() || b.key.Equal(a.key) {
		t.Error("two sessions have one authority")
	}
}

func TestAnAuthorityBelowItSignsNothing(t *testing.T) {
	a := made(t, []string{"example.com"}, nil)
	b := made(t, []string{"example.com"}, nil)
	below := *b.cert
	der, err := x509.CreateCertificate(rand.Reader, &below, a.cert, b.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Certificate("example.com")
	if err != nil {
		t.Fatal(err)
	}
	between, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots, others := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(a.cert)
	others.AddCert(between)
	if _, err := c.Leaf.Verify(x509.VerifyOptions{DNSName: "example.com", Roots: roots, Intermediates: others}); err == nil {
		t.Error("the chain is good")
	}
}

func TestTheCertificateOfAHost(t *testing.T) {
	long := strings.Repeat("a.", 40) + "example.com"
	a := made(t, []string{"example.com"}, []string{"192.0.2.1"})
	for host, cn := range map[string]string{"example.com": "example.com", long: "", "192.0.2.1": ""} {
		c, err := a.Certificate(host)
		if err != nil {
			t.Fatal(err)
		}
		if l := c.Leaf; l.Subject.CommonName != cn || l.IsCA || len(l.SubjectKeyId) == 0 || !bytes.Equal(l.AuthorityKeyId, a.cert.SubjectKeyId) || len(l.DNSNames)+len(l.IPAddresses) != 1 || len(c.Certificate) != 1 {
			t.Errorf("%s: %+v", host, l)
		}
	}
}

func TestRenewal(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	a, err := newAt([]string{"example.com"}, nil, 25*time.Hour, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	start := now
	at := func(after time.Duration) *tls.Certificate {
		now = start.Add(after)
		c, err := a.Certificate("example.com")
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(a, c, "example.com"); err != nil {
			t.Error(err)
		}
		return c
	}
	first := at(0)
	if at(23*time.Hour) != first {
		t.Error("made anew with an hour left")
	}
	second := at(23*time.Hour + time.Second)
	if second == first || !second.Leaf.NotAfter.Equal(a.cert.NotAfter) {
		t.Error("not made anew, or for longer than the authority")
	}
	if at(25*time.Hour-time.Second) != second {
		t.Error("made anew, where nothing is to be had by it")
	}
	now = start.Add(25 * time.Hour)
	if _, err := a.Certificate("example.com"); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("after the end: %v", err)
	}
}

func TestManyAtOnceGetOneCertificate(t *testing.T) {
	a := made(t, []string{"example.com"}, nil)
	var wg sync.WaitGroup
	got := make([]*tls.Certificate, 32)
	for i := range got {
		wg.Go(func() { got[i], _ = a.Certificate("example.com") })
	}
	wg.Wait()
	if got[0] == nil || slices.ContainsFunc(got, func(c *tls.Certificate) bool { return c != got[0] }) {
		t.Error("there is more than one, or none")
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	a := made(t, []string{"example.com"}, nil)
	for i := range maxCached + 10 {
		if _, err := a.Certificate(fmt.Sprintf("h%d.example.com", i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.cached) != maxCached {
		t.Errorf("%d are kept", len(a.cached))
	}
}

func BenchmarkCertificate(b *testing.B) {
	a := made(b, []string{"example.com"}, nil)
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			clear(a.cached)
			if _, err := a.Certificate("api.example.com"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cached", func(b *testing.B) {
		for b.Loop() {
			if _, err := a.Certificate("api.example.com"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
