package e2e

import (
	"net/http"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
	internet "agentbox/internal/boxtest/world"
)

// A kernel that cannot capture stops the start, by name. A profile that lets the layer go has the proxy alone, and is told.
func TestAKernelThatCannotCapture(t *testing.T) {
	boxtest.Need(t, "curl")
	noNftables := denyExact(unix.SYS_SOCKET, unix.EPROTONOSUPPORT, 2, unix.NETLINK_NETFILTER)
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			w.refuses(t, "capture", boxtest.DenyCmd(t, w.agentbox(t, append([]string{"run", "--network", "allowlist"}, touch...)...), noNftables...))
			said := w.starts(t, boxtest.DenyCmd(t, w.agentbox(t, append([]string{"run", "--network", "allowlist", "--degrade", "capture"}, touch...)...), noNftables...))
			if !strings.Contains(said, "connections without a proxy are not captured") {
				t.Errorf("it says %q", said)
			}
			const ask = `curl -sS -m 5 http://192.0.2.1/ | head -n 1; curl -sS -m 5 --noproxy '*' http://192.0.2.1/ 2>&1`
			r := finish(t, boxtest.DenyCmd(t, w.agentbox(t, "run", "--network", "allowlist", "--degrade", "capture", "--", "sh", "-c", ask), noNftables...))
			if !strings.HasPrefix(r.out, "agentbox refused 192.0.2.1:80:") || !strings.Contains(r.out, "Couldn't connect") {
				t.Errorf("%s%s", r.out, r.err)
			}
			w.starts(t, w.agentbox(t, append([]string{"run", "--network", "allowlist"}, touch...)...))
		})
	}
}

// Each box has its own way out: the proxy that one finds is its own, and nobody outside finds any.
func TestBoxesDoNotShareTheirWayOut(t *testing.T) {
	boxtest.Need(t, "curl")
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			net := internet.New(t)
			net.Name("api.test", "203.0.113.10")
			net.HTTP("203.0.113.10:80", http.HandlerFunc(hello))
			w := online(t, find, net, `network.allow = ["api.test:80"]`)
			const get = `curl -sS -m 5 -o /dev/null -w '%{http_code}\n' http://api.test/ 2>&1; `
			first := w.start(t, "echo ready; cat >/dev/null; "+get)
			w.allow(t, net, `network.allow = ["other.test:80"]`)
			second := w.sh(t, get+"env | grep -c 3128")
			if second.out != "403\n6\n" {
				t.Errorf("the other box: %+v", second)
			}
			r := finish(t, w.Command(t, w.dir, "curl", "-sS", "-m", "5", "-x", "http://127.0.0.1:3128", "http://api.test/"))
			if r.code != 7 {
				t.Errorf("outside: %+v", r)
			}
			first.stdin.Close()
			if got := first.line(t); got != "200" {
				t.Errorf("the first box: %q", got)
			}
		})
	}
}

// The limits of a rule hold across a session.
func TestNetworkRules(t *testing.T) {
	boxtest.Need(t, "curl")
	net := internet.New(t)
	net.Name("api.test", "203.0.113.10")
	net.HTTP("203.0.113.10:80", http.HandlerFunc(hello))
	net.HTTPS("203.0.113.10:443", []string{"api.test"}, http.HandlerFunc(hello))
	const get = `get() { curl -sS -m 5 -o /dev/null -w '%{http_code} ' "$@" 2>/dev/null || echo -n 'failed '; }; `
	for name, tc := range map[string]struct{ rule, script, want string }{
		"methods and paths": {`methods = ["GET"]` + "\n" + `paths = ["/repos/**"]`,
			`get http://api.test/repos/a; get -X DELETE http://api.test/repos/a; get http://api.test/admin; get --path-as-is http://api.test/repos/../admin; get http://api.test/repos/%2e%2e/admin; get http://api.test/repos%2fa`,
			"200 403 403 403 403 403 "},
		"a rate":    {`rate = "2/h"`, `get http://api.test/; get http://api.test/; get http://api.test/`, "200 200 429 "},
		"bytes out": {`bytes_out = "1KiB"`, `head -c 4096 /dev/zero >big; get http://api.test/; get --data-binary @big http://api.test/; get http://api.test/`, "200 429 429 "},
	} {
		t.Run(name, func(t *testing.T) {
			w := online(t, mappedUser, net, "network.allow = [\"api.test:80\", \"api.test\"]\n")
			w.profile(t, "workspace.mode = \"rw\"\n[network]\nmode = \"allowlist\"\nallow = [\"api.test:80\"]\n[[network.rule]]\nhost = \"api.test:80\"\n"+tc.rule+"\n")
			if r := w.sh(t, get+tc.script); r.out != tc.want {
				t.Errorf("%q, want %q\n%s", r.out, tc.want, r.err)
			}
		})
	}
}
