package launch

import (
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"agentbox/profile"
)

// systemBundles are where distributions keep the authorities that everybody trusts, in one file; the first that is there
// counts. The list is that of Go's crypto/x509.
var systemBundles = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/cacert.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
}

// maxAuthority is far more than a company's authorities take.
const maxAuthority = 1 << 20

// lookAuthorities reads network.extra_ca, and finds what the box's programs would trust without it: those that are told
// of a file look at no other.
func (h *Host) lookAuthorities(p profile.Profile) error {
	h.Files.ExtraCA, h.Files.Inspects, h.Files.Bundle, h.Files.Bundles = "", len(p.Inspected()) > 0, "", nil
	if p.Network.Mode == NoNetwork {
		return nil
	}
	var err error
	if h.Files.ExtraCA, err = h.Authorities(p.Network.ExtraCA); err != nil {
		return err
	}
	if !h.Files.OwnAuthorities() {
		return nil
	}
	for _, path := range systemBundles {
		if real := regularFile(path); real != "" && h.Files.Bundle == "" {
			h.Files.Bundle = real
		}
		real := regularFile(filepath.Join(h.Files.Source, path))
		if in, err := filepath.Rel(h.Files.Source, real); real != "" && err == nil && filepath.IsLocal(in) {
			if in = "/" + in; strings.HasPrefix(in, "/etc/") && !slices.Contains(h.Files.Bundles, in) {
				h.Files.Bundles = append(h.Files.Bundles, in)
			}
		}
	}
	return nil
}

// Authorities reads the certificates of files that network.extra_ca names, in PEM form.
func (h *Host) Authorities(paths []string) (string, error) {
	all := ""
	for i, path := range paths {
		text, err := readAuthority(h.expand(path))
		if err != nil {
			return "", profile.Findings{{Key: fmt.Sprintf("network.extra_ca[%d]", i), Message: err.Error()}}
		}
		all += text
	}
	return all, nil
}

// regularFile is what a path leads to, if that is a file, and "" otherwise.
func regularFile(path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ""
	}
	if info, err := os.Stat(real); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return real
}

func readAuthority(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular() || info.Size() > maxAuthority:
		return "", fmt.Errorf("%s is not a file of certificates", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	out := ""
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" { // a key that lies beside it does not enter the box
			continue
		}
		out += string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
	}
	if out == "" {
		return "", errors.New(path + " holds no certificate in PEM form")
	}
	return out, nil
}

// authorityVariables are those by which programs are told whom to trust. Each that reads one reads no other file, but
// for NODE_EXTRA_CA_CERTS.
var authorityVariables = []string{
	"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "npm_config_cafile",
	"CARGO_HTTP_CAINFO", "DENO_CERT", "AWS_CA_BUNDLE",
}
