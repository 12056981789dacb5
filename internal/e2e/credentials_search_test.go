package e2e

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"agentbox/internal/boxtest"
	internet "agentbox/internal/boxtest/world"
)

// canary is what a server says besides, so that who finds nothing is known to have looked.
const canary = "the-canary-of-the-echo"

// forms are those in which a text may be written down.
func forms(text string) []string {
	digits := hex.EncodeToString([]byte(text))
	out := []string{text, url.QueryEscape(text), url.PathEscape(text), digits, strings.ToUpper(digits)}
	for shift := range 3 { // what neighbours share is cut off
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + text))
		inner := strings.TrimRight(encoded, "=")[4:]
		inner = inner[:len(inner)-4]
		out = append(out, inner, strings.NewReplacer("+", "-", "/", "_").Replace(inner))
	}
	return out
}

// echo sends the key back, in many a form, in the head, the body and the trailers.
func echo(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("X-Api-Key")
	w.Header().Set("Trailer", "X-Trailing")
	w.Header().Set("X-Echo", key)
	w.Header().Set("X-Encoded", base64.StdEncoding.EncodeToString([]byte(key)))
	if r.URL.Path == "/fail" {
		w.WriteHeader(http.StatusInternalServerError)
	}
	_ = http.NewResponseController(w).Flush() // trailers come after chunks
	fmt.Fprintln(w, canary)
	for _, before := range []string{"", "x", "xx"} {
		text := []byte(before + key + " and more")
		fmt.Fprintf(w, "%s\n%s\n%x\n%X\n%s\n%s\n", base64.StdEncoding.EncodeToString(text), base64.RawURLEncoding.EncodeToString(text), text, text,
			url.QueryEscape(string(text)), url.PathEscape(string(text)))
	}
	w.Header().Set("X-Trailing", key)
	if r.URL.Path == "/break" {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// haul is the agent's program that looks for secrets: it asks servers, keeps what they say, and writes into a file of the
// project all that it can read of variables, files, processes and their memory.
const haul = `
import os, stat, sys, urllib.request
kept = []
for url in sys.argv[1:]:
    try:
        r = urllib.request.urlopen(urllib.request.Request(url, headers={"x-api-key": os.environ["API_KEY"]}), timeout=10)
    except urllib.request.HTTPError as e:
        r = e
    except OSError as e:
        kept.append(str(e))
        continue
    try:
        kept.append((str(r.headers), r.read()))
    except Exception as e:
        kept.append(str(e))
out = open("haul", "wb")
def take(path, data):
    out.write(b"\n== " + path.encode("utf-8", "replace") + b"\n" + data)
def read(path):
    try:
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb") as f:
                take(path, f.read(8 << 20))
    except OSError:
        pass
def memory(pid):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps.read().splitlines():
            span, mode = line.split()[:2]
            first, last = (int(n, 16) for n in span.split("-"))
            if mode.startswith("r") and (mode[1] == "w" or first > 1 << 63):
                try:
                    mem.seek(first); take(f"memory of {pid}: {line}", mem.read(last - first))
                except (OSError, OverflowError, ValueError):
                    pass
take("variables", repr(os.environ).encode())
for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in "environ", "cmdline", "maps", "status", "mountinfo":
        read(f"/proc/{pid}/{name}")
    try:
        memory(pid)
    except OSError:
        pass
for top in "/etc", "/run", "/tmp", "/home", "/root", "/var/tmp", "/dev/shm", os.environ["HOME"]:
    for folder, _, names in os.walk(top):
        for name in names:
            if not folder.startswith(os.getcwd()):
                read(os.path.join(folder, name))
for name in os.listdir("/"):
    read("/" + name)
print("hauled", len(kept), flush=True)
`

// finds reports where a secret is.
func finds(t *testing.T, where string, data []byte, secrets []string) {
	t.Helper()
	for _, secret := range secrets {
		for _, form := range forms(secret) {
			if i := bytes.Index(data, []byte(form)); i >= 0 {
				t.Errorf("%s: the secret, as %q, in %q", where, form, data[max(0, i-100):min(len(data), i+len(form)+20)])
			}
		}
	}
}

// memoryOf reads what a process may write.
func memoryOf(t *testing.T, pid int) []byte {
	t.Helper()
	maps, err1 := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	mem, err2 := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	defer mem.Close()
	var all []byte
	for line := range strings.Lines(string(maps)) {
		var first, last int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &first, &last, &mode); err != nil || !strings.HasPrefix(mode, "rw") {
			continue
		}
		part := make([]byte, last-first)
		n, _ := mem.ReadAt(part, first)
		all = append(all, part[:n]...)
	}
	return all
}

// below are the processes that a process has started, and those that they have.
func below(t *testing.T, pid int) (out []int) {
	t.Helper()
	children := map[int][]int{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		stat, err2 := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil || err2 != nil {
			continue
		}
		parent, _ := strconv.Atoi(strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))[1])
		children[parent] = append(children[parent], id)
	}
	for next := children[pid]; len(next) > 0; next = next[1:] {
		out = append(out, next[0])
		next = append(next, children[next[0]]...)
	}
	return out
}

