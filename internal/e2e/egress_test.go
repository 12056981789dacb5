package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentbox/internal/boxtest"
	internet "agentbox/internal/boxtest/world"
)

// direct is what a script begins with that is to know of no proxy.
const direct = "unset HTTP_PROXY http_proxy HTTPS_PROXY https_proxy ALL_PROXY all_proxy NODE_USE_ENV_PROXY\n"

// online makes a project near, whose agent may reach what the lines of [network] say. Its clients trust the internet's
// own authority.
func online(t testing.TB, find who, net *internet.World, network string) *world {
	t.Helper()
	w := newWorld(t, find, "")
	w.Account = net.Near(w.Account)
	w.Path = "/usr/local/bin:/usr/bin:/bin"
	w.allow(t, net, network)
	return w
}

// allow writes the account's profile, with these lines of [network].
func (w *world) allow(t testing.TB, net *internet.World, network string) {
	t.Helper()
	ca := filepath.Join(w.dir, "ca.crt")
	w.WriteFile(t, ca, string(net.CA()), 0o644)
	text := "network.mode = \"allowlist\"\n" + network + "\nworkspace.mode = \"rw\"\n[agent.env]\n"
	for _, kv := range internet.TrustEnv(ca) {
		name, value, _ := strings.Cut(kv, "=")
		text += fmt.Sprintf("%s = %q\n", name, value)
	}
	w.profile(t, text)
}

func hello(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello from "+r.Host) }

// A client is a program that people's agents use, and what it writes when it reaches its host.
type client struct {
	host, script, want string
	needs              boxtest.Feature
}

var clients = map[string]client{
	"curl":               {"api.test", `curl -sS https://api.test/`, "hello from api.test", "curl"},
	"curl with HTTP/2":   {"api.test", `curl -sS --http2 -o /dev/null -w '%{http_version}' https://api.test/`, "2", "curl"},
	"curl over IPv6":     {"six.test", `curl -sS6 --noproxy '*' https://six.test/`, "hello from six.test", "curl"},
	"wget":               {"api.test", `wget -qO- --ca-certificate=ca.crt https://api.test/`, "hello from api.test", "wget"},
	"git":                {"git.test", `git clone -q https://git.test/project.git clone && cat clone/file`, "hello from git", "git"},
	"npm":                {"npm.test", `npm install --silent --fetch-retries 0 --no-audit --no-fund --registry https://npm.test/ greeter && node_modules/.bin/greet`, "hello from npm", "npm"},
	"pip":                {"pypi.test", `python3 -m pip install -q --no-cache-dir --disable-pip-version-check --retries 0 --index-url https://pypi.test/simple/ --target lib greeter && PYTHONPATH=lib python3 -c 'import greeter; print(greeter.__name__)'`, "greeter", "python3"},
	"python":             {"api.test", `python3 -c 'import urllib.request; print(urllib.request.urlopen("https://api.test/").read().decode())'`, "hello from api.test", "python3"},
	"node":               {"api.test", `node -e 'fetch("https://api.test/").then(r => r.text()).then(console.log, e => { console.error(e.cause || e); process.exit(1) })'`, "hello from api.test", "node"},
	"Go":                 {"api.test", `./fetch https://api.test/`, "HTTP/2.0 hello from api.test", "go"},
	"openssl":            {"api.test", `echo | openssl s_client -connect api.test:443 -CAfile ca.crt -verify_return_error 2>&1 | sed -n 's/^ *Verify return code: //p' | head -n 1`, "0 (ok)", "openssl"},
	"a WebSocket":        {"ws.test", `python3 websocket.py wss://ws.test/ one two`, "one\ntwo\nclosed", "python3"},
	"server-sent events": {"sse.test", `curl -sSN https://sse.test/ 2>/dev/null | head -n 1`, "data: one", "curl"},
	"plain HTTP":         {"plain.test:80", `curl -sS http://plain.test/`, "hello from plain.test", "curl"},
	"a plain WebSocket":  {"plainws.test:80", `python3 websocket.py ws://plainws.test/ one two`, "one\ntwo\nclosed", "python3"},
}

// serveClients puts the servers far that the clients want.
func serveClients(t testing.TB, net *internet.World) {
	events := make(chan string)
	go func() {
		for {
			select {
			case events <- "one":
			case <-t.Context().Done():
				return
			}
		}
	}()
	hello := http.HandlerFunc(hello)
	net.Name("api.test", "203.0.113.10", "2001:db8:a::10")
	net.HTTPS("203.0.113.10:443", []string{"api.test"}, hello)
	net.HTTPS("[2001:db8:a::10]:443", []string{"api.test", "six.test"}, hello)
	net.Name("six.test", "2001:db8:a::10")
	for name, handler := range map[string]http.Handler{
		"git.test": internet.Git(t), "npm.test": internet.NPM(), "pypi.test": internet.PyPI(), "ws.test": internet.WebSocket(), "sse.test": internet.Events(events),
	} {
		at := map[string]string{"git.test": "11", "npm.test": "12", "pypi.test": "13", "ws.test": "14", "sse.test": "17"}[name]
		net.Name(name, "203.0.113."+at)
		net.HTTPS("203.0.113."+at+":443", []string{name}, handler)
	}
	net.Name("plain.test", "203.0.113.15")
	net.HTTP("203.0.113.15:80", hello)
	net.Name("plainws.test", "203.0.113.16")
	net.HTTP("203.0.113.16:80", internet.WebSocket())
}

// Every client reaches an allowed host, with the usual variables and without any; with a profile that names another host
// in the same line it does not, and is told at once.
func TestClientsNeedNoProxy(t *testing.T) {
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			net := internet.New(t)
			serveClients(t, net)
			for name, c := range clients {
				t.Run(name, func(t *testing.T) {
					boxtest.Need(t, c.needs)
					for _, way := range []string{direct, ""} {
						allowed := online(t, find, net, fmt.Sprintf("network.allow = [%q]", c.host))
						allowed.tools(t)
						if r := allowed.sh(t, way+c.script); r.code != 0 || strings.TrimSpace(r.out) != c.want {
							t.Errorf("allowed (%q): %d\n%s%s", way, r.code, r.out, r.err)
						}
					}
					denied := online(t, find, net, `network.allow = ["other.test"]`)
					denied.tools(t)
					if r := denied.sh(t, direct+c.script); strings.Contains(r.out, c.want) {
						t.Errorf("denied, and yet:\n%s%s", r.out, r.err)
					}
				})
			}
			if q := net.Queries("other.test"); len(q) != 0 {
				t.Errorf("a name was asked for that nobody wanted: %v", q)
			}
		})
	}
}

