package egress

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

// What a request costs on a connection that is there: read here, and without us.
func BenchmarkRequest(b *testing.B) {
	box := serveRead(b, keyed("api.test"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }))
	server, err := box.dialer(b.Context(), netip.AddrPort{})
	if err != nil {
		b.Fatal(err)
	}
	at := server.RemoteAddr().String()
	server.Close()
	transport := func(protocols ...string) *http.Transport {
		t := &http.Transport{ForceAttemptHTTP2: len(protocols) > 1, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: protocols},
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", at)
			}}
		b.Cleanup(t.CloseIdleConnections)
		return t
	}
	second, first := transport("h2", "http/1.1"), transport("http/1.1")
	read2, read1 := box.browser(), box.browser()
	plain := read1.Transport.(*http.Transport)
	plain.ForceAttemptHTTP2, plain.TLSClientConfig.NextProtos = false, []string{"http/1.1"}
	for name, c := range map[string]*http.Client{"direct h2": {Transport: second}, "read h2": read2, "direct h1": {Transport: first}, "read h1": read1} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r, err := c.Get("https://api.test/v1/x")
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, r.Body)
				r.Body.Close()
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(time.Microsecond), "µs/request")
		})
	}
}