// The secret is looked for inside, by a program that has seen servers send it back, and in all that agentbox writes; it is
// in the supervisor's memory, and nowhere else.
func TestTheSecretIsNowhereInside(t *testing.T) {
	boxtest.Need(t, "curl", boxtest.Python)
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			net := internet.New(t)
			net.Name("api.test", "203.0.113.10")
			net.Name("dead.test", "203.0.113.98") // where nobody listens
			net.HTTPS("203.0.113.10:443", []string{"api.test"}, http.HandlerFunc(echo))
			secrets := []string{newSecret(), newSecret()}
			w := withKey(t, find, net, secrets[0], "", "")
			file := filepath.Join(w.RuntimeDir, "key")
			w.WriteFile(t, file, secrets[1], 0o600)
			w.WriteFile(t, filepath.Join(w.dir, "haul.py"), haul, 0o644)
			w.keys(t, net, `network.allow = ["api.test", "dead.test"]`, credential("key", "env:REAL_KEY", "api.test", asHeader)+
				fmt.Sprintf("[[credential]]\nname = \"dead\"\nsource = \"file:%s\"\nhosts = [\"dead.test\", \"api.test\"]\nas = \"bearer\"\n", file))
			const asks = `curl -sSD- https://api.test/echo; curl -sSD- --http1.1 https://api.test/fail; curl -vsS https://api.test/break; curl -isS https://dead.test/; `
			r := w.sh(t, asks)
			if strings.Count(r.out, canary) != 3 || !strings.Contains(r.out, "502") || strings.Count(strings.ToLower(r.out), "x-trailing: ****") != 2 {
				t.Errorf("%+v", r)
			}
			finds(t, "what it writes", []byte(r.out+r.err), secrets)

			b := w.start(t, `echo ready; sh -c '`+asks+`' >/dev/null 2>&1; python3 haul.py https://api.test/echo https://api.test/fail https://api.test/break https://dead.test/; cat`, "--result", filepath.Join(w.RuntimeDir, "result"))
			if line := b.line(t); line != "hauled 4" {
				t.Fatal(line)
			}
			got, err := os.ReadFile(filepath.Join(w.dir, "haul"))
			if err != nil {
				t.Fatal(err)
			}
			finds(t, "inside", got, secrets)
			for _, want := range []string{canary, "API_KEY", "agentbox", "== /etc/hosts", "== /proc/1/cmdline", "== memory of", "== /etc/agentbox/ca.pem"} {
				if !bytes.Contains(got, []byte(want)) {
					t.Errorf("the program did not find %s", want)
				}
			}
			if bytes.Contains(got, []byte("== /proc/1/environ")) || bytes.Contains(got, []byte("== memory of 1:")) {
				t.Error("the program could read the first process")
			}
			w.searchOutside(t, b.cmd.Process.Pid, secrets)
			b.end()
			for _, dir := range []string{filepath.Join(w.Home, ".local/state/agentbox"), filepath.Join(w.Home, ".cache/agentbox"), w.dir, filepath.Join(w.RuntimeDir, "result")} {
				searchTree(t, dir, secrets)
			}
		})
	}
}