// tools puts programs of the tests' own into the project.
func (w *world) tools(t testing.TB) {
	t.Helper()
	w.WriteFile(t, filepath.Join(w.dir, "websocket.py"), internet.WebSocketClient, 0o644)
	boxtest.Fetch(t, w.dir)
}

// Addresses that no box may reach are there, and nothing arrives: however they are named, and whoever asks.
func TestInnerAddressesAreOutOfReach(t *testing.T) {
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Need(t, "curl")
			boxtest.Leftovers(t)
			net := internet.New(t)
			var servers []*internet.Server
			for _, at := range []string{"10.9.8.7:80", "169.254.169.254:80", "127.0.0.1:80", "[::1]:80", "[fd00:ec2::254]:80", internet.NearIPv4 + ":80", "[" + internet.NearIPv6 + "]:80"} {
				servers = append(servers, net.HTTP(at, http.HandlerFunc(hello)))
			}
			for i, addr := range []string{"10.9.8.7", "169.254.169.254", "127.0.0.1", "::1", "fd00:ec2::254", internet.NearIPv4, internet.NearIPv6, "::ffff:10.9.8.7"} {
				net.Name(fmt.Sprintf("name%d.test", i), addr)
			}
			w := online(t, find, net, `network.allow = ["*.inner.test:80", "name0.test:80", "name1.test:80", "name2.test:80", "name3.test:80", "name4.test:80", "name5.test:80", "name6.test:80", "name7.test:80"]`)
			script := `get() { curl -sS -m 5 -o page -w '%{http_code} ' "$@" 2>/dev/null; grep -c '^agentbox refused' page; rm -f page; }
				for n in 0 1 2 3 4 5 6 7; do get http://name$n.test/; get --noproxy '*' http://name$n.test/; done
				for a in 10.9.8.7 169.254.169.254 '[fd00:ec2::254]' ` + internet.NearIPv4 + `; do get http://$a/; get --noproxy '*' http://$a/; done`
			r := w.sh(t, script)
			if want := strings.Repeat("403 1\n", 24); r.out != want {
				t.Errorf("%s%s", r.out, r.err)
			}
			for _, s := range servers {
				if n := s.Connections(); n != 0 {
					t.Errorf("%s was reached %d times", s.Addr, n)
				}
			}
			// The same address, named as such.
			w = online(t, find, net, `network.allow = ["10.9.8.7:80"]`)
			if r := w.sh(t, "curl -sS http://10.9.8.7/; curl -sS --noproxy '*' http://10.9.8.7/"); r.out != strings.Repeat("hello from 10.9.8.7\n", 2) {
				t.Errorf("%+v", r)
			}
			// And a name there, where the profile opens the range.
			w = online(t, find, net, "network.allow = [\"name0.test:80\"]\nnetwork.private = [\"10.0.0.0/8\"]")
			if r := w.sh(t, "curl -sS http://name0.test/"); r.out != "hello from name0.test\n" {
				t.Errorf("%+v", r)
			}
		})
	}
}

