package authority

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	leafLifetime = 24 * time.Hour
	leafLeast    = time.Hour // a certificate that has less left is made anew
	maxCached    = 1024
	maxCN        = 64 // RFC 5280, appendix A: ub-common-name
)

// Certificate returns the certificate of a host, a name in its ASCII form or an address, for a TLS server. It is made
// when it is first asked for and again when less than an hour of it is left.
func (a *Authority) Certificate(host string) (*tls.Certificate, error) {
	name, addr, err := a.permitted(host)
	if err != nil {
		return nil, err
	}
	key := name
	if addr.IsValid() {
		key = addr.String()
	}
	// Making one takes less than a millisecond, so those who ask for others may wait, and nobody makes one twice.
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if !now.Before(a.cert.NotAfter) {
		return nil, fmt.Errorf("no certificate for %s: the session's authority ended at %s", key, a.cert.NotAfter.Format(time.RFC3339))
	}
	if c := a.cached[key]; c != nil && (c.Leaf.NotAfter.Sub(now) >= leafLeast || c.Leaf.NotAfter.Equal(a.cert.NotAfter)) {
		return c, nil
	}
	c, err := a.sign(name, addr, now)
	if err != nil {
		return nil, fmt.Errorf("no certificate for %s: %w", key, err)
	}
	delete(a.cached, key)
	for other := range a.cached {
		if len(a.cached) < maxCached {
			break
		}
		delete(a.cached, other) // whichever it is, it can be made again
	}
	a.cached[key] = c
	return c, nil
}

// permitted returns the one of name and address that host is, if the constraints have it.
func (a *Authority) permitted(host string) (string, netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr = addr.Unmap(); slices.Contains(a.addrs, addr) {
			return "", addr, nil
		}
		return "", netip.Addr{}, fmt.Errorf("no certificate for %s: the session's authority does not sign for it", addr)
	}
	name, ok := cleanName(host)
	if !ok {
		return "", netip.Addr{}, fmt.Errorf("no certificate for %q: it is not a host name", host)
	}
	for _, permitted := range a.names {
		if name == permitted || strings.HasSuffix(name, "."+permitted) {
			return name, netip.Addr{}, nil
		}
	}
	return "", netip.Addr{}, fmt.Errorf("no certificate for %s: the session's authority does not sign for it", name)
}

func (a *Authority) sign(name string, addr netip.Addr, now time.Time) (*tls.Certificate, error) {
	template := &x509.Certificate{
		// Never without a subject: the alternative name would have to be critical, which old clients do not know.
		Subject:               pkix.Name{Organization: []string{"agentbox"}},
		NotBefore:             now.Add(-backdated),
		NotAfter:              now.Add(leafLifetime),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		SubjectKeyId:          a.leafID,
	}
	if template.NotBefore.Before(a.cert.NotBefore) {
		template.NotBefore = a.cert.NotBefore
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	if addr.IsValid() { // not as common name: OpenSSL would hold it against the constraints on names
		template.IPAddresses = []net.IP{addr.AsSlice()}
	} else {
		template.DNSNames = []string{name}
		if len(name) <= maxCN {
			template.Subject.CommonName = name
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, a.leafKey.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.leafKey, Leaf: leaf}, nil
}

// cleanName returns a host name in lower case without the dot at its end, and whether it is one and no address.
func cleanName(name string) (string, bool) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "" || len(name) > 253 {
		return "", false
	}
	label := ""
	for label = range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", false
		}
		for i := range len(label) {
			if c := label[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return "", false
			}
		}
	}
	// What ends in a number is an address in one of its older forms to many clients.
	return name, strings.Trim(label, "0123456789") != "" && !strings.HasPrefix(label, "0x")
}