// odd sends the key back where few look: in the head of what comes before a response or becomes another protocol, in a
// header's name, in the words after a status, and in what follows.
func odd(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("X-Api-Key")
	if r.Header.Get("Upgrade") == "" {
		w.Header().Set("Link", "<"+key+">")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("X-"+key, canary)
		fmt.Fprintln(w, canary)
		return
	}
	conn, both, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(both, "HTTP/1.1 101 %[1]s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Echo: %[1]s\r\nX-%[1]s: x\r\n\r\n%[2]s %[1]s end", key, canary)
	both.Flush()
}

// upgrade asks for another protocol and prints the whole of what comes.
const upgrade = `
import socket, ssl, sys
s = ssl.create_default_context().wrap_socket(socket.create_connection((sys.argv[1], 443)), server_hostname=sys.argv[1])
s.sendall(f"GET / HTTP/1.1\r\nHost: {sys.argv[1]}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
while data := s.recv(4096):
    print(data.decode(), end="")
`

func TestSecretsAreCutInOddPlaces(t *testing.T) {
	boxtest.Need(t, "curl", boxtest.Python)
	net := internet.New(t)
	net.Name("api.test", "203.0.113.10")
	net.HTTPS("203.0.113.10:443", []string{"api.test"}, http.HandlerFunc(odd))
	secrets := []string{"Sk-" + strings.ToLower(rand.Text())} // which a header's name can be, and keeps as it is
	w := withKey(t, mappedUser, net, secrets[0], `network.allow = ["api.test"]`, credential("key", "env:REAL_KEY", "api.test", asHeader))
	w.WriteFile(t, filepath.Join(w.dir, "upgrade.py"), upgrade, 0o644)
	r := w.sh(t, direct+`curl -isS --http1.1 https://api.test/; curl -isS --http2 https://api.test/; python3 upgrade.py api.test`)
	if strings.Count(r.out, " 103 ") != 2 || strings.Count(r.out, canary) < 3 || !strings.Contains(r.out, "HTTP/1.1 101 ") || !strings.Contains(r.out, canary+" ***") {
		t.Errorf("%+v", r)
	}
	finds(t, "what comes back", []byte(strings.ToLower(r.out)), []string{strings.ToLower(secrets[0])})
}

// broken answers with what is no HTTP, with the key in it where a client would name what is wrong.
func broken(conn *tls.Conn) {
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	answers := map[string]string{
		"/status": "%s\r\n", "/line": "HTTP/1.1 200 OK\r\nwrong %s\r\n", "/version": "HTTP/1.%s 200 OK\r\n", "/code": "HTTP/1.1 %s OK\r\n",
		"/length": "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n", "/coding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n",
		"/upgrade": "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: %s\r\n",
	}
	fmt.Fprintf(conn, answers[r.URL.Path]+"\r\n", r.Header.Get("X-Api-Key"))
}

// The page that says that a server could not be understood does not say what it answered.
func TestErrorPagesHoldNoSecret(t *testing.T) {
	boxtest.Need(t, "curl")
	net := internet.New(t)
	net.Name("api.test", "203.0.113.10")
	net.TLS("203.0.113.10:443", []string{"api.test"}, broken)
	secrets := []string{newSecret(), `with"quotes\and` + rand.Text()} // which an error would write in another way
	for i, secret := range secrets {
		w := withKey(t, mappedUser, net, secret, `network.allow = ["api.test"]`, credential("key", "env:REAL_KEY", "api.test", asHeader))
		r := w.sh(t, `for p in status line version code length coding upgrade; do curl -sSi --http1.1 -H "Connection: Upgrade" -H "Upgrade: websocket" https://api.test/$p; done`)
		if n := strings.Count(r.out, "502 Bad Gateway"); n != 7 {
			t.Errorf("%d pages: %+v", n, r)
		}
		quoted := strings.Trim(strconv.Quote(secret), `"`)
		finds(t, "the page", []byte(r.out+r.err), []string{secret, quoted})
		finds(t, "the log", []byte(finish(t, w.agentbox(t, "log", "--json")).out), []string{secrets[i], quoted})
	}
}

