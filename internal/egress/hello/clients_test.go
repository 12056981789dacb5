package hello

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// captured returns what real clients said, by file name. Each asked for api.example.com on its own terms.
func captured(tb testing.TB) map[string][]byte {
	tb.Helper()
	files, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no captured hellos: %v", err)
	}
	out := map[string][]byte{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		data, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		if err != nil {
			tb.Fatalf("%s: %v", file, err)
		}
		out[strings.TrimSuffix(filepath.Base(file), ".hex")] = data
	}
	return out
}

func TestCapturedClients(t *testing.T) {
	const name = "api.example.com"
	want := map[string]Hello{
		"curl-7.88":           {ServerName: name, ALPN: []string{"h2", "http/1.1"}, Version: tls.VersionTLS13},
		"git-gnutls-3.7":      {ServerName: name, ALPN: []string{"h2", "http/1.1"}, Version: tls.VersionTLS13},
		"java-17":             {ServerName: name, Version: tls.VersionTLS13},
		"node-20-fetch":       {ServerName: name, ALPN: []string{"http/1.1"}, Version: tls.VersionTLS13},
		"openssl-3.0":         {ServerName: name, ALPN: []string{"h2", "http/1.1"}, Version: tls.VersionTLS13},
		"openssl-3.0-no-name": {Version: tls.VersionTLS13},
		"openssl-3.0-tls10":   {ServerName: name, Version: tls.VersionTLS10},
		"python-3.11":         {ServerName: name, Version: tls.VersionTLS13},
	}
	got := map[string]Hello{}
	for client, said := range captured(t) {
		h, err := readAs(t, said, maxFragment)
		if client == "node-20-dot" { // "https://api.example.com./", sent with the dot that RFC 6066 forbids
			if !errors.Is(err, ErrServerName) {
				t.Errorf("%s: %+v, %v", client, h, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", client, err)
		}
		got[client] = h
		agrees(t, said, h, true)
		for _, size := range []int{1, 3, 100} {
			if again, err := readAs(t, said, size); err != nil || !cmp.Equal(h, again) {
				t.Errorf("%s in records of %d bytes: %+v, %v", client, size, again, err)
			}
		}
		for n := range said {
			if raw, _, err := Read(bytes.NewReader(said[:n]), limit); err != io.ErrUnexpectedEOF || !bytes.Equal(raw, said[:n]) {
				t.Fatalf("%s, its first %d bytes: %v", client, n, err)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// readAs reads one record again as many of so many bytes.
func readAs(t *testing.T, said []byte, size int) (Hello, error) {
	t.Helper()
	parts := records(string(said[recordHeader:]), size)
	_, h, err := Read(strings.NewReader(parts), max(limit, len(parts)))
	return h, err
}

// A script is a connection whose other side says what is given and then ends; what it is told is kept.
type script struct {
	net.Conn
	says  io.Reader
	heard bytes.Buffer
}

func (s *script) Read(p []byte) (int, error)  { return s.says.Read(p) }
func (s *script) Write(p []byte) (int, error) { return s.heard.Write(p) }
func (s *script) Close() error                { return nil }

// agrees asserts that a server finds in a hello what Read found in it, or refuses it, unless it must take it.
func agrees(t *testing.T, said []byte, h Hello, must bool) {
	t.Helper()
	var got *tls.ClientHelloInfo
	server := tls.Server(&script{says: bytes.NewReader(said)}, &tls.Config{
		MinVersion: tls.VersionTLS10,
		GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
			got = info
			return nil, errors.New("seen enough")
		},
	})
	if err := server.Handshake(); err == nil || must && got == nil {
		t.Fatalf("the server did not get as far: %v", err)
	}
	if got == nil {
		return
	}
	if got.ServerName != h.ServerName {
		t.Fatalf("the server is asked for %q, and we read %q in %x", got.ServerName, h.ServerName, said)
	}
	if diff := cmp.Diff(got.SupportedProtos, h.ALPN); diff != "" {
		t.Fatalf("protocols of %x (-server +ours):\n%s", said, diff)
	}
}

func TestGoClients(t *testing.T) {
	const v2, v3 = tls.VersionTLS12, tls.VersionTLS13
	for name, test := range map[string]struct {
		config *tls.Config
		want   Hello
	}{
		"by default":        {&tls.Config{ServerName: "a.example"}, Hello{ServerName: "a.example", Version: v3}},
		"with protocols":    {&tls.Config{ServerName: "a.example", NextProtos: []string{"h2", "x"}}, Hello{ServerName: "a.example", ALPN: []string{"h2", "x"}, Version: v3}},
		"with an address":   {&tls.Config{ServerName: "192.0.2.1"}, Hello{Version: v3}},
		"without a name":    {&tls.Config{InsecureSkipVerify: true}, Hello{Version: v3}},
		"TLS 1.2 alone":     {&tls.Config{ServerName: "a.example", MaxVersion: v2}, Hello{ServerName: "a.example", Version: v2}},
		"TLS 1.0 and 1.1":   {&tls.Config{ServerName: "a.example", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, Hello{ServerName: "a.example", Version: tls.VersionTLS11}},
		"an encrypted name": {&tls.Config{ServerName: "secret.example", MinVersion: v3, EncryptedClientHelloConfigList: echConfig(t)}, Hello{ServerName: "public.example", ECH: true, Version: v3}},
		"a name with a dot": {&tls.Config{ServerName: "a.example."}, Hello{ServerName: "a.example", Version: v3}},
		"with one curve":    {&tls.Config{ServerName: "a.example", CurvePreferences: []tls.CurveID{tls.CurveP256}}, Hello{ServerName: "a.example", Version: v3}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{says: strings.NewReader("")}
			_ = tls.Client(s, test.config).Handshake() // ends when there is no answer
			said := s.heard.Bytes()
			raw, h, err := Read(bytes.NewReader(said), limit)
			if err != nil || !bytes.Equal(raw, said) {
				t.Fatalf("%v; read %d bytes of %d", err, len(raw), len(said))
			}
			if diff := cmp.Diff(test.want, h); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			agrees(t, said, h, true)
		})
	}
}

// echConfig is an ECHConfigList for public.example whose key nobody has.
func echConfig(t *testing.T) []byte {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	contents := "\x01" + "\x00\x20" + vec(2, string(key.PublicKey().Bytes())) + // id; DHKEM(X25519); key
		vec(2, "\x00\x01\x00\x01") + "\x20" + vec(1, "public.example") + vec(2) // HKDF-SHA256 and AES-128-GCM; padding; name
	return []byte(vec(2, "\xfe\x0d"+vec(2, contents)))
}

// A handshake through Read must come to its end, the second time with the ticket of the first.
func TestTheServerGetsWhatTheClientSaid(t *testing.T) {
	certificate := selfSigned(t)
	tickets := tls.NewLRUClientSessionCache(1)
	for _, resumed := range []bool{false, true} {
		ours, theirs := connected(t)
		client := tls.Client(theirs, &tls.Config{ServerName: "a.example", InsecureSkipVerify: true, ClientSessionCache: tickets})
		done := make(chan error, 1)
		go func() {
			_, err := io.ReadAll(client) // the ticket comes after the handshake
			theirs.Close()
			done <- err
		}()
		raw, h, err := Read(ours, limit)
		if err != nil || h.ServerName != "a.example" {
			t.Fatalf("%+v, %v", h, err)
		}
		config := &tls.Config{Certificates: []tls.Certificate{certificate}}
		config.SetSessionTicketKeys([][32]byte{{1}})
		server := tls.Server(replay{ours, io.MultiReader(bytes.NewReader(raw), ours)}, config)
		if err := server.Handshake(); err != nil {
			t.Fatal(err)
		}
		server.Close()
		if err := <-done; err != nil || server.ConnectionState().DidResume != resumed {
			t.Errorf("resumed %v: %v", server.ConnectionState().DidResume, err)
		}
	}
}

// connected are the ends of a connection that takes a few bytes before they are read, which those of net.Pipe do not:
// there both sides of a handshake would wait to be read.
func connected(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if theirs, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if ours, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

// A replay is a connection of which something was read already.
type replay struct {
	net.Conn
	from io.Reader
}

func (r replay) Read(p []byte) (int, error) { return r.from.Read(p) }

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestClientsUnderstandTheAlert(t *testing.T) {
	for _, newest := range []uint16{tls.VersionTLS10, tls.VersionTLS12, tls.VersionTLS13} {
		s := &script{says: bytes.NewReader(Alert(Fatal, AccessDenied))}
		err := tls.Client(s, &tls.Config{ServerName: "a.example", MinVersion: tls.VersionTLS10, MaxVersion: newest}).Handshake()
		if err == nil || !strings.Contains(err.Error(), "remote error: tls: access denied") {
			t.Errorf("%#x: %v", newest, err)
		}
	}
}
