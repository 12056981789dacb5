package egress

import (
	"net/netip"
	"testing"

	"agentbox/profile"
)

// compile makes the policy of an allowlist; own is this machine's address.
func compile(t testing.TB, n profile.Network) *Policy {
	t.Helper()
	n.Mode = "allowlist"
	p, err := Compile(n, nil, map[string][]Endpoint{"@npm": {{"npm.registry.test", 443}, {"mirror.test", 8080}}}, func(a netip.Addr) bool {
		return a == netip.MustParseAddr("203.0.113.2")
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func query(t testing.TB, host string, port uint16) Query {
	t.Helper()
	h, err := profile.ParseHost(host)
	if err != nil {
		return Query{Port: port}
	}
	return Query{Host: h, Port: port}
}

func TestDecide(t *testing.T) {
	p := compile(t, profile.Network{
		Allow: []string{"api.example.com", "*.cdn.example.com", "git.example.com:22", "8.8.4.4:53", "@npm", "bad.example.org", "[2001:4860::1]:443"},
		Deny:  []string{"*", "secret.cdn.example.com", "bad.example.org", "8.8.0.0/16"},
	})
	for name, tc := range map[string]struct {
		host   string
		port   uint16
		reason Reason
		rule   string
	}{
		"an exact name": {"api.example.com", 443, Allowed, "network.allow[0]"},
		"in other letters, with a dot at its end": {"API.Example.COM.", 443, Allowed, "network.allow[0]"},
		"another port":                    {"api.example.com", 80, NotAllowed, ""},
		"a name that ends alike":          {"evil-api.example.com", 443, NotAllowed, "network.deny[0]"},
		"a name that begins alike":        {"api.example.com.evil.test", 443, NotAllowed, "network.deny[0]"},
		"below a wildcard":                {"a.b.cdn.example.com", 443, Allowed, "network.allow[1]"},
		"the wildcard's own name":         {"cdn.example.com", 443, NotAllowed, "network.deny[0]"},
		"a name that only looks below it": {"xcdn.example.com", 443, NotAllowed, "network.deny[0]"},
		"denied below a wildcard":         {"secret.cdn.example.com", 443, Denied, "network.deny[1]"},
		"denied beats allowed":            {"bad.example.org", 443, Denied, "network.deny[2]"},
		"a port of its own":               {"git.example.com", 22, Allowed, "network.allow[2]"},
		"not the default beside it":       {"git.example.com", 443, NotAllowed, ""},
		"an address in a denied range":    {"8.8.4.4", 53, Denied, "network.deny[3]"},
		"a registry":                      {"npm.registry.test", 443, Allowed, "network.allow[4]"},
		"a registry on its port":          {"mirror.test", 8080, Allowed, "network.allow[4]"},
		"a registry on another":           {"mirror.test", 443, NotAllowed, ""},
		"an IPv6 address":                 {"[2001:4860::1]", 443, Allowed, "network.allow[6]"},
		"no host":                         {"a b", 443, BadHost, ""},
		"no port":                         {"api.example.com", 0, BadHost, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if v := p.Decide(query(t, tc.host, tc.port)); v.Reason != tc.reason || v.Rule != tc.rule {
				t.Errorf("%s:%d: %v by %q", tc.host, tc.port, v.Reason, v.Rule)
			}
		})
	}
}

func TestTheZeroValuesRefuse(t *testing.T) {
	if v := (&Policy{}).Decide(query(t, "api.example.com", 443)); v.OK() {
		t.Error("an empty policy allows")
	}
	if (Verdict{}).OK() {
		t.Error("an empty verdict allows")
	}
	p, err := Compile(profile.Network{Mode: "none", Allow: []string{"api.example.com"}}, nil, nil, nil)
	if err != nil || p.Decide(query(t, "api.example.com", 443)).OK() {
		t.Errorf("mode none allows: %v", err)
	}
}

func TestRulesAboutRequests(t *testing.T) {
	p := compile(t, profile.Network{
		Allow: []string{"api.example.com:80", "other.example.com:80"},
		Rules: []profile.NetworkRule{
			{Host: "api.example.com:80", Methods: []string{"GET", "HEAD"}, Paths: []string{"/repos/**", "/users/*"}},
			{Host: "api.example.com:80", Methods: []string{"POST"}, Paths: []string{"/repos/*/issues"}},
		},
	})
	for name, tc := range map[string]struct {
		host, method, path string
		ok                 bool
	}{
		"what the first allows":         {"api.example.com", "GET", "/repos/a/b/c", true},
		"any number is also none":       {"api.example.com", "GET", "/repos", true},
		"what the second allows":        {"api.example.com", "POST", "/repos/a/issues", true},
		"one part is one part":          {"api.example.com", "GET", "/users/a/keys", false},
		"the method of the other":       {"api.example.com", "POST", "/users/a", false},
		"another method":                {"api.example.com", "DELETE", "/repos/a", false},
		"another path":                  {"api.example.com", "GET", "/admin", false},
		"a request that cannot be read": {"api.example.com", "", "", false},
		"a host without rules":          {"other.example.com", "DELETE", "/", true},
	} {
		t.Run(name, func(t *testing.T) {
			q := query(t, tc.host, 80)
			q.Method, q.Path = tc.method, tc.path
			if v := p.Decide(q); v.OK() != tc.ok || !tc.ok && v.Reason != BadRequest {
				t.Errorf("%s %s: %+v", tc.method, tc.path, v)
			}
		})
	}
}

func TestEveryReasonHasItsWords(t *testing.T) {
	for r := range reasonsInTotal {
		if r.String() == "" || r != Allowed && r.Says() == "" {
			t.Errorf("reason %d: %q, %q", r, r.String(), r.Says())
		}
	}
}
