package world

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"

	"agentbox/internal/boxtest"
)

// An authority signs the certificates of one world.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "boxtest world"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	der, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &authority{certificate, key}, err
}

// sign gives the certificate a number and a time.
func sign(template, parent *x509.Certificate, public any, key *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template.SerialNumber, template.NotBefore, template.NotAfter = serial, now.Add(-time.Hour), now.Add(24*time.Hour)
	return x509.CreateCertificate(rand.Reader, template, parent, public, key)
}

// CA returns the certificate of the world's authority, as PEM.
func (w *World) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.ca.certificate.Raw})
}

// CAFile writes the authority's certificate into a directory of the account's, as ca.pem, and returns its path.
func (w *World) CAFile(t testing.TB, a *boxtest.Account, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "ca.pem")
	a.WriteFile(t, path, string(w.CA()), 0o644)
	return path
}

// TrustEnv is the environment by which curl, git, node, npm, pip, python's and Go's programs trust a file of certificates.
func TrustEnv(file string) []string {
	var env []string
	for _, name := range []string{"SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "npm_config_cafile", "PIP_CERT", "REQUESTS_CA_BUNDLE"} {
		env = append(env, name+"="+file)
	}
	return env
}

// Cert returns a certificate of the world's authority for names and addresses.
func (w *World) Cert(names ...string) tls.Certificate {
	w.t.Helper()
	template := &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	if len(names) > 0 {
		template.Subject.CommonName = names[0]
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal("world: ", err)
	}
	der, err := sign(template, w.ca.certificate, key.Public(), w.ca.key)
	if err != nil {
		w.t.Fatal("world: ", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
