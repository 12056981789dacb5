package world

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// Proxy serves CONNECT, as the proxy of a company's network does: it asks the world's names itself, without a record of
// that, and connects from far, so that Peers tells who came through it. With a user it wants their name and password.
func (w *World) Proxy(user, password string) http.Handler {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if user != "" && r.Header.Get("Proxy-Authorization") != want {
			rw.Header().Set("Proxy-Authenticate", `Basic realm="world"`)
			http.Error(rw, "who are you?", http.StatusProxyAuthRequired)
			return
		}
		if r.Method != http.MethodConnect {
			http.Error(rw, "only CONNECT", http.StatusMethodNotAllowed)
			return
		}
		target, err := w.dial(r.Host)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadGateway)
			return
		}
		defer target.Close()
		client, both, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			http.Error(rw, err.Error(), http.StatusHTTPVersionNotSupported)
			return
		}
		defer client.Close()
		fmt.Fprint(both, "HTTP/1.1 200 OK\r\n\r\n")
		if both.Flush() != nil {
			return
		}
		var copies sync.WaitGroup
		copies.Go(func() { pour(target, both) })
		copies.Go(func() { pour(client, target) })
		copies.Wait()
	})
}

// pour copies to the end, and says so to the receiver.
func pour(to io.Writer, from io.Reader) {
	io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}

// dial connects to a name or address from its own place.
func (w *World) dial(target string) (conn net.Conn, err error) {
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		w.names.mu.Lock()
		answer := w.names.answers[normal(host)]
		w.names.mu.Unlock()
		if answer == nil {
			return nil, fmt.Errorf("no such name: %s", host)
		}
		addrs := answer(Query{Name: normal(host), Type: dnsmessage.TypeA}).Addrs
		if len(addrs) == 0 {
			return nil, errors.New("no address")
		}
		address = addrs[0]
	}
	err = w.at(address).do(func() (err error) {
		conn, err = net.Dial("tcp", net.JoinHostPort(address.String(), port))
		return err
	})
	return conn, err
}
