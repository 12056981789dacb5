package session

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const patience = 20 * time.Second

// serving starts a session that answers requests, below a path of the given length.
func serving(t *testing.T, pathLen int, handler func(Request) Reply) (string, *Session) {
	t.Helper()
	root := testRoot(t)
	for len(root) < pathLen {
		root = filepath.Join(root, strings.Repeat("d", 50))
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		t.Fatal(err)
	}
	s := mustCreate(t, root, Info{})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, handler) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error("Serve: ", err)
		}
	})
	return root, s
}

func TestControlSocketAnswers(t *testing.T) {
	for name, length := range map[string]int{"a short path": 0, "a path longer than a socket address": 300} {
		t.Run(name, func(t *testing.T) {
			var got Request
			root, s := serving(t, length, func(r Request) Reply { got = r; return Reply{OK: true, Info: &Info{ID: "x"}} })
			want := Request{Op: OpSignal, Signal: 15, Grace: time.Second}
			reply, err := Call(root, s.ID(), want, patience)
			if err != nil || !reply.OK || reply.Info.ID != "x" {
				t.Errorf("reply %+v, %v", reply, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("request (-sent +got):\n%s", diff)
			}
		})
	}
}

func TestReplyArrivesWhenTheServerStops(t *testing.T) {
	root := testRoot(t)
	s := mustCreate(t, root, Info{})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- s.Serve(ctx, func(Request) Reply { cancel(); return Reply{OK: true} })
	}()
	if reply, err := Call(root, s.ID(), Request{Op: OpInfo}, patience); err != nil || !reply.OK {
		t.Errorf("reply %+v, %v", reply, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestCallsThatCannotBeAnswered(t *testing.T) {
	root := testRoot(t)
	quiet := mustCreate(t, root, Info{})
	gone := mustCreate(t, root, Info{})
	gone.Close()
	os.Mkdir(filepath.Join(root, "0deadddddddd"), 0o700)
	info := Request{Op: OpInfo}
	for name, tc := range map[string]struct {
		id  string
		r   Request
		is  error
		err string
	}{
		"a session that is over":       {id: gone.ID(), r: info, is: ErrNotFound},
		"a dead supervisor":            {id: "0deadddddddd", r: info, is: ErrNotFound, err: "its supervisor has ended"},
		"a session that has no socket": {id: quiet.ID(), r: info, err: "not listening yet"},
		"a path instead of an ID":      {id: "../x", r: info, is: ErrNotFound, err: "not a session ID"},
		"a request out of range":       {id: quiet.ID(), r: Request{Op: OpSignal}, err: "no signal has the number 0"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Call(root, tc.id, tc.r, patience)
			if err == nil || (tc.is != nil && !errors.Is(err, tc.is)) || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("error %v", err)
			}
		})
	}
	os.Symlink("/dev/null", filepath.Join(quiet.Dir(), SocketFile))
	if _, err := Call(root, quiet.ID(), info, patience); err == nil || !strings.Contains(err.Error(), "not a socket of this user") {
		t.Errorf("a link instead of a socket: %v", err)
	}
}

func TestBadLinesAreRefused(t *testing.T) {
	_, s := serving(t, 0, func(r Request) Reply { return Reply{OK: true} })
	for name, tc := range map[string]struct{ send, want string }{
		"an unknown operation": {`{"op":"grant"}` + "\n", `"ok":false,"error":"request: unknown operation \"grant\""`},
		"an unknown field":     {`{"op":"info","as":"root"}` + "\n", `unknown field \"as\"`},
		"two values":           {`{"op":"info"}{}` + "\n", `more than one value`},
		"a signal too high":    {`{"op":"signal","signal":65}` + "\n", `no signal has the number 65`},
		"a line without end":   {strings.Repeat("x", maxRequest+1), `longer than 65536 bytes`},
		"good after bad":       {"{}\n" + `{"op":"info"}` + "\n", `"ok":false`},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.DialUnix("unix", nil, socketAddr(s.dir, SocketFile))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			c.Write([]byte(tc.send))
			in := bufio.NewReader(c)
			line, err := in.ReadString('\n')
			if err != nil || !strings.Contains(line, tc.want) {
				t.Errorf("reply %q, %v; want %q", line, err, tc.want)
			}
			if strings.Count(tc.send, "\n") == 2 {
				if line, _ := in.ReadString('\n'); !strings.Contains(line, `"ok":true`) {
					t.Errorf("second reply %q", line)
				}
			}
		})
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"op":"info"}`, `{"op":"signal","signal":9,"grace":1000}`,
		`{"op":"signal","signal":-1}`, `{"op":"info"} x`, `{"op":"signal","signal":9,"grace":1e99}`, `{"op":"freeze"}`, `{"op":"resume","signal":1}`, "\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := ParseRequest(line)
		if err != nil {
			return
		}
		if r.Op == OpInfo && !cmp.Equal(r, Request{Op: OpInfo}) {
			t.Errorf("info with arguments: %+v", r)
		}
		if r.Op == OpSignal && (r.Signal < 1 || r.Signal > 64 || r.Grace < 0 || r.Grace > maxGrace) {
			t.Errorf("out of range: %+v", r)
		}
		if !slices.Contains([]string{OpInfo, OpSignal, OpFreeze, OpResume, OpExec, OpRedact}, r.Op) {
			t.Errorf("unknown operation: %+v", r)
		}
	})
}
