package gate

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"agentbox/internal/pidfd"
)

// asHook makes this program a hook that behaves as its value says.
const asHook = "AGENTBOX_TEST_AS_HOOK"

func TestMain(m *testing.M) {
	if how := os.Getenv(asHook); how != "" {
		os.Exit(askAs(how, os.Args[1]))
	}
	os.Exit(m.Run())
}

// askAs asks as the client in the box does (hook.c), up to where it is to go wrong.
func askAs(how, socket string) int {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return 99
	}
	if how == "says nothing" {
		return 0
	}
	event := []byte("event")
	if _, err := c.Write(append(binary.NativeEndian.AppendUint32(nil, uint32(len(event))), event...)); err != nil {
		return 99
	}
	var head [12]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return 99
	}
	if how == "is killed with the answer" {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	code := int(binary.NativeEndian.Uint32(head[:]))
	_, _ = io.CopyN(io.Discard, c, int64(binary.NativeEndian.Uint32(head[4:])+binary.NativeEndian.Uint32(head[8:])))
	_, _ = c.Write([]byte{1})
	switch how {
	case "ends otherwise":
		return 0
	case "is killed at its end":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	return code
}

func TestHooksThatDoNotEndAsTheyAreTold(t *testing.T) {
	for how, want := range map[string]string{
		"does as it is told":        "",
		"says nothing":              "it ended before it had asked",
		"is killed with the answer": "it ended before it had passed the answer on",
		"ends otherwise":            "it ended with exit code 0 in place of 2",
		"is killed at its end":      "it was ended by signal 9 when it had passed the answer on",
	} {
		t.Run(how, func(t *testing.T) {
			if !pidfd.Told() && (strings.HasPrefix(how, "ends") || strings.HasSuffix(how, "end")) {
				want = ""
			}
			broken := make(chan string, 1)
			asked := make(chan string, 1)
			g, socket := serving(t, Options{
				Answer: func(_ context.Context, event []byte, _ Caller) Answer {
					asked <- string(event)
					return Answer{Code: 2, Err: []byte("no")}
				},
				Broken: func(_ Caller, why string) { broken <- why },
			})
			cmd := exec.Command("/proc/self/exe", socket)
			cmd.Env = append(os.Environ(), asHook+"="+how)
			_ = cmd.Run()
			if want != "" {
				if why := <-broken; why != want {
					t.Errorf("it is broken because %q, want %q", why, want)
				}
			}
			if how != "says nothing" {
				if event := <-asked; event != "event" {
					t.Errorf("%q was asked", event)
				}
			}
			for len(g.room) > 0 {
				runtime.Gosched() // until every question is over
			}
			if len(broken) > 0 {
				t.Error(<-broken)
			}
		})
	}
}

// Another program than the hook is turned away, and is no broken hook.
func TestStrangers(t *testing.T) {
	broken := make(chan string, 1)
	_, socket := serving(t, Options{Answer: func(context.Context, []byte, Caller) Answer { return Answer{} }, Broken: func(_ Caller, why string) { broken <- why }})
	python := exec.Command("python3", "-c", "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.recv(4)[0])", socket)
	if out, err := python.Output(); err != nil || strings.TrimSpace(string(out)) != strconv.Itoa(codeRefuse) {
		t.Errorf("%q, %v", out, err)
	}
	if len(broken) > 0 {
		t.Error(<-broken)
	}
}

// serving makes a gate that ends with the test.
func serving(t *testing.T, o Options) (*Gate, string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "hook")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(l, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g, socket
}