// The name in TLS must be the one that was asked for.
func TestAnotherNameInTLS(t *testing.T) {
	boxtest.Need(t, "openssl")
	net := internet.New(t)
	net.Name("api.test", "203.0.113.10")
	server := net.HTTPS("203.0.113.10:443", []string{"api.test", "hidden.test"}, http.HandlerFunc(hello))
	w := online(t, mappedUser, net, `network.allow = ["api.test"]`)
	for name, tc := range map[string]struct{ options, want string }{
		"the same name":     {"-servername api.test", "Verify return code: 0 (ok)"},
		"another":           {"-servername hidden.test", "alert access denied"},
		"none":              {"-noservername", "alert access denied"},
		"through the proxy": {"-proxy 127.0.0.1:3128 -servername hidden.test", "alert access denied"},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.sh(t, "echo | openssl s_client -connect api.test:443 -CAfile ca.crt "+tc.options+" 2>&1")
			if !strings.Contains(r.out, tc.want) {
				t.Errorf("%s", r.out)
			}
		})
	}
	if got := strings.Join(server.Hellos(), " "); strings.Contains(got, "hidden") {
		t.Errorf("arrived: %s", got)
	}
}

// The rest of the network is not there.
func TestNothingButTCPHasAWayOut(t *testing.T) {
	boxtest.Need(t, boxtest.Python)
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			net := internet.New(t)
			net.Name("api.test", "203.0.113.10")
			w := online(t, find, net, `network.allow = ["api.test"]`)
			r := w.sh(t, `python3 - <<'E'
import socket, struct
def udp(family, *at):
    s = socket.socket(family, socket.SOCK_DGRAM)
    try: s.connect(at); return "a route"
    except OSError as e: return e.strerror
print(udp(socket.AF_INET, "8.8.8.8", 53), udp(socket.AF_INET, "203.0.113.10", 443), udp(socket.AF_INET6, "2001:db8:a::10", 443), sep="\n")
def ask(name, kind, tcp=False):
    q = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0" + struct.pack(">2H", kind, 1)
    if tcp:
        s = socket.create_connection(("8.8.8.8", 53), 5); s.sendall(struct.pack(">H", len(q)) + q); f = s.makefile("rb"); a = f.read(struct.unpack(">H", f.read(2))[0])
    else:
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.sendto(q, ("127.0.0.1", 53)); a = s.recv(512)
    return a[3] & 15, struct.unpack(">H", a[6:8])[0]
print(ask("api.test", 1), ask("api.test", 28), ask("api.test", 16), ask("c2VjcmV0.evil.test", 1), ask("api.test", 1, True), ask("evil.test", 1, True))
E`)
			want := strings.Repeat("Network is unreachable\n", 3) + "(0, 1) (0, 1) (0, 0) (3, 0) (0, 1) (3, 0)\n"
			if r.out != want {
				t.Errorf("%s%s", r.out, r.err)
			}
			for _, q := range net.Queries() {
				if q.Name != "api.test" {
					t.Errorf("%s was asked for", q.Name)
				}
			}
		})
	}
}

// Doors lead where the profile says, both ways; without their line there are none.
func TestForwardAndPublish(t *testing.T) {
	boxtest.Need(t, "curl")
	boxtest.Need(t, boxtest.Python)
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			world := internet.New(t)
			world.HTTP("127.0.0.1:5432", http.HandlerFunc(hello))
			w := online(t, find, world, "")
			path := filepath.Join(w.RuntimeDir, "host.sock")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if err := os.Chmod(path, 0o666); err != nil {
				t.Fatal(err)
			}
			go http.Serve(l, http.HandlerFunc(hello))
			script := `echo ready; python3 -m http.server 3000 --bind 127.0.0.1 >/dev/null 2>&1 & curl -sS -m 5 http://127.0.0.1:5432/; curl -sS --unix-socket ` + path + ` http://host/; cat`
			w.profile(t, fmt.Sprintf("workspace.mode = \"rw\"\nnetwork.mode = \"allowlist\"\nnetwork.forward = [\"127.0.0.1:5432\", \"unix:%s\"]\nnetwork.publish = [\"8000:3000\"]\n[[mount]]\ntype = \"tmpfs\"\ntarget = %q\nsize = \"1MiB\"\n", path, w.RuntimeDir))
			b := w.start(t, script)
			for _, want := range []string{"hello from 127.0.0.1:5432", "hello from host"} {
				if got := b.line(t); got != want {
					t.Errorf("%q, want %q", got, want)
				}
			}
			r := finish(t, w.Command(t, w.dir, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--retry", "20", "--retry-all-errors", "--retry-delay", "1", "http://127.0.0.1:8000/"))
			if r.out != "200" {
				t.Errorf("published: %+v", r)
			}
			b.end()
			w.profile(t, "workspace.mode = \"rw\"\nnetwork.mode = \"allowlist\"\nnetwork.allow = [\"api.test\"]\n")
			if r := w.sh(t, `curl -sS -m 5 http://127.0.0.1:5432/ 2>&1; ls `+path+` 2>&1`); strings.Contains(r.out, "hello") || r.code == 0 {
				t.Errorf("without the lines: %+v", r)
			}
		})
	}
}