// A session in the background, and a command that enters it, have no secret either.
func TestTheSecretOfADetachedBox(t *testing.T) {
	boxtest.Need(t, "curl")
	net := internet.New(t)
	net.Name("api.test", "203.0.113.10")
	net.HTTPS("203.0.113.10:443", []string{"api.test"}, http.HandlerFunc(echo))
	secrets := []string{newSecret()}
	w := withKey(t, mappedUser, net, secrets[0], `network.allow = ["api.test"]`, credential("key", "env:REAL_KEY", "api.test", asHeader))
	w.WriteFile(t, filepath.Join(w.dir, "go"), "", 0o666)
	id := w.detach(t, `curl -isS https://api.test/echo; echo ready`+waitingFor("go"))
	logs := func() string { return finish(t, w.agentbox(t, "logs", id)).out }
	until(t, "it is ready", func() bool { return strings.Contains(logs(), "ready") })
	entered := finish(t, w.agentbox(t, "exec", id, "--", "sh", "-c", "env; curl -isS https://api.test/echo"))
	if !strings.Contains(entered.out, "API_KEY=agentbox") || !strings.Contains(entered.out, canary) || !strings.Contains(logs(), canary) {
		t.Errorf("%+v", entered)
	}
	finds(t, "exec", []byte(entered.out+entered.err), secrets)
	finds(t, "logs", []byte(logs()), secrets)
	w.searchOutside(t, w.ps(t)[id].PID, secrets)
	w.exists("go")
	w.ended(t, id)
	searchTree(t, filepath.Join(w.Home, ".local/state/agentbox"), secrets)
}

// searchOutside looks at what there is outside of a box that runs.
func (w *world) searchOutside(t *testing.T, supervisor int, secrets []string) {
	t.Helper()
	memory := memoryOf(t, supervisor)
	for i, secret := range secrets {
		if !bytes.Contains(memory, []byte(secret)) {
			t.Errorf("the supervisor does not have number %d, or this does not find it", i)
		}
	}
	if r := finish(t, w.Command(t, "/", "cat", fmt.Sprintf("/proc/%d/environ", supervisor))); w.UID != 0 && r.code == 0 {
		t.Error("another program of the person's can look into the supervisor")
	}
	processes := below(t, supervisor)
	if len(processes) < 2 {
		t.Errorf("of the box there are %v", processes)
	}
	for _, pid := range processes {
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			t.Error(err)
		}
		finds(t, fmt.Sprint("environment of ", pid), environ, secrets)
		finds(t, fmt.Sprint("memory of ", pid), memoryOf(t, pid), secrets)
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lines {
		if line, err := os.ReadFile(path); err == nil {
			finds(t, path, line, secrets)
		}
	}
	for _, args := range [][]string{{"ps", "--json"}, {"explain", "--json"}, {"log", "--json"}, {"cost", "--json"}, {"check"}, {"why", "https://api.test/"}} {
		r := finish(t, w.agentbox(t, args...))
		if len(r.out+r.err) < 20 {
			t.Errorf("agentbox %v: %+v", args, r)
		}
		finds(t, "agentbox "+args[0], []byte(r.out+r.err), secrets)
	}
	searchTree(t, filepath.Join(w.Home, ".local/state/agentbox"), secrets)
	searchTree(t, filepath.Join(w.RuntimeDir, "agentbox"), secrets)
}

// searchTree looks at every file below a directory, and at their names.
func searchTree(t *testing.T, dir string, secrets []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		finds(t, "name", []byte(path), secrets)
		if !e.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		finds(t, path, data, secrets)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Error(err)
	}
}
