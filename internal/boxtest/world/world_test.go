package world

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"

	"agentbox/internal/boxtest"
)

func TestMain(m *testing.M) { os.Exit(boxtest.Main(m)) }

// accounts are those that programs near may belong to.
func accounts() map[string]func(testing.TB) *boxtest.Account {
	return map[string]func(testing.TB) *boxtest.Account{"root": boxtest.Superuser, "user": boxtest.User}
}

// A person is an account near, in a project, that trusts the world's authority.
type person struct {
	*boxtest.Account
	dir   string
	trust []string
}

func newPerson(t *testing.T, w *World, find func(testing.TB) *boxtest.Account) *person {
	t.Helper()
	p := &person{Account: w.Near(find(t))}
	p.dir = boxtest.Project(t, p.Account)
	p.trust = TrustEnv(w.CAFile(t, p.Account, p.dir))
	return p
}

// sh runs a script near and returns what it writes, or how it failed.
func (p *person) sh(t *testing.T, script string) string {
	t.Helper()
	cmd := p.Command(t, p.dir, "sh", "-ec", script)
	cmd.Env = append(cmd.Env, p.trust...)
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return fmt.Sprintf("%s(code %d)", out, exit.ExitCode())
	} else if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func hello(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello from "+r.Host+"\n") }

func TestNearReachesFar(t *testing.T) {
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Need(t, "curl")
			boxtest.Leftovers(t)
			w := New(t)
			w.Hosts("hosts.test", "203.0.113.10")
			w.Name("named.test", "203.0.113.10", "2001:db8:a::10")
			v4 := w.HTTPS("203.0.113.10:443", []string{"hosts.test", "named.test"}, http.HandlerFunc(hello))
			v6 := w.HTTPS("[2001:db8:a::10]:443", []string{"named.test"}, http.HandlerFunc(hello))
			p := newPerson(t, w, find)
			got := p.sh(t, `id -u; id -G; pwd; curl -sS https://hosts.test/x; curl -sS6 https://named.test/; curl -sS4 --http1.1 https://named.test/;
				cat /etc/hosts | tail -n 1; curl -sS --cacert /dev/null https://hosts.test/ 2>/dev/null || echo no trust`)
			want := fmt.Sprintf("%d\n%d\n%s\nhello from hosts.test\nhello from named.test\nhello from named.test\n203.0.113.10 hosts.test\nno trust\n",
				p.UID, p.GID, p.dir)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if v4.Connections() != 3 || v6.Connections() != 1 || len(w.Queries("hosts.test")) != 0 || len(w.Queries("named.test")) == 0 {
				t.Errorf("connections %v %v, queries %v", v4.Peers(), v6.Peers(), w.Queries())
			}
			r := v4.Requests()[0]
			r.Header, r.From = nil, ""
			if diff := cmp.Diff(Request{Proto: "HTTP/2.0", Method: "GET", Host: "hosts.test", URI: "/x", SNI: "hosts.test"}, r); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]string{"hosts.test", "named.test", "hosts.test"}, v4.Hellos()); diff != "" {
				t.Error(diff)
			}
			if peer := v6.Peers()[0].Addr().String(); peer != NearIPv6 {
				t.Errorf("from %s", peer)
			}
		})
	}
}

// An address that must not be reached is there, or the test that nothing arrives would say nothing.
func TestEveryAddressIsThere(t *testing.T) {
	boxtest.Need(t, "curl")
	boxtest.Leftovers(t)
	w := New(t)
	p := newPerson(t, w, boxtest.BareUser)
	for _, address := range []string{"10.9.8.7:80", "169.254.169.254:80", "100.64.1.1:80", "192.168.7.7:8080", "8.8.8.8:80",
		"[fd00:ec2::254]:80", "127.0.0.1:80", "[::1]:80", NearIPv4 + ":80", "[" + NearIPv6 + "]:80"} {
		s := w.HTTP(address, http.HandlerFunc(hello))
		if n := s.Connections(); n != 0 {
			t.Errorf("%s: %d connections before the first", address, n)
		}
		if got := p.sh(t, "curl -sS http://"+address+"/"); got != "hello from "+strings.TrimSuffix(address, ":80")+"\n" || s.Connections() != 1 {
			t.Errorf("%s: %s", address, got)
		}
	}
	if got := p.sh(t, "curl -sS http://10.9.8.8/ 2>/dev/null"); got != "(code 7)" {
		t.Errorf("without a server: %s", got)
	}
}