// What the record has of a connection and of a refusal, and what "why" says of the same without a box.
func TestConnectionsAreOnTheRecord(t *testing.T) {
	boxtest.Need(t, "curl")
	net := internet.New(t)
	net.Name("api.test", "203.0.113.10")
	net.HTTPS("203.0.113.10:443", []string{"api.test"}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hello(w, r)
		_ = http.NewResponseController(w).Flush()
		<-time.After(500 * time.Millisecond) // who ends at once may be gone before anybody has looked
	}))
	w := online(t, mappedUser, net, `network.allow = ["api.test"]`)
	w.sh(t, direct+"curl -sS https://api.test/; curl -sS http://203.0.113.99/")
	type event struct {
		Type string
		Data struct {
			Via, Host, Address, SNI, Rule, Reason string
			Port                                  int
			Out                                   int `json:"bytes_out"`
			In                                    int `json:"bytes_in"`
			Argv                                  []string
		}
	}
	var got []string
	r := finish(t, w.agentbox(t, "log", "--json"))
	for line := range strings.Lines(r.out) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		d := e.Data
		switch e.Type {
		case "network.connection":
			got = append(got, fmt.Sprintln(d.Via, d.Host, d.Port, d.Address, d.SNI, d.Rule, d.Out > 300, d.In > 1000, strings.Join(d.Argv, " ")))
		case "network.refused":
			got = append(got, fmt.Sprintln(d.Via, d.Host, d.Port, d.Reason, strings.Join(d.Argv, " ")))
		}
	}
	want := "capture api.test 443 203.0.113.10:443 api.test network.allow[0] true true curl -sS https://api.test/\n" +
		"capture 203.0.113.99 80 not-allowed curl -sS http://203.0.113.99/\n"
	if strings.Join(got, "") != want {
		t.Errorf("%s\n%s", got, r.err)
	}
	for target, want := range map[string]string{
		"https://api.test/x":   "allowed  api.test:443\nby       network.allow[0] = \"api.test\"  " + filepath.Join(w.Home, ".config/agentbox/profile.toml") + ":2\nat       203.0.113.10\n",
		"http://203.0.113.99/": "refused   203.0.113.99:80\nby        no entry of network.allow names it\n",
	} {
		if r := finish(t, w.agentbox(t, "why", target)); !strings.HasPrefix(r.out, want) {
			t.Errorf("why %s: %s%s", target, r.out, r.err)
		}
	}
}

// A company's authority is trusted in the box as well, beside those of the host.
func TestExtraAuthority(t *testing.T) {
	boxtest.Need(t, "curl", boxtest.Python)
	net := internet.New(t)
	net.Name("api.test", "203.0.113.10")
	net.HTTPS("203.0.113.10:443", []string{"api.test"}, http.HandlerFunc(hello))
	w := online(t, mappedUser, net, "")
	const get = direct + `curl -sS https://api.test/; python3 -c 'import urllib.request; print(urllib.request.urlopen("https://api.test/").read().decode(), end="")'; grep -c BEGIN /etc/agentbox/ca.pem`
	ca := net.CAFile(t, w.Account, w.RuntimeDir)
	w.profile(t, "network.mode = \"allowlist\"\nnetwork.allow = [\"api.test\"]\n")
	if r := w.sh(t, get); strings.Contains(r.out, "hello") {
		t.Errorf("without it: %+v", r)
	}
	w.profile(t, fmt.Sprintf("network.mode = \"allowlist\"\nnetwork.allow = [\"api.test\"]\nnetwork.extra_ca = [%q]\n", ca))
	if r := w.sh(t, get); !strings.HasPrefix(r.out, strings.Repeat("hello from api.test\n", 2)) {
		t.Errorf("with it: %+v", r)
	}
}
