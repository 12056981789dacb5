package credential

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"agentbox/internal/secret"
	"agentbox/profile"
)

// text is a source of one secret; an empty one has none.
type text string

func (s text) Get(ctx context.Context) (secret.Value, error) {
	if s == "" {
		return secret.Value{}, errors.New("it has ended")
	}
	r := secret.Reader{Env: func(string) (string, bool) { return string(s), true }}
	source, err := r.Open(ctx, "env:X")
	if err != nil {
		return secret.Value{}, err
	}
	defer source.Close()
	return source.Get(ctx)
}

func set(t testing.TB, rows ...profile.Credential) *Set {
	t.Helper()
	var list []Credential
	for i, r := range rows {
		if r.Name == "" {
			r.Name = fmt.Sprint("c", i)
		}
		list = append(list, Credential{Row: r, Source: text("secret" + fmt.Sprint(i))})
	}
	s, err := NewSet(list, func(string) []profile.HostPattern {
		h, err := profile.ParseHost("registry.test")
		if err != nil {
			t.Fatal(err)
		}
		return []profile.HostPattern{{Host: h, Port: 443}}
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// target reads "https://host:port".
func target(t testing.TB, url string) (Target, *http.Request) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := profile.ParseHost(r.URL.Hostname())
	if err != nil {
		t.Fatal(err)
	}
	to := Target{Host: h, Port: 443, Secure: r.URL.Scheme == "https"}
	if p := r.URL.Port(); p != "" {
		fmt.Sscan(p, &to.Port)
	} else if !to.Secure {
		to.Port = 80
	}
	return to, r
}

func TestWhatARequestLeavesWith(t *testing.T) {
	header := func(hosts ...string) profile.Credential { return profile.Credential{Hosts: hosts, Header: "X-Api-Key"} }
	for name, tc := range map[string]struct {
		rows   []profile.Credential
		method string
		url    string
		sent   string // by the agent: "Name: value"
		want   string // headers, and the URL's query
	}{
		"a header":                        {[]profile.Credential{header("api.test")}, "GET", "https://api.test/", "", "X-Api-Key: secret0"},
		"in the placeholder's place":      {[]profile.Credential{header("api.test")}, "GET", "https://api.test/", "X-Api-Key: holder", "X-Api-Key: secret0"},
		"with a format":                   {[]profile.Credential{{Hosts: []string{"api.test"}, Header: "Authorization", Format: "token {}"}}, "GET", "https://api.test/", "", "Authorization: token secret0"},
		"bearer":                          {[]profile.Credential{{Hosts: []string{"api.test"}, As: "bearer"}}, "GET", "https://api.test/", "Authorization: Basic eDp5", "Authorization: Bearer secret0"},
		"basic":                           {[]profile.Credential{{Hosts: []string{"git.test"}, As: "basic", User: "x-access-token"}}, "GET", "https://git.test/", "", "Authorization: Basic eC1hY2Nlc3MtdG9rZW46c2VjcmV0MA=="},
		"a parameter":                     {[]profile.Credential{{Hosts: []string{"api.test"}, As: "query", Query: "key"}}, "GET", "https://api.test/?a=1&key=holder&b=%20", "", "?a=1&b=%20&key=secret0"},
		"a host below a pattern":          {[]profile.Credential{header("*.api.test")}, "GET", "https://eu.api.test/", "", "X-Api-Key: secret0"},
		"the pattern's own name is none":  {[]profile.Credential{header("*.api.test")}, "GET", "https://api.test/", "X-Api-Key: mine", "X-Api-Key: mine"},
		"a registry":                      {[]profile.Credential{header("@npm")}, "GET", "https://registry.test/", "", "X-Api-Key: secret0"},
		"another host":                    {[]profile.Credential{header("api.test")}, "GET", "https://other.test/", "Authorization: mine", "Authorization: mine"},
		"a host that ends alike":          {[]profile.Credential{header("api.test")}, "GET", "https://evil-api.test/", "Authorization: mine", "Authorization: mine"},
		"another port":                    {[]profile.Credential{header("api.test")}, "GET", "https://api.test:8443/", "Authorization: mine", "Authorization: mine"},
		"plain HTTP gets none":            {[]profile.Credential{header("api.test")}, "GET", "http://api.test/", "Authorization: mine", ""},
		"plain HTTP of the loopback":      {[]profile.Credential{header("http://127.0.0.1:8080")}, "GET", "http://127.0.0.1:8080/", "", "X-Api-Key: secret0"},
		"and TLS to it is another":        {[]profile.Credential{header("http://127.0.0.1:8080")}, "GET", "https://127.0.0.1:8080/", "X-Api-Key: mine", "X-Api-Key: mine"},
		"a path that it is not for":       {[]profile.Credential{{Hosts: []string{"api.test"}, Header: "X-Api-Key", Paths: []string{"/v1/**"}}}, "GET", "https://api.test/v2", "X-Api-Key: mine", ""},
		"a path that it is for":           {[]profile.Credential{{Hosts: []string{"api.test"}, Header: "X-Api-Key", Paths: []string{"/v1/**"}}}, "GET", "https://api.test/v1/a", "", "X-Api-Key: secret0"},
		"a method that it is not for":     {[]profile.Credential{{Hosts: []string{"api.test"}, Header: "X-Api-Key", Methods: []string{"GET"}}}, "POST", "https://api.test/", "X-Api-Key: mine", ""},
		"the first of two for one place":  {[]profile.Credential{{Hosts: []string{"api.test"}, As: "bearer", Paths: []string{"/a/**"}}, {Hosts: []string{"api.test"}, As: "bearer"}}, "GET", "https://api.test/a/b", "", "Authorization: Bearer secret0"},
		"the second where the first ends": {[]profile.Credential{{Hosts: []string{"api.test"}, As: "bearer", Paths: []string{"/a/**"}}, {Hosts: []string{"api.test"}, As: "bearer"}}, "GET", "https://api.test/b", "", "Authorization: Bearer secret1"},
		"two for two places":              {[]profile.Credential{header("api.test"), {Hosts: []string{"api.test"}, Header: "X-App-Key"}}, "GET", "https://api.test/", "", "X-Api-Key: secret0, X-App-Key: secret1"},
	} {
		t.Run(name, func(t *testing.T) {
			to, r := target(t, tc.url)
			r.Method = tc.method
			if k, v, ok := strings.Cut(tc.sent, ": "); ok {
				r.Header.Set(k, v)
			}
			if _, err := set(t, tc.rows...).Apply(t.Context(), r, to, r.URL.Path); err != nil {
				t.Fatal(err)
			}
			var got []string
			for k, v := range r.Header {
				got = append(got, k+": "+strings.Join(v, "|"))
			}
			if slices.Sort(got); r.URL.RawQuery != "" {
				got = append(got, "?"+r.URL.RawQuery)
			}
			if strings.Join(got, ", ") != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestARequestWithoutItsSecretIsNotSent(t *testing.T) {
	s, err := NewSet([]Credential{{Row: profile.Credential{Name: "k", Hosts: []string{"api.test"}, As: "bearer"}, Source: text("")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	to, r := target(t, "https://api.test/")
	if _, err := s.Apply(t.Context(), r, to, "/"); err == nil || !strings.Contains(err.Error(), `credential "k": it has ended`) {
		t.Error(err)
	}
}

func TestWhatIsAuthentication(t *testing.T) {
	for name, want := range map[string]bool{
		"Authorization": true, "Proxy-Authorization": true, "Cookie": true, "X-Api-Key": true, "api_key": true, "Apikey": true, "X-Goog-Api-Key": true,
		"Private-Token": true, "JOB-TOKEN": true, "X-Auth-Token": true, "X-Amz-Security-Token": true, "X-Amz-Signature": true, "access_token": true, "key": true, "Ocp-Apim-Subscription-Key": true,
		"X-Functions-Key": true, "client_secret": true, "password": true, "DD-APPLICATION-KEY": true, "X-Jwt-Assertion": true,
		"Accept": false, "Content-Type": false, "Idempotency-Key": false, "Sec-Websocket-Key": false, "X-Claude-Code-Session-Id": false, "Anthropic-Beta": false, "X-Stainless-Os": false,
		"page_token": false, "continuation-token": false, "max_tokens": false, "X-Author": false, "keyword": false, "Openai-Organization": false, "path": false,
	} {
		if Authenticates(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

func TestKeysAmongSubprotocols(t *testing.T) {
	r, err := http.NewRequest("GET", "https://me:pw@api.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key.sk-stranger, base64url.bearer.authorization.k8s.io.abc, v2.bearer-token.xyz")
	Strip(r, nil)
	if got := r.Header.Get("Sec-WebSocket-Protocol"); got != "realtime" || r.URL.User != nil {
		t.Errorf("%q %v", got, r.URL.User)
	}
}

func TestPlaceholders(t *testing.T) {
	v := func(s string) secret.Value {
		v, err := text(s).Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for name, tc := range map[string]struct {
		shape, secret, begins string
		length                int
	}{
		"Anthropic's":         {"", "sk-ant-api03-abcdef", "sk-ant-api03-agentbox", 108},
		"GitHub's":            {"", "ghp_abcdefabcdefabcdefabcdefabcdefabcdef", "ghp_agentbox", 40},
		"nobody's":            {"", "correct horse battery", "agentbox", 48},
		"the profile's shape": {"key-{}-x", "sk-ant-api03-abcdef", "key-agentbox", 38},
	} {
		a, b := NewPlaceholder(profile.Credential{Placeholder: tc.shape}, v(tc.secret)), NewPlaceholder(profile.Credential{Placeholder: tc.shape}, v(tc.secret))
		if !strings.HasPrefix(a, tc.begins) || len(a) != tc.length || a == b {
			t.Errorf("%s: %q (%d), %q", name, a, len(a), b)
		}
	}
}

// Whatever a query says, what is left of it has no key, and nothing else is lost.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"a=1&key=2", "api_key=x", "a;key=1", "%6bey=1", "a=%zz&b=1", "&&", "key", "=key", "KEY=1&Api%5Fkey=2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got := stripQuery(raw, []string{"query:own"})
		for pair := range strings.SplitSeq(got, "&") {
			name, _, _ := strings.Cut(pair, "=")
			if got != "" && (!slices.Contains(strings.Split(raw, "&"), pair) || Authenticates(name) || name == "own") {
				t.Errorf("%q gives %q", raw, got)
			}
		}
	})
}

// A header's format holds the secret once, and nothing else changes.
func FuzzFormat(f *testing.F) {
	f.Add("Bearer {}", "s3cr3t")
	f.Add("{}", "{}")
	f.Fuzz(func(t *testing.T, format, key string) {
		if strings.Count(format, "{}") != 1 || key == "" {
			return
		}
		v, err := text(key).Get(t.Context())
		if err != nil { // a secret that cannot stand in a header
			return
		}
		r := &http.Request{Header: http.Header{}}
		row{Credential: Credential{Row: profile.Credential{Header: "X-Key", Format: format}}}.put(r, v)
		before, after, _ := strings.Cut(format, "{}")
		if got := r.Header.Get("X-Key"); got != before+v.Reveal()+after {
			t.Errorf("%q of %q: %q", format, key, got)
		}
	})
}
