package archive

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"agentbox/internal/secret"
)

// connectTime is how long a connection and its TLS may take each.
const connectTime = 10 * time.Second

// A web is what HTTP servers and buckets share: one client, that follows no redirect, so that no other server is shown what is
// for this one.
type web struct {
	client *http.Client
	token  *secret.Source
	stall  time.Duration
}

func newWeb(access Access, p patience) *web {
	return &web{token: access.Token, stall: p.stall, client: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: connectTime}).DialContext,
			TLSHandshakeTimeout: connectTime,
			TLSClientConfig:     &tls.Config{RootCAs: access.Roots, MinVersion: tls.VersionTLS12},
			DisableCompression:  true, // what is compared are the bytes
			ForceAttemptHTTP2:   true,
			IdleConnTimeout:     time.Minute,
		},
	}}
}

// secret is the token as it is now, or none.
func (w *web) secret(ctx context.Context) (secret.Value, error) {
	if w.token == nil {
		return secret.Value{}, nil
	}
	v, err := w.token.Get(ctx)
	if err != nil {
		return v, &Error{Err: fmt.Errorf("audit.archive_token: %w", err), all: true}
	}
	return v, nil
}

// An exchange is one request, which is over when no byte moves for too long.
type exchange struct {
	ctx   context.Context
	end   context.CancelCauseFunc
	timer *time.Timer
	stall time.Duration
}

func (w *web) exchange(ctx context.Context) *exchange {
	x := &exchange{stall: w.stall}
	x.ctx, x.end = context.WithCancelCause(ctx)
	x.timer = time.AfterFunc(w.stall, func() { x.end(fmt.Errorf("nothing moved for %v", w.stall)) })
	return x
}

func (x *exchange) close() {
	x.timer.Stop()
	x.end(nil)
}

// moving is a stream whose bytes put the end of the exchange off.
type moving struct {
	io.Reader
	x *exchange
}

func (m moving) Read(p []byte) (int, error) {
	m.x.timer.Reset(m.x.stall)
	return m.Reader.Read(p)
}

// do sends a request with the object's bytes, or without. The caller reads the answer's body, if any, by answer.
func (w *web) do(x *exchange, method, url string, b *body, prepare func(*http.Request) error) (*http.Response, error) {
	var content io.Reader
	if b != nil && b.object.size > 0 {
		content = moving{b, x}
	}
	r, err := http.NewRequestWithContext(x.ctx, method, url, content)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "agentbox")
	if b != nil {
		r.ContentLength = b.object.size
	}
	if err := prepare(r); err != nil {
		return nil, err
	}
	answer, err := w.client.Do(r)
	whole := b == nil || b.end()
	if unread := b.failure(); unread != nil {
		if err == nil {
			answer.Body.Close()
		}
		return nil, unread
	}
	if err != nil {
		return nil, unanswered(x.ctx, r, err)
	}
	if answer.StatusCode < 300 && !whole {
		answer.Body.Close()
		return nil, &Error{Err: fmt.Errorf("%s: it was answered with %d before all of it was sent", r.URL.Host, answer.StatusCode), again: true}
	}
	return answer, nil
}

// unanswered is the failure of a request that has no answer. Most of them may go away.
func unanswered(ctx context.Context, r *http.Request, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if repeats(r, err) {
		err = errors.New("its answer is no HTTP")
	}
	err = fmt.Errorf("%s: %w", r.URL.Host, err)
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return &Error{Err: err, Hint: "network.extra_ca names the authorities of a company", all: true}
	}
	return &Error{Err: err, again: true}
}

// repeats reports whether an error has in it what a request authenticates by: an answer that is not understood is quoted.
func repeats(r *http.Request, err error) bool {
	for _, name := range []string{"Authorization", "X-Amz-Security-Token"} {
		if v := strings.TrimPrefix(r.Header.Get(name), "Bearer "); v != "" && strings.Contains(err.Error(), v) {
			return true
		}
	}
	return false
}

// refused is what an answer's status means that is no success. Nothing that the server wrote is repeated: it knows the
// token.
func refused(r *http.Response, what string) *Error {
	e := &Error{Err: fmt.Errorf("%s: %s is answered with %d %s", r.Request.URL.Host, what, r.StatusCode, http.StatusText(r.StatusCode))}
	switch code := r.StatusCode; {
	case code >= 300 && code < 400:
		e.Hint, e.all = "no redirect is followed, as the token is for this server: name the place itself in audit.archive", true
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusProxyAuthRequired:
		e.Hint, e.all = "look at audit.archive_token, and at what it may do", true
	case code == http.StatusNotFound, code == http.StatusMethodNotAllowed, code == http.StatusNotImplemented:
		e.Hint, e.all = "nothing there takes files by PUT: look at the path in audit.archive", true
	case code == http.StatusInsufficientStorage:
		e.Hint, e.all = "the archive is full", true
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		e.again, e.after = true, retryAfter(r.Header.Get("Retry-After"))
	}
	return e
}

func retryAfter(text string) time.Duration {
	if n, err := strconv.Atoi(text); err == nil && n > 0 && n < 1e6 {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(text); err == nil {
		return time.Until(t)
	}
	return 0
}

// most of an answer that is not looked at is read, so that the connection can serve again.
const mostIgnored = 64 << 10

func discard(r *http.Response) {
	_, _ = io.CopyN(io.Discard, r.Body, mostIgnored)
	r.Body.Close()
}
