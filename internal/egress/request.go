package egress

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"agentbox/profile"
)

// target is what a request wants to reach. A URL of the box's own that names a credential leads to that one's host.
func (g *Gateway) target(fixed target, r *http.Request) (target, *refusal) {
	if !readable(r) {
		fixed.asked = r.Host
		return fixed, &refusal{Verdict: Verdict{Reason: WrongProtocol, Detail: "the target of the request is no path"}}
	}
	if fixed.via == viaSocket && r.Method != http.MethodConnect {
		return fixed, nil
	}
	if name, rest, ok := g.based(fixed, r); ok {
		at, known := g.credentials.BaseURL(name)
		if !known {
			return target{via: viaBase, asked: r.Host}, &refusal{Verdict: Verdict{Reason: BadHost, Detail: "no credential with one host is called so"}}
		}
		r.URL.Path, r.URL.RawPath = rest.Path, rest.RawPath
		return target{host: at.Host, port: at.Port, secure: at.Secure, via: viaBase}, nil
	}
	return requestTarget(fixed, r)
}

// readable reports whether the target of a request is one of the forms of RFC 9112, section 3.2, whose path decides. A
// URL without a path ("http:x") would be sent on as it is, and some servers would find one in it.
func readable(r *http.Request) bool {
	p := r.URL.Path
	return r.Method == http.MethodConnect || r.URL.Opaque == "" && (strings.HasPrefix(p, "/") || p == "" && r.URL.Host != "" || p == "*" && r.Method == http.MethodOptions)
}

// based tells a request to the proxy itself, whose path begins with a credential's name.
func (g *Gateway) based(fixed target, r *http.Request) (name string, rest *url.URL, ok bool) {
	if !fixed.host.IsZero() || r.Method == http.MethodConnect || r.URL.Host != "" || g.credentials == nil {
		return "", nil, false
	}
	if h, _, ok := parseAuthority(r.Host, httpPort); !ok || !h.Addr.IsLoopback() && h.Name != "localhost" {
		return "", nil, false
	}
	name, path, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	rest, err := url.ParseRequestURI("/" + path)
	return name, rest, err == nil && name != ""
}

// requestTarget is what a request wants to reach. The host of a request on a connection to a host must be that one: a
// server may have others, which nobody decided about.
func requestTarget(fixed target, r *http.Request) (target, *refusal) {
	no := func(to target, reason Reason, detail string) (target, *refusal) {
		return to, &refusal{Verdict: Verdict{Reason: reason, Detail: detail}}
	}
	to := target{via: viaHTTP, asked: r.Host}
	if fixed.host.IsZero() && r.Method != http.MethodConnect {
		switch {
		case r.URL.Host == "":
			return no(to, WrongProtocol, "this is a proxy: the request must name a host")
		case r.URL.Scheme != "http":
			return no(to, WrongProtocol, "the proxy takes \"http\" URLs; for others use CONNECT")
		}
	}
	port := uint16(httpPort)
	if fixed.secure {
		port = defaultPort
	}
	if r.Method == http.MethodConnect {
		port, to.via = 0, viaConnect
	}
	var ok bool
	if to.host, to.port, ok = parseAuthority(r.Host, port); !ok {
		return no(to, BadHost, "the request names no host and port that agentbox can read")
	}
	if fixed.host.IsZero() {
		return to, nil
	}
	for _, h := range r.Header["Host"] { // HTTP/2 has room for one beside ":authority"
		if h != r.Host {
			return no(fixed, Mismatch, "the request names two hosts")
		}
	}
	if r.URL.Scheme != "" && (r.URL.Scheme == "https") != fixed.secure {
		return no(fixed, Mismatch, "the request names another scheme than its connection has")
	}
	if r.Method == http.MethodConnect {
		return no(fixed, WrongProtocol, "CONNECT is for a proxy, and this is a connection to a host")
	}
	if !strings.Contains(strings.TrimPrefix(r.Host, "["+to.host.Addr.String()+"]"), ":") {
		to.port = fixed.port // a client may leave it out where it is not the default, and nothing follows from it
	}
	if to.host != fixed.host || to.port != fixed.port {
		fixed.asked = r.Host
		return no(fixed, Mismatch, "the request names "+to.host.String()+", and the connection is to another host")
	}
	to.via, to.secure = fixed.via, fixed.secure
	return to, nil
}

// parseAuthority reads "host:port" (RFC 3986, section 3.2); without a port it is the given one, and with 0 there must be one.
func parseAuthority(s string, port uint16) (profile.Host, uint16, bool) {
	name, digits, found := s, "", false
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		name, digits, found = s[:i], s[i+1:], true
	}
	if found {
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || n == 0 || digits[0] == '+' {
			return profile.Host{}, 0, false
		}
		port = uint16(n)
	}
	if strings.Contains(name, ":") && !strings.HasPrefix(name, "[") {
		return profile.Host{}, 0, false
	}
	h, err := profile.ParseHost(name)
	return h, port, err == nil && port != 0
}
