package authority

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentbox/internal/boxtest"
)

const (
	pythonClient = `
import socket, ssl, sys
ctx = ssl.create_default_context(cafile=sys.argv[1])
ctx.verify_flags |= ssl.VERIFY_X509_STRICT
with socket.create_connection(("127.0.0.1", int(sys.argv[2]))) as s:
    with ctx.wrap_socket(s, server_hostname=sys.argv[3]) as t:
        t.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert t.recv(9) == b"HTTP/1.0 "
`
	nodeClient = `
const [ca, port, host] = process.argv.slice(1)
require("https").get({host: "127.0.0.1", port, servername: host, ca: require("fs").readFileSync(ca), path: "/",
	checkServerIdentity: (_, c) => require("tls").checkServerIdentity(host, c)},
	r => r.resume().on("end", () => process.exit(0))).on("error", e => { console.error(e.message); process.exit(1) })
`
)

// serve answers with the certificate on a port of the loopback.
func serve(t *testing.T, c *tls.Certificate) (port string) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }),
		ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() { _ = server.Serve(tls.NewListener(inner, &tls.Config{Certificates: []tls.Certificate{*c}})) }()
	t.Cleanup(func() { _ = server.Close() })
	_, port, _ = net.SplitHostPort(inner.Addr().String())
	return port
}

// clients are programs that hold a server to a certificate: arguments from the file of the authority, the directory that
// OpenSSL finds it in, the port, and the host.
func clients() map[boxtest.Feature]func(file, dir, port, host string) []string {
	verifyArgument := func(host string) string {
		if net.ParseIP(host) != nil {
			return "-verify_ip"
		}
		return "-verify_hostname"
	}
	return map[boxtest.Feature]func(file, dir, port, host string) []string{
		"openssl": func(_, dir, port, host string) []string {
			return []string{"s_client", "-CApath", dir, "-connect", "127.0.0.1:" + port, "-servername", "example.com", verifyArgument(host), host, "-verify_return_error", "-brief"}
		},
		boxtest.Python: func(file, _, port, host string) []string { return []string{"-c", pythonClient, file, port, host} },
		boxtest.Node:   func(file, _, port, host string) []string { return []string{"-e", nodeClient, file, port, host} },
		"curl": func(file, _, port, host string) []string {
			return []string{"--silent", "--show-error", "--noproxy", "*", "--cacert", file, "--connect-to", "::127.0.0.1:" + port, "https://" + host + "/"}
		},
	}
}

func TestClients(t *testing.T) {
	a := made(t, []string{"example.com"}, []string{"127.0.0.1"})
	only := made(t, []string{"example.com"}, nil)
	bare := made(t, nil, []string{"127.0.0.1"})
	for program, arguments := range clients() {
		t.Run(string(program), func(t *testing.T) {
			boxtest.Need(t, program)
			for name, tc := range map[string]struct {
				authority *Authority
				host      string
				good      bool
			}{
				"its name":                          {a, "example.com", true},
				"a name below":                      {a, "api.example.com", true},
				"its address":                       {a, "127.0.0.1", true},
				"its address, without names":        {bare, "127.0.0.1", true},
				"another name, forged":              {a, "example.org", false},
				"another address, forged":           {a, "127.0.0.2", false},
				"an address, forged, of names only": {only, "127.0.0.1", false},
				"a name, forged, of addresses only": {bare, "example.com", false},
			} {
				t.Run(name, func(t *testing.T) {
					c := tc.authority.forged(t, tc.host)
					if tc.good {
						var err error
						if c, err = tc.authority.Certificate(tc.host); err != nil {
							t.Fatal(err)
						}
					}
					dir := t.TempDir()
					file := filepath.Join(dir, tc.authority.HashName())
					if err := os.WriteFile(file, tc.authority.PEM(), 0o600); err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
					defer cancel()
					out, err := exec.CommandContext(ctx, string(program), arguments(file, dir, serve(t, c), tc.host)...).CombinedOutput()
					if tc.good != (err == nil) {
						t.Fatalf("%v: %s", err, out)
					}
					if said := strings.ToLower(string(out)); !tc.good && !strings.Contains(said, "subtree violation") {
						t.Errorf("refused for another reason: %s", out)
					}
				})
			}
		})
	}
}

func TestGoClient(t *testing.T) {
	a := made(t, []string{"example.com"}, nil)
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	dial := func(c *tls.Certificate, host string) error {
		conn, err := tls.Dial("tcp", "127.0.0.1:"+serve(t, c), &tls.Config{RootCAs: roots, ServerName: host})
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	c, err := a.Certificate("api.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if err := dial(c, "api.example.com"); err != nil {
		t.Error(err)
	}
	if err := dial(a.forged(t, "example.org"), "example.org"); err == nil || !strings.Contains(err.Error(), "not permitted") {
		t.Errorf("a forged certificate: %v", err)
	}
}

func TestOpenSSLVerifies(t *testing.T) {
	boxtest.Need(t, "openssl")
	dir := t.TempDir()
	a := made(t, []string{"example.com"}, nil)
	ca, leaf := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "leaf.pem")
	if err := os.WriteFile(ca, a.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	for host, good := range map[string]bool{"www.example.com": true, "example.org": false} {
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.forged(t, host).Certificate[0]})
		if err := os.WriteFile(leaf, text, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", host, "-CAfile", ca, leaf).CombinedOutput()
		if good != (err == nil) {
			t.Errorf("%s: %v: %s", host, err, out)
		}
	}
	out, err := exec.Command("openssl", "x509", "-noout", "-subject_hash", "-in", ca).Output()
	if err != nil || strings.TrimSpace(string(out))+".0" != a.HashName() {
		t.Errorf("openssl says %s (%v), not %s", out, err, a.HashName())
	}
}

func TestHashName(t *testing.T) {
	// What "openssl x509 -subject_hash" says of certificates with these common names.
	for name, want := range map[string]string{"agentbox session 0a1b2c3d": "791b3354.0", "  Agentbox   SESSION 0a1b2c3d ": "791b3354.0", "x": "82965258.0"} {
		if got := hashName(name); got != want {
			t.Errorf("%q: %s", name, got)
		}
	}
}
