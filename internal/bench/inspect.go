package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// requestWord makes this program a client of a TLS server, in a box or outside.
const requestWord = "request-client"

// What such a client is asked to do.
const (
	askWarm1 = iota // requests on one connection of HTTP/1.1: ns, the median
	askWarm2        // of HTTP/2
	askCold         // each on a connection of its own: ns, the median
	askEvent        // until the first of server-sent events: ns, the median
	askMany         // as many as go at a time: per second
	requestAsks
)

const (
	warmCount  = 1000
	coldCount  = 100
	atOnce     = 32
	manyTime   = time.Second
	eventTime  = 3 * time.Second
	inspected  = "agentbox, credential"
	certDays   = 2 * 24 * time.Hour
	plainProxy = ""
)

// A Reading is what one way costs from a program to a TLS server of this host, where something in between reads it.
type Reading struct {
	Name  string  `json:"name"`
	Warm1 float64 `json:"warm_http1_ns"`
	Warm2 float64 `json:"warm_http2_ns"`
	Cold  float64 `json:"cold_ns"`
	Event float64 `json:"first_event_ns"` // 0: it does not come while the stream goes on
	Many  float64 `json:"requests_per_s"`
	Added float64 `json:"added_warm_ns"` // to direct, the dearer protocol
}

// serveRequests answers with a few bytes, or with one event of a stream that goes on.
func serveRequests(l net.Listener, c tls.Certificate) {
	server := &http.Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{c}}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/events" {
			_, _ = io.WriteString(w, "hello\n")
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: one\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})}
	_ = server.ServeTLS(l, "", "")
}

// newAuthority makes an authority and a certificate of it for an address.
func newAuthority(host string) (ca, caKey []byte, leaf tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, leaf, err
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(certDays),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	if err != nil {
		return nil, nil, leaf, err
	}
	one := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		IPAddresses: []net.IP{net.ParseIP(host)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature}
	oneDER, err := x509.CreateCertificate(rand.Reader, one, root, key.Public(), key)
	if err != nil {
		return nil, nil, leaf, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER})
	caKey = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return ca, caKey, tls.Certificate{Certificate: [][]byte{oneDER}, PrivateKey: key}, err
}

// ask is the client: it answers each line of in with a number. Whom it trusts stands in SSL_CERT_FILE.
func ask(address, proxy string, in io.Reader, out io.Writer) int {
	base := "https://" + address
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var n int
		_, err := fmt.Sscan(lines.Text(), &n)
		value := 0.0
		if err == nil {
			value, err = answerAsk(n, base, proxy)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Fprintln(out, value)
	}
	return 0
}

func answerAsk(n int, base, proxy string) (float64, error) {
	switch n {
	case askWarm1:
		return warm(client(proxy, false), base)
	case askWarm2:
		return warm(client(proxy, true), base)
	case askCold:
		return cold(base, proxy)
	case askEvent:
		return firstEvent(client(proxy, false), base+"/events")
	}
	return many(client(proxy, false), base)
}

func client(proxy string, second bool) *http.Client {
	t := &http.Transport{ForceAttemptHTTP2: second, MaxIdleConnsPerHost: atOnce, DisableCompression: true}
	if !second {
		t.TLSClientConfig = &tls.Config{NextProtos: []string{"http/1.1"}}
	}
	if proxy != plainProxy {
		t.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy) }
	}
	return &http.Client{Transport: t}
}

func get(c *http.Client, at string) error {
	r, err := c.Get(at)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err == nil && string(body) != "hello\n" {
		err = fmt.Errorf("%s: %.100q", r.Status, body)
	}
	return err
}

func warm(c *http.Client, at string) (float64, error) {
	defer c.CloseIdleConnections()
	var list []float64
	for range warmCount {
		began := time.Now()
		if err := get(c, at); err != nil {
			return 0, err
		}
		list = append(list, float64(time.Since(began).Nanoseconds()))
	}
	return quantile(list, 0.5), nil
}

func cold(at, proxy string) (float64, error) {
	var list []float64
	for range coldCount {
		c := client(proxy, false)
		began := time.Now()
		if err := get(c, at); err != nil {
			return 0, err
		}
		list = append(list, float64(time.Since(began).Nanoseconds()))
		c.CloseIdleConnections()
	}
	return quantile(list, 0.5), nil
}

// firstEvent is 0 where who is in between waits for the end of what has none.
func firstEvent(c *http.Client, at string) (float64, error) {
	defer c.CloseIdleConnections()
	var list []float64
	for range coldCount {
		ctx, cancel := context.WithTimeout(context.Background(), eventTime)
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
		if err != nil {
			cancel()
			return 0, err
		}
		began := time.Now()
		response, err := c.Do(r)
		if err == nil {
			_, err = io.ReadFull(response.Body, make([]byte, len("data: one\n\n")))
			list = append(list, float64(time.Since(began).Nanoseconds()))
			response.Body.Close()
		}
		if cancel(); errors.Is(err, context.DeadlineExceeded) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
	}
	return quantile(list, 0.5), nil
}

func many(c *http.Client, at string) (float64, error) {
	defer c.CloseIdleConnections()
	var done atomic.Int64
	var wait sync.WaitGroup
	errs := make([]error, atOnce)
	began := time.Now()
	for i := range atOnce {
		wait.Go(func() {
			for errs[i] == nil && time.Since(began) < manyTime {
				if errs[i] = get(c, at); errs[i] == nil {
					done.Add(1)
				}
			}
		})
	}
	wait.Wait()
	return float64(done.Load()) / time.Since(began).Seconds(), errors.Join(errs...)
}
