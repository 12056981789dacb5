package session

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// attachable is a session whose clients the handler serves.
func attachable(t *testing.T, handler func(context.Context, *Conn, Greeting)) (root, id string, stop func()) {
	t.Helper()
	root = testRoot(t)
	s := mustCreate(t, root, Info{})
	if err := s.ListenAttach(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.ServeAttach(ctx, handler) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error("ServeAttach: ", err)
		}
		done <- nil
	}
	t.Cleanup(stop)
	return root, s.ID(), stop
}

// echo answers input with output until the client leaves.
func echo(_ context.Context, c *Conn, g Greeting) {
	_ = c.SendJSON(Welcome, Reception{Terminal: true, Input: g.Input, Allow: []string{"title"}})
	for {
		f, err := c.Receive()
		if err != nil || c.Send(Stdout, f.Data) != nil {
			return
		}
	}
}

func TestAttach(t *testing.T) {
	root, id, _ := attachable(t, echo)
	c, r, err := Attach(root, id, Greeting{Input: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if diff := cmp.Diff(Reception{Terminal: true, Input: true, Allow: []string{"title"}}, r); diff != "" {
		t.Errorf("reception (-want +got):\n%s", diff)
	}
	if err := c.SendSize(24, 80); err != nil {
		t.Fatal(err)
	}
	f, err := c.Receive()
	f.Kind = Resize
	if rows, columns, ok := f.Size(); err != nil || !ok || rows != 24 || columns != 80 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestAttachThatCannotBe(t *testing.T) {
	root, id, _ := attachable(t, func(_ context.Context, c *Conn, _ Greeting) { _ = c.Send(Refused, []byte("not now")) })
	quiet := mustCreate(t, root, Info{})
	for name, tc := range map[string]struct {
		id, err string
		is      error
	}{
		"refused":            {id, "not now", nil},
		"nobody listens":     {quiet.ID(), "not listening", nil},
		"no such session":    {"0zzzzzzzzzzz", "", ErrNotFound},
		"not a session's ID": {"../" + id, "", ErrNotFound},
	} {
		_, _, err := Attach(root, tc.id, Greeting{})
		if err == nil || !strings.Contains(err.Error(), tc.err) || tc.is != nil && !errors.Is(err, tc.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAttachmentsAreBounded(t *testing.T) {
	root, id, stop := attachable(t, echo)
	for n := range maxAttached {
		c, _, err := Attach(root, id, Greeting{})
		if err != nil {
			t.Fatalf("attachment %d: %v", n, err)
		}
		defer c.Close()
	}
	if _, _, err := Attach(root, id, Greeting{}); err == nil || !strings.Contains(err.Error(), "16 are attached already") {
		t.Errorf("one too many: %v", err)
	}
	// They all hang on to their connections, and the end does not wait for them.
	stop()
}

// The first frame must be a greeting: whoever else connects gets a refusal and nothing more.
func TestAttachNeedsAGreeting(t *testing.T) {
	root, id, _ := attachable(t, echo)
	d, err := openDir(root + "/" + id)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	for _, first := range []Frame{{Input, []byte("x")}, {Hello, []byte("{")}} {
		raw, err := dial(d, AttachFile, patience)
		if err != nil {
			t.Fatal(err)
		}
		c := newConn(raw)
		defer c.Close()
		if err := c.Send(first.Kind, first.Data); err != nil {
			t.Fatal(err)
		}
		if f, err := c.Receive(); err != nil || f.Kind != Refused {
			t.Errorf("%c: %+v, %v", first.Kind, f, err)
		}
	}
}
