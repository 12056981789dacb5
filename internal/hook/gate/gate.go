// Package gate answers the programs of a box that ask about the agent's tool calls, and notices those that the agent did
// not get an answer from.
//
// An agent takes a hook that died, was stopped or broke off for one that allows. So each program that connects is
// followed until it has ended: one that ends before it has asked, before it has passed the answer on, or with another
// exit code than it was told, is reported as broken, and what becomes of the box is the caller's to say. Only the binary
// that the box was given for this counts as a hook; any other program is turned away.
//
// A hook that is killed before it connects is missed where the caller says that one was started ([Gate.Expect]).
package gate

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of one question. The client in the box gives up after thirty seconds, and the agent later than that.
const (
	maxEvent   = 8 << 20
	maxAtOnce  = 64
	toAsk      = 10 * time.Second
	toDecide   = 20 * time.Second
	toPassOn   = 5 * time.Second
	toEnd      = 5 * time.Second
	codeRefuse = 2
)

// An Answer is what a hook says to the agent. The zero value would allow; only [Options.Answer] makes one.
type Answer struct {
	Code     int // exit code
	Out, Err []byte
}

// A Caller is the program that asks.
type Caller struct {
	PID  int // on the host
	root *os.File
}

// Options are what a gate does.
type Options struct {
	Answer func(ctx context.Context, event []byte, c Caller) Answer
	Broken func(c Caller, why string) // why says what a hook did instead of ending as it was told
}

// A Gate serves the socket of one box.
type Gate struct {
	options Options
	listen  net.Listener
	self    unix.Stat_t // the binary that counts as a hook
	ctx     context.Context
	cancel  context.CancelFunc
	room    chan struct{}
	serving sync.WaitGroup

	mu       sync.Mutex
	expected map[int]chan struct{} // closed when the process asks
}

// New starts to serve a listener, which it closes.
func New(l net.Listener, o Options) (*Gate, error) {
	g := &Gate{options: o, listen: l, room: make(chan struct{}, maxAtOnce), expected: map[int]chan struct{}{}}
	if err := unix.Stat("/proc/self/exe", &g.self); err != nil {
		l.Close()
		return nil, fmt.Errorf("the hook: %w", err)
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.serving.Go(g.accept)
	return g, nil
}

// Close ends every question without another word. It is for a box whose agent has ended.
func (g *Gate) Close() {
	if g == nil {
		return
	}
	g.cancel()
	g.listen.Close()
	g.serving.Wait()
}

func (g *Gate) accept() {
	for {
		c, err := g.listen.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || g.ctx.Err() != nil {
				return
			}
			time.Sleep(10 * time.Millisecond) // no descriptors, say; who waits is refused when its time is over
			continue
		}
		g.room <- struct{}{}
		g.serving.Go(func() {
			defer func() { <-g.room }()
			g.serve(c.(*net.UnixConn))
		})
	}
}

func (g *Gate) serve(c *net.UnixConn) {
	defer c.Close()
	defer context.AfterFunc(g.ctx, func() { c.Close() })()
	peer, err := g.peer(c)
	if errors.Is(err, errGone) {
		if g.ctx.Err() == nil {
			g.options.Broken(peer.Caller, err.Error())
		}
		return
	}
	if err != nil {
		_ = reply(c, Answer{Code: codeRefuse, Err: []byte("agentbox: only the hook of the box may ask here\n")})
		return
	}
	defer peer.close()
	g.met(peer.PID)
	if why := g.ask(c, peer); why != "" && g.ctx.Err() == nil {
		g.options.Broken(peer.Caller, why)
	}
}

// ask takes a question through to the end of who asks.
func (g *Gate) ask(c *net.UnixConn, peer *peer) (why string) {
	if err := c.SetDeadline(time.Now().Add(toAsk)); err != nil {
		return err.Error()
	}
	event, err := read(c)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "it was stopped before it had asked"
	case err != nil || peer.ended():
		return "it ended before it had asked"
	}
	ctx, cancel := context.WithTimeout(g.ctx, toDecide)
	defer cancel()
	a := g.options.Answer(ctx, event, peer.Caller)
	if err := c.SetDeadline(time.Now().Add(toPassOn)); err != nil {
		return err.Error()
	}
	if err := reply(c, a); err != nil {
		return "it ended before it had an answer"
	}
	var done [1]byte
	switch _, err := io.ReadFull(c, done[:]); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "it was stopped before it had passed the answer on"
	case err != nil:
		return "it ended before it had passed the answer on"
	}
	return peer.endsWith(a.Code)
}

// read takes an event, which comes after its length. One that is longer than any hook takes is cut, and refused for that.
func read(c net.Conn) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	event := make([]byte, min(binary.NativeEndian.Uint32(size[:]), maxEvent+1))
	_, err := io.ReadFull(c, event)
	return event, err
}

// reply writes struct answer of hook.c.
func reply(c net.Conn, a Answer) error {
	b := binary.NativeEndian.AppendUint32(nil, uint32(a.Code))
	b = binary.NativeEndian.AppendUint32(b, uint32(len(a.Out)))
	b = binary.NativeEndian.AppendUint32(b, uint32(len(a.Err)))
	b = append(append(b, a.Out...), a.Err...)
	_, err := c.Write(b)
	return err
}
