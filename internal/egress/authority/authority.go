// Package authority is the certificate authority of one session.
//
// What it promises. The key is made with the Authority, is never written anywhere and goes with it. The certificate says,
// in a critical extension (RFC 5280, section 4.2.1.10), for which hosts the key may sign, so that a client that trusts it
// trusts it for nothing else; it signs servers alone, no further authority, and ends with the session or after thirty days.
// A host outside the constraints gets no certificate.
//
// What it does not: a name constraint covers what is below a name too, so "example.com" cannot be had without
// "www.example.com". Which hosts are inspected is for the caller to decide. A client that ignores name constraints is bound
// only by what this package signs.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	maxLifetime = 30 * 24 * time.Hour
	backdated   = 5 * time.Minute // for clients whose clock is late
)

// An Authority signs certificates for the hosts that it was made for. It may be used by several goroutines at once.
type Authority struct {
	names   []string
	addrs   []netip.Addr
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	leafKey *ecdsa.PrivateKey
	leafID  []byte
	now     func() time.Time

	mu     sync.Mutex
	cached map[string]*tls.Certificate
}

// New makes an authority for names and addresses, of which there must be at least one. "example.com" and "*.example.com"
// both stand for the name and everything below it. A lifetime of more than thirty days is cut to that.
func New(names []string, addrs []netip.Addr, lifetime time.Duration) (*Authority, error) {
	return newAt(names, addrs, lifetime, time.Now)
}

func newAt(names []string, addrs []netip.Addr, lifetime time.Duration, now func() time.Time) (*Authority, error) {
	if lifetime <= 0 {
		return nil, errors.New("an authority needs a time to live")
	}
	if len(names)+len(addrs) == 0 {
		return nil, errors.New("an authority needs a host to sign for")
	}
	a := &Authority{now: now, cached: map[string]*tls.Certificate{}}
	for _, name := range names {
		clean, ok := cleanName(strings.TrimPrefix(name, "*."))
		if !ok {
			return nil, fmt.Errorf("%q is not a host name", name)
		}
		a.names = append(a.names, clean)
	}
	for _, addr := range addrs {
		if !addr.IsValid() || addr.Zone() != "" {
			return nil, fmt.Errorf("%s is not an address of a host", addr)
		}
		a.addrs = append(a.addrs, addr.Unmap())
	}
	if err := a.makeKeys(); err != nil {
		return nil, err
	}
	if err := a.signItself(min(lifetime, maxLifetime)); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *Authority) makeKeys() (err error) {
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	if a.leafKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	point, err := a.leafKey.PublicKey.Bytes()
	if err != nil {
		return err
	}
	id := sha256.Sum256(point)
	a.leafID = id[:20]
	return nil
}

func (a *Authority) signItself(lifetime time.Duration) error {
	var tag [4]byte
	if _, err := rand.Read(tag[:]); err != nil {
		return err
	}
	now := a.now()
	template := &x509.Certificate{
		// The tag tells sessions apart: a client that has two authorities of one subject may try the wrong one only.
		Subject:                     pkix.Name{CommonName: "agentbox session " + hex.EncodeToString(tag[:])},
		NotBefore:                   now.Add(-backdated),
		NotAfter:                    now.Add(lifetime),
		IsCA:                        true,
		BasicConstraintsValid:       true,
		MaxPathLenZero:              true,
		KeyUsage:                    x509.KeyUsageCertSign,
		ExtKeyUsage:                 []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         a.names,
	}
	for _, addr := range a.addrs {
		template.PermittedIPRanges = append(template.PermittedIPRanges, &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(addr.BitLen(), addr.BitLen())})
	}
	// A kind of name that has no constraint is free: it is closed by one that no host meets.
	if len(a.addrs) == 0 {
		template.ExcludedIPRanges = []*net.IPNet{
			{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, {IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
		}
	}
	if len(a.names) == 0 {
		template.PermittedDNSDomains = []string{"invalid"} // RFC 2606, section 2
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		return err
	}
	a.cert, err = x509.ParseCertificate(der)
	return err
}

// PEM is the authority's certificate, without any key.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// HashName is the name of a file under which OpenSSL 1.0 and later find the certificate in a directory of SSL_CERT_DIR.
func (a *Authority) HashName() string { return hashName(a.cert.Subject.CommonName) }

// hashName is X509_NAME_hash for a subject that is one common name: SHA-1 over the canonical encoding (x509_name_canon in
// OpenSSL's crypto/x509/x_name.c), which is the relative names without the sequence around them, as UTF-8, in lower case,
// runs of spaces as one. Its first four bytes are a number, the lowest first.
func hashName(commonName string) string {
	type attribute struct {
		Type  asn1.ObjectIdentifier
		Value string `asn1:"utf8"`
	}
	type relative []attribute
	canonical, err := asn1.MarshalWithParams(relative{{asn1.ObjectIdentifier{2, 5, 4, 3}, strings.ToLower(strings.Join(strings.Fields(commonName), " "))}}, "set")
	if err != nil { // only text that is no UTF-8
		return ""
	}
	sum := sha1.Sum(canonical)
	return fmt.Sprintf("%08x.0", binary.LittleEndian.Uint32(sum[:4]))
}
