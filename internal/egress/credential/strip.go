package credential

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// authWords are parts of the names of headers and parameters that carry authentication.
var authWords = []string{
	"auth", "authorization", "authentication", "apikey", "token", "secret", "password", "passwd", "pwd", "credential", "credentials",
	"signature", "sig", "cookie", "cookie2", "jwt", "bearer", "accesskey", "accesstoken", "sessiontoken", "pat",
}

// authPairs are two parts that make one such word.
var authPairs = []string{"api-key", "access-key", "subscription-key", "application-key", "app-key", "function-key", "functions-key", "master-key", "account-key", "service-key", "secret-key", "private-key", "session-key"}

// pages come before "token" where it is the mark of a place in a list.
var pages = []string{"page", "next", "continuation", "sync", "cursor", "start", "marker"}

// Authenticates reports whether a header or parameter carries authentication, by its name: registered names (RFC 9110,
// section 11; RFC 6265), and those in which servers take keys.
func Authenticates(name string) bool {
	name = strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(name))
	parts := strings.Split(name, "-")
	for i, p := range parts {
		if p == "token" && i > 0 && slices.Contains(pages, parts[i-1]) {
			continue
		}
		if slices.Contains(authWords, p) || i > 0 && slices.Contains(authPairs, parts[i-1]+"-"+p) {
			return true
		}
	}
	return name == "key"
}

// Strip takes the authentication off a request; own are further places that are the host's.
func Strip(r *http.Request, own []string) {
	for name := range r.Header {
		if Authenticates(name) && !slices.Contains(notAuth, name) || slices.Contains(own, inHeader+strings.ToLower(name)) {
			delete(r.Header, name)
		}
	}
	stripProtocols(r.Header)
	r.URL.User = nil
	r.URL.RawQuery = stripQuery(r.URL.RawQuery, own)
}

// notAuth are headers whose names only look like it.
var notAuth = []string{"X-Csrf-Token", "Npm-Auth-Type"}

// stripProtocols takes keys out of the subprotocols of a WebSocket, where browsers put them for want of a header.
func stripProtocols(h http.Header) {
	const name = "Sec-Websocket-Protocol"
	var kept []string
	for _, line := range h.Values(name) {
		for p := range strings.SplitSeq(line, ",") {
			if p = strings.TrimSpace(p); p != "" && !keyed(p) {
				kept = append(kept, p)
			}
		}
	}
	if h.Del(name); len(kept) > 0 {
		h.Set(name, strings.Join(kept, ", "))
	}
}

// keyed tells a subprotocol that is a key: OpenAI's "openai-insecure-api-key.KEY", Kubernetes'
// "base64url.bearer.authorization.k8s.io.TOKEN" and their kin.
func keyed(protocol string) bool {
	before, after, ok := strings.Cut(protocol, ".")
	return ok && after != "" && Authenticates(before) || Authenticates(protocol)
}

// stripQuery takes parameters out of a query and leaves the rest as it is written.
func stripQuery(raw string, own []string) string {
	if raw == "" {
		return ""
	}
	var kept []string
	for pair := range strings.SplitSeq(raw, "&") {
		name, _, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil || strings.Contains(pair, ";") { // some servers take ";" for "&"
			continue
		}
		if !Authenticates(plain) && !slices.Contains(own, inQuery+plain) {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}
