package archive

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// versityBackend is a real S3 server, which checks signatures, contents and conditions by itself. Objects are files of a
// directory. CONTRIBUTING.md says where it comes from.
func versityBackend(t testing.TB) *backend {
	program, err := exec.LookPath("versitygw")
	if err != nil {
		t.Skip("needs versitygw: ", err)
	}
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	if err := os.MkdirAll(filepath.Join(root, "logs"), 0o755); err != nil {
		t.Fatal(err)
	}
	ca, cert, key := certificate(t, dir)
	address := freeAddress(t)
	cmd := exec.Command(program, "--access", testKey, "--secret", testSecret, "--port", address, "--cert", cert, "--key", key, "--quiet", "posix", root)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	await(t, address, ca)
	there := filepath.Join(root, "logs", "agentbox", "year=2026")
	return &backend{archive: "s3://logs/agentbox/year=2026?endpoint=https://" + address, token: testKey + ":" + testSecret, ca: ca, stored: uncounted,
		files: func(t testing.TB) map[string]string {
			if _, err := os.Stat(there); err != nil {
				return nil
			}
			return filesBelow(t, there)
		},
		put: func(t testing.TB, name, data string) {
			if err := os.MkdirAll(there, 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(there, name), data)
		}}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// await returns when the server answers.
func await(t testing.TB, address, ca string) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca))
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
		if c, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots}); err == nil {
			c.Close()
			return
		}
	}
	t.Fatal("versitygw does not answer")
}

func certificate(t testing.TB, dir string) (ca, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	ca = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, cert, ca)
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
	return ca, cert, key
}