// Connections counts those, too, that the server has not had time for.
func TestConnectionsAreCountedAtOnce(t *testing.T) {
	w := New(t)
	for _, address := range []string{"203.0.113.11:7", "[2001:db8:a::11]:7", "127.0.0.1:7", "[::1]:7"} {
		s := w.TCP(address, func(conn net.Conn) { conn.Write([]byte("x")) })
		for n := range 20 {
			err := w.near.do(func() error {
				conn, err := net.Dial("tcp", s.Addr.String())
				if err == nil {
					conn.Close()
				}
				return err
			})
			if got := s.Connections(); err != nil || got != n+1 {
				t.Fatalf("%s: %v, and %d of %d", address, err, got, n+1)
			}
		}
	}
}

func TestNamesAreWhatTheTestSays(t *testing.T) {
	boxtest.Need(t, "getent")
	w := New(t)
	w.Name("one.test", "203.0.113.10")
	w.Name("none.test")
	var many []string
	for n := range 100 {
		many = append(many, fmt.Sprintf("203.0.113.%d", 100+n))
	}
	w.Name("many.test", many...)
	w.Answers("alias.test", func(Query) Answer {
		return Answer{Aliases: []string{"second.test", "third.test"}, Addrs: w.Addrs("203.0.113.12")}
	})
	var times atomic.Uint32
	w.Answers("rebinding.test", func(Query) Answer {
		return Answer{Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(times.Add(1))})}}
	})
	w.Answers("refused.test", func(Query) Answer { return Answer{RCode: dnsmessage.RCodeRefused} })
	w.Answers("silent.test", func(Query) Answer { return Answer{Silent: true} })
	p := newPerson(t, w, boxtest.BareUser)
	for name, want := range map[string]string{
		"one.test":       "203.0.113.10",
		"ONE.test":       "203.0.113.10",
		"none.test":      "(code 2)",
		"unknown.test":   "(code 2)",
		"refused.test":   "(code 2)",
		"silent.test":    "(code 2)",
		"many.test":      strings.Join(many, " "),
		"alias.test":     "203.0.113.12",
		"rebinding.test": "10.0.0.1",
	} {
		got := p.sh(t, "found=$(getent ahostsv4 "+name+"); echo \"$found\" | sed -n 's/ .*STREAM.*//p' | sort -V")
		if got := strings.Join(strings.Fields(got), " "); got != want {
			t.Errorf("%s: %s, not %s", name, got, want)
		}
	}
	if got := p.sh(t, "getent ahostsv4 rebinding.test | head -n 1"); !strings.HasPrefix(got, "10.0.0.2 ") {
		t.Errorf("asked again: %s", got)
	}
	if diff := cmp.Diff([]Query{{"many.test", dnsmessage.TypeA, false}, {"many.test", dnsmessage.TypeA, true}}, w.Queries("many.test")[:2]); diff != "" {
		t.Error(diff)
	}
	if got := w.Queries("never.test"); got != nil {
		t.Errorf("%v", got)
	}
}

func TestTheMachineIsLeftAlone(t *testing.T) {
	boxtest.Leftovers(t)
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Fatal(err)
	}
	w := New(t)
	w.Hosts("hosts.test", "203.0.113.10")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = w.near.do(func() error {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			conn.Close()
		}
		return err
	})
	if err == nil {
		t.Error("a server of the machine is near")
	}
	if got, err := os.ReadFile("/etc/hosts"); err != nil || string(got) != string(hosts) {
		t.Errorf("the machine's hosts: %s %v", got, err)
	}
}
