package profile

import (
	"strings"
	"testing"
)

// A pattern matches nothing beyond what it says, however the host is written.
func FuzzHostPattern(f *testing.F) {
	for _, seed := range [][2]string{{"*.example.com", "a.example.com"}, {"example.com:8443", "EXAMPLE.com."}, {"10.0.0.1", "0xa.1"}, {"[::1]:80", "::1"}, {"*.com", "x.com"}, {"10.0.0.0/8", "10.1.2.3"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, entry, host string) {
		h, err := ParseHost(host)
		if err == nil {
			if again, err := ParseHost(h.String()); err != nil || again != h {
				t.Fatalf("%q is %q, and that is %q, %v", host, h, again, err)
			}
		}
		p, perr := ParseHostPattern(entry, false)
		if err != nil || perr != nil || !p.Match(h) {
			return
		}
		switch {
		case p.Subdomains && (!strings.HasSuffix(h.Name, "."+p.Host.Name) || h.Name == p.Host.Name):
			t.Errorf("%q matches %q", entry, host)
		case !p.Subdomains && p.Host != h:
			t.Errorf("%q matches %q", entry, host)
		}
	})
}
