package session

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"
)

const (
	maxAttached = 16
	// lastWords is how long those who are attached have to take what is left when the session is over.
	lastWords = 2 * time.Second
)

// A Greeting is what a client that attaches asks for.
type Greeting struct {
	Replay int64 `json:"replay"` // bytes of earlier output, roughly; negative: all that is kept
	Input  bool  `json:"input"`  // it will send input
}

// A Reception is what the supervisor answers.
type Reception struct {
	Terminal bool     `json:"terminal"`        // the agent has one: Stdout is what it shows
	Input    bool     `json:"input"`           // the agent's input can be written
	Allow    []string `json:"allow,omitempty"` // control sequences that the profile lets through
}

// A Conn is one end of an attach socket. Send may be called from several goroutines.
type Conn struct {
	conn *net.UnixConn
	in   *bufio.Reader
	mu   sync.Mutex
}

func newConn(c *net.UnixConn) *Conn { return &Conn{conn: c, in: bufio.NewReaderSize(c, 64<<10)} }

// Send sends one frame.
func (c *Conn) Send(kind Kind, data []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := Frame{kind, data}
	_, err := c.conn.Write(f.appendTo(make([]byte, 0, headerSize+len(data))))
	return err
}

// SendJSON sends one frame that holds a value as JSON.
func (c *Conn) SendJSON(kind Kind, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return c.Send(kind, data)
}

// SendSize tells the size of a window.
func (c *Conn) SendSize(rows, columns uint16) error {
	return c.Send(Resize, binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, rows), columns))
}

// Size reads what SendSize wrote.
func (f Frame) Size() (rows, columns uint16, ok bool) {
	if f.Kind != Resize || len(f.Data) != 4 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(f.Data), binary.BigEndian.Uint16(f.Data[2:]), true
}

// Receive waits for the next frame.
func (c *Conn) Receive() (Frame, error) { return readFrame(c.in) }

// Close ends the connection.
func (c *Conn) Close() error { return c.conn.Close() }

// ListenAttach makes the socket at which clients join a session's input and output. Like the control socket it lies
// in the session's directory, which no box shows, and only root and the session's user get an answer.
func (s *Session) ListenAttach() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock < 0 {
		return fmt.Errorf("session %s is closed", s.id)
	}
	l, err := listen(s.dir, AttachFile)
	if err != nil {
		return fmt.Errorf("session %s: attach socket: %w", s.id, err)
	}
	s.attach = l
	return nil
}

// ServeAttach greets the clients of the socket that ListenAttach made, until ctx ends or the session is closed, and
// gives each to the handler, which closes it. It returns when all handlers have; once ctx has ended they have a moment
// for their last words.
func (s *Session) ServeAttach(ctx context.Context, handler func(context.Context, *Conn, Greeting)) error {
	s.mu.Lock()
	l := s.attach
	s.mu.Unlock()
	if l == nil {
		return fmt.Errorf("session %s: nobody listens at its attach socket", s.id)
	}
	a := attachments{handler: handler, conns: map[*net.UnixConn]bool{}}
	stop := context.AfterFunc(ctx, func() {
		l.Close()
		a.hurry()
	})
	defer stop()
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			a.running.Wait()
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("session %s: attach socket: %w", s.id, err)
		}
		a.accept(ctx, c)
	}
}

type attachments struct {
	handler func(context.Context, *Conn, Greeting)
	running sync.WaitGroup

	mu      sync.Mutex
	conns   map[*net.UnixConn]bool
	hurried bool
}

func (a *attachments) hurry() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hurried = true
	for c := range a.conns {
		c.SetDeadline(time.Now().Add(lastWords))
	}
}

func (a *attachments) accept(ctx context.Context, c *net.UnixConn) {
	a.mu.Lock()
	full := len(a.conns) >= maxAttached
	if !full {
		a.conns[c] = true
	}
	a.mu.Unlock()
	a.running.Go(func() {
		defer c.Close()
		c.SetDeadline(time.Now().Add(ioTimeout))
		if full {
			_ = newConn(c).Send(Refused, fmt.Appendf(nil, "%d are attached already", maxAttached))
			return
		}
		a.serve(ctx, c)
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.conns, c)
	})
}

func (a *attachments) serve(ctx context.Context, c *net.UnixConn) {
	conn := newConn(c)
	if err := checkPeer(c); err != nil {
		_ = conn.Send(Refused, []byte(err.Error()))
		return
	}
	f, err := conn.Receive()
	var g Greeting
	if err == nil && (f.Kind != Hello || json.Unmarshal(f.Data, &g) != nil) {
		err = errors.New("the first frame must be a greeting")
	}
	if err != nil {
		_ = conn.Send(Refused, []byte(err.Error()))
		return
	}
	a.mu.Lock()
	if !a.hurried {
		c.SetDeadline(time.Time{})
	}
	a.mu.Unlock()
	a.handler(ctx, conn, g)
}

// Attach joins a live session's output and, where it takes any, its input.
func Attach(root, id string, g Greeting) (*Conn, Reception, error) {
	var r Reception
	if !ValidID(id) {
		return nil, r, fmt.Errorf("%w: %q is not a session ID", ErrNotFound, id)
	}
	d, err := openDir(filepath.Join(root, id))
	if err != nil {
		return nil, r, fmt.Errorf("session %s: %w", id, missing(err))
	}
	defer d.close()
	c, err := dial(d, AttachFile, ioTimeout)
	if err != nil {
		return nil, r, fmt.Errorf("session %s: %w", id, err)
	}
	conn := newConn(c)
	if r, err = conn.introduce(g); err != nil {
		conn.Close()
		return nil, r, fmt.Errorf("session %s: %w", id, err)
	}
	return conn, r, nil
}

func (c *Conn) introduce(g Greeting) (Reception, error) {
	var r Reception
	c.conn.SetDeadline(time.Now().Add(ioTimeout))
	defer c.conn.SetDeadline(time.Time{})
	sent := c.SendJSON(Hello, g)
	// Who is refused unheard may find the connection closed when it sends; the refusal is there to read all the same.
	f, err := c.Receive()
	switch {
	case err != nil && sent != nil:
		return r, sent
	case err != nil:
		return r, fmt.Errorf("no reply: %w", err)
	case f.Kind == Refused:
		return r, errors.New(string(f.Data))
	case f.Kind != Welcome:
		return r, errors.New("it answered what was not expected")
	}
	if err := json.Unmarshal(f.Data, &r); err != nil {
		return r, fmt.Errorf("reply: %w", err)
	}
	return r, nil
}
