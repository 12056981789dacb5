package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/proxy"

	"agentbox/profile"
)

// An Upstream is the proxy that everything goes through: a company's own, say. Its address is the profile's, so it may be
// a private one.
type Upstream struct {
	address string
	scheme  string
	name    string
	auth    *url.Userinfo
	roots   *x509.CertPool
}

// NewUpstream reads network.upstream_proxy. secret is "USER:PASSWORD", or "" where the proxy wants none; it is in no error
// of this package. roots are trusted for an https proxy; nil are the host's.
func NewUpstream(text, secret string, roots *x509.CertPool) (*Upstream, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return nil, errors.New("network.upstream_proxy is not the URL of a proxy")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080"}[u.Scheme]
	}
	up := &Upstream{address: net.JoinHostPort(u.Hostname(), port), scheme: u.Scheme, name: u.Hostname(), roots: roots}
	if secret = strings.TrimRight(secret, "\r\n"); secret != "" {
		user, password, ok := strings.Cut(secret, ":")
		if !ok {
			return nil, errors.New("network.upstream_proxy_auth does not lead to USER:PASSWORD")
		}
		up.auth = url.UserPassword(user, password)
	}
	return up, nil
}

// Dial connects to a host through the proxy.
func (u *Upstream) Dial(ctx context.Context, host profile.Host, port uint16) (net.Conn, error) {
	to := net.JoinHostPort(strings.Trim(host.String(), "[]"), strconv.Itoa(int(port)))
	c, err := u.dial(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("upstream proxy %s: %w", u.address, err)
	}
	return c, nil
}

func (u *Upstream) dial(ctx context.Context, to string) (net.Conn, error) {
	if u.scheme == "socks5" {
		var auth *proxy.Auth
		if u.auth != nil {
			password, _ := u.auth.Password()
			auth = &proxy.Auth{User: u.auth.Username(), Password: password}
		}
		d, err := proxy.SOCKS5("tcp", u.address, auth, &net.Dialer{})
		if err != nil {
			return nil, err
		}
		return d.(proxy.ContextDialer).DialContext(ctx, "tcp", to)
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.address)
	if err != nil {
		return nil, err
	}
	if u.scheme == "https" {
		secure := tls.Client(c, &tls.Config{ServerName: u.name, RootCAs: u.roots, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12})
		if err := secure.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, err
		}
		c = secure
	}
	if err := u.connect(ctx, c, to); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// connect asks for a tunnel. What the proxy says is read byte by byte as far as the end of its head: what follows is the
// tunnel's.
func (u *Upstream) connect(ctx context.Context, c net.Conn, to string) error {
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	head := "CONNECT " + to + " HTTP/1.1\r\nHost: " + to + "\r\n"
	if u.auth != nil {
		password, _ := u.auth.Password()
		head += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(u.auth.Username()+":"+password)) + "\r\n"
	}
	if _, err := c.Write([]byte(head + "\r\n")); err != nil {
		return err
	}
	var answer []byte
	one := make([]byte, 1)
	for !strings.HasSuffix(string(answer), "\r\n\r\n") {
		if len(answer) > maxHead {
			return errors.New("its answer does not end")
		}
		if _, err := c.Read(one); err != nil {
			return fmt.Errorf("no answer: %w", err)
		}
		answer = append(answer, one[0])
	}
	response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(answer))), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return errors.New("its answer is not HTTP")
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("it answers %q", response.Status)
	}
	return c.SetDeadline(time.Time{})
}
