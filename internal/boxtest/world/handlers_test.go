package world

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentbox/internal/boxtest"
)

// Each server is one that real clients accept.
func TestServersOfPrograms(t *testing.T) {
	w := New(t)
	names := []string{"api.test", "npm.test", "pypi.test", "git.test", "private.test", "echo.test", "openai.test"}
	for _, name := range names {
		w.Name(name, "203.0.113.10")
	}
	mux := http.NewServeMux()
	mux.Handle("npm.test/", NPM())
	mux.Handle("pypi.test/", PyPI())
	mux.Handle("git.test/", Git(t))
	mux.Handle("private.test/", Behind("Basic bWU6c2VjcmV0", Git(t))) // me:secret
	mux.Handle("echo.test/", WebSocket())
	mux.Handle("openai.test/", NewResponses(Shell("echo hi"), Turn{Text: "done"}))
	mux.Handle("api.test/", NewMessages(Bash("echo hi"), Turn{Text: "done"}))
	w.HTTPS("203.0.113.10:443", names, mux)
	p := newPerson(t, w, boxtest.User)
	p.WriteFile(t, p.dir+"/ws.py", WebSocketClient, 0o644)
	for name, tc := range map[string]struct {
		needs        []boxtest.Feature
		script, want string
	}{
		"npm installs a package": {[]boxtest.Feature{boxtest.Npm, boxtest.Node},
			`mkdir npm; cd npm; npm install --fetch-retries=0 --silent --no-audit --no-fund --registry=https://npm.test/ greeter; node_modules/.bin/greet`, "hello from npm\n"},
		"pip installs a wheel": {[]boxtest.Feature{boxtest.Python, "pip3"},
			`/usr/bin/python3 -m pip install -q --no-cache-dir --disable-pip-version-check --index-url https://pypi.test/simple/ --target pip greeter
			PYTHONPATH=pip /usr/bin/python3 -c 'import greeter; print(greeter.greet())'`, "hello from pip\n"},
		"git clones and pushes": {[]boxtest.Feature{boxtest.Git},
			`git clone -q https://git.test/project.git clone; cd clone; cat file; echo more >>file
			git -c user.name=a -c user.email=a@example.org commit -qam more; git push -q origin HEAD:topic; git ls-remote --heads origin | wc -l`, "hello from git\n2\n"},
		"a WebSocket echoes": {[]boxtest.Feature{boxtest.Python},
			`/usr/bin/python3 ws.py wss://echo.test/x one "$(head -c 300 /dev/zero | tr '\0' y)" | cut -c 1-5`, "one\nyyyyy\nclose\n"},
		"the model wants a tool": {[]boxtest.Feature{"curl"},
			`curl -sSI https://api.test/ | head -c 10; echo; curl -sS -d '{"stream": true, "tools": [{}], "messages": [{"content": "go"}]}' https://api.test/v1/messages?beta=true |
			grep -o '^event: .*\|"partial_json":.*"command[^,]*\|"stop_reason":"[a-z_]*"'`,
			"HTTP/2 200\nevent: message_start\nevent: content_block_start\nevent: content_block_delta\n" +
				`"partial_json":"{\"command\":\"echo hi\"` + "\nevent: content_block_stop\nevent: message_delta\n\"stop_reason\":\"tool_use\"\nevent: message_stop\n"},
		"and answers after its result": {[]boxtest.Feature{"curl"},
			`curl -sS -d '{"tools": [{}], "messages": [{"content": "go"}, {"content": [{"type": "tool_result", "content": [{"text": "hi"}]}]}]}' https://api.test/v1/messages |
			grep -o '"text":"[a-z]*"'; curl -sS -o /dev/null -w '%{http_code}\n' https://api.test/api/x`, "\"text\":\"done\"\n404\n"},
		"git clones and pushes with a password": {[]boxtest.Feature{boxtest.Git},
			`git clone -q https://me:secret@private.test/project.git private; cd private; git push -q origin HEAD:other; git ls-remote --heads origin | wc -l
			GIT_TERMINAL_PROMPT=0 git clone -q https://private.test/project.git none 2>/dev/null || echo no; git clone -q https://me:guess@private.test/project.git none 2>/dev/null || echo no`, "2\nno\nno\n"},
		"the model of OpenAI wants a tool": {[]boxtest.Feature{"curl"},
			`curl -sS -d '{"model": "m", "stream": true, "tools": [{}], "input": "go"}' https://openai.test/v1/responses | grep -o '^event: .*\|"arguments":"[^,]*\|"total_tokens":[0-9]*'`,
			"event: response.created\nevent: response.output_item.added\n" + `"arguments":"{\"cmd\":\"echo hi\"}"` + "\nevent: response.function_call_arguments.delta\nevent: response.output_item.done\n" +
				`"arguments":"{\"cmd\":\"echo hi\"}"` + "\nevent: response.completed\n" + `"arguments":"{\"cmd\":\"echo hi\"}"` + "\n\"total_tokens\":15\n"},
		"and answers after the tool's result": {[]boxtest.Feature{"curl"},
			`curl -sS -d '{"tools": [{}], "input": [{"type": "function_call_output", "call_id": "x", "output": "hi"}]}' https://openai.test/v1/responses | grep -o '"text":"[a-z]*"'
			curl -sS -o /dev/null -w '%{http_code}\n' https://openai.test/v1/embeddings`, "\"text\":\"done\"\n404\n"},
		"in a chat too": {[]boxtest.Feature{"curl"},
			`curl -sS -d '{"tools": [{}], "messages": [{"role": "user", "content": "go"}]}' https://openai.test/v1/chat/completions | grep -o '"name":"[a-z_]*"\|"finish_reason":"[a-z_]*"\|"total_tokens":[0-9]*'
			curl -sS -d '{"stream": true, "stream_options": {"include_usage": true}, "tools": [{}], "messages": [{"role": "tool", "content": "hi"}]}' https://openai.test/v1/chat/completions | grep -o '"content":"[a-z]*"\|"finish_reason":"[a-z_]*"\|"total_tokens":[0-9]*\|DONE'
			curl -sS -d '{"stream": true, "messages": []}' https://openai.test/v1/chat/completions | grep -c usage`,
			"\"finish_reason\":\"tool_calls\"\n\"name\":\"exec_command\"\n\"total_tokens\":15\n\"content\":\"done\"\n\"finish_reason\":\"stop\"\n\"total_tokens\":15\nDONE\n0\n(code 1)"},
	} {
		t.Run(name, func(t *testing.T) {
			boxtest.Need(t, tc.needs...)
			if diff := cmp.Diff(tc.want, p.sh(t, tc.script)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Each event arrives before the next one is sent.
func TestEventsComeOneByOne(t *testing.T) {
	boxtest.Need(t, "curl")
	w := New(t)
	texts := make(chan string)
	s := w.HTTP("203.0.113.10:80", Events(texts))
	p := newPerson(t, w, boxtest.BareUser)
	cmd := p.Command(t, p.dir, "curl", "-sSN", "http://"+s.Addr.String()+"/")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for _, text := range []string{"one", "two", "three"} {
		texts <- text
		got, err := lines.ReadString('\n')
		if _, err2 := lines.ReadString('\n'); err != nil || err2 != nil || got != "data: "+text+"\n" {
			t.Errorf("%q %v %v", got, err, err2)
		}
	}
	close(texts)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestServersOfBytes(t *testing.T) {
	boxtest.Need(t, "openssl", "bash")
	w := New(t)
	upper := func(conn io.ReadWriter) {
		line, _ := bufio.NewReader(conn).ReadString('\n')
		io.WriteString(conn, strings.ToUpper(line))
	}
	plain := w.TCP("203.0.113.10:7777", func(conn net.Conn) { upper(conn) })
	inner := w.TLS("203.0.113.10:8443", []string{"raw.test"}, func(conn *tls.Conn) { upper(conn) })
	p := newPerson(t, w, boxtest.BareUser)
	if got := p.sh(t, `bash -c 'exec 3<>/dev/tcp/203.0.113.10/7777; echo plain >&3; cat <&3'`); got != "PLAIN\n" || plain.Connections() != 1 {
		t.Errorf("%s", got)
	}
	got := p.sh(t, `echo inner | openssl s_client -quiet -verify_return_error -CAfile ca.pem -servername raw.test -connect 203.0.113.10:8443 2>/dev/null`)
	if got != "INNER\n" || inner.Connections() != 1 || !cmp.Equal(inner.Hellos(), []string{"raw.test"}) {
		t.Errorf("%s %v", got, inner.Hellos())
	}
}

func TestProxyOfACompany(t *testing.T) {
	boxtest.Need(t, "curl")
	w := New(t)
	w.Name("api.test", "203.0.113.10")
	api := w.HTTPS("203.0.113.10:443", []string{"api.test"}, http.HandlerFunc(hello))
	proxy := w.HTTP("203.0.113.99:3128", w.Proxy("me", "secret"))
	p := newPerson(t, w, boxtest.BareUser)
	got := p.sh(t, `curl -sS -x http://me:secret@203.0.113.99:3128 https://api.test/; curl -s -o /dev/null -w '%{http_connect}\n' -x http://me:guess@203.0.113.99:3128 https://api.test/`)
	if got != "hello from api.test\n407\n(code 56)" || len(w.Queries()) != 0 {
		t.Errorf("%s %v", got, w.Queries())
	}
	if peers := api.Peers(); len(peers) != 1 || peers[0].Addr().String() == NearIPv4 || proxy.Requests()[0].URI != "api.test:443" {
		t.Errorf("%v %v", peers, proxy.Requests())
	}
}
