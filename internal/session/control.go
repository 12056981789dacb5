package session

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// What a control socket can be asked.
const (
	OpSignal = "signal" // send Signal to the agent, and SIGKILL after Grace if Grace is not zero
	OpInfo   = "info"   // describe the session, and what it uses now
	OpFreeze = "freeze" // stop every process of the box
	OpResume = "resume" // let them go on
	OpExec   = "exec"   // note that a further command is about to join
	OpRedact = "redact" // replace the session's secrets in Texts
)

const (
	maxRequest = 64 << 10
	maxGrace   = time.Hour
	maxSignal  = 64
	maxClients = 32
	ioTimeout  = 10 * time.Second
)

// A Request is one line that a client sends.
type Request struct {
	Op     string        `json:"op"`
	Signal int           `json:"signal,omitempty"`
	Grace  time.Duration `json:"grace,omitempty"` // nanoseconds
	Argv   []string      `json:"argv,omitempty"`  // of exec, as much of it as a request holds
	Texts  [][]byte      `json:"texts,omitempty"` // of redact; see MaxTexts
}

// MaxTexts bounds the bytes of all texts of one request, so that it is no longer than a request can be.
const MaxTexts = 32 << 10

// A Reply is one line that the supervisor answers. The zero value is a refusal.
type Reply struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	Info  *Info  `json:"info,omitempty"`
	// Texts are those of the request, in its order, without secrets.
	Texts [][]byte `json:"texts,omitempty"`
}

// ParseRequest reads one line of a control socket. Unknown fields, unknown
// operations and values out of range are errors.
func ParseRequest(line []byte) (Request, error) {
	if len(line) > maxRequest {
		return Request{}, fmt.Errorf("request is longer than %d bytes", maxRequest)
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	var r Request
	if err := dec.Decode(&r); err != nil {
		return Request{}, fmt.Errorf("request: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Request{}, errors.New("request: more than one value on a line")
	}
	return r, r.check()
}

func (r Request) check() error {
	if (len(r.Argv) > 0) != (r.Op == OpExec) {
		return errors.New("request: exec, and nothing else, takes a command")
	}
	if (len(r.Texts) > 0) != (r.Op == OpRedact) {
		return errors.New("request: redact, and nothing else, takes texts")
	}
	switch r.Op {
	case OpInfo, OpFreeze, OpResume, OpExec, OpRedact:
		if r.Signal != 0 || r.Grace != 0 {
			return fmt.Errorf("request: %s takes no signal and no grace", r.Op)
		}
	case OpSignal:
		if r.Signal < 1 || r.Signal > maxSignal {
			return fmt.Errorf("request: no signal has the number %d", r.Signal)
		}
		if r.Grace < 0 || r.Grace > maxGrace {
			return fmt.Errorf("request: grace must lie between 0 and %v", maxGrace)
		}
	default:
		return fmt.Errorf("request: unknown operation %q", r.Op)
	}
	return nil
}

// Listen makes the session's control socket, so that clients can connect before
// Serve runs. Serve calls it when nobody did.
func (s *Session) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock < 0 {
		return fmt.Errorf("session %s is closed", s.id)
	}
	if s.listener != nil {
		return nil
	}
	l, err := listen(s.dir, SocketFile)
	if err != nil {
		return fmt.Errorf("session %s: control socket: %w", s.id, err)
	}
	s.listener = l
	return nil
}

func listen(d dir, name string) (*net.UnixListener, error) {
	l, err := net.ListenUnix("unix", socketAddr(d, name))
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := unix.Fchmodat(d.fd, name, 0o600, 0); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// socketAddr names a socket by the directory's descriptor: a socket address
// holds only 107 bytes of path, and the descriptor is the directory that was
// checked.
func socketAddr(d dir, name string) *net.UnixAddr {
	return &net.UnixAddr{Net: "unix", Name: fmt.Sprintf("/proc/self/fd/%d/%s", d.fd, name)}
}

// Serve answers the control socket until ctx ends. Only root and the user who
// runs the session get an answer. It returns when every handler that has begun
// has returned and its client has the reply.
func (s *Session) Serve(ctx context.Context, handler func(Request) Reply) error {
	if err := s.Listen(); err != nil {
		return err
	}
	srv := server{handler: handler, slots: make(chan struct{}, maxClients), clients: map[*net.UnixConn]bool{}}
	stop := context.AfterFunc(ctx, func() {
		s.listener.Close()
		srv.interrupt()
	})
	defer stop()
	err := srv.accept(ctx, s.listener)
	srv.running.Wait()
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("session %s: control socket: %w", s.id, err)
}

type server struct {
	handler func(Request) Reply
	slots   chan struct{}
	running sync.WaitGroup

	mu      sync.Mutex
	clients map[*net.UnixConn]bool
}

func (v *server) accept(ctx context.Context, l *net.UnixListener) error {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return err
		}
		select {
		case v.slots <- struct{}{}:
		case <-ctx.Done():
			c.Close()
			return ctx.Err()
		}
		v.mu.Lock()
		v.clients[c] = true
		v.mu.Unlock()
		v.running.Go(func() {
			v.serve(ctx, c)
			v.mu.Lock()
			delete(v.clients, c)
			v.mu.Unlock()
			c.Close()
			<-v.slots
		})
	}
}

// interrupt wakes the clients that are waiting for a request.
func (v *server) interrupt() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for c := range v.clients {
		c.SetReadDeadline(time.Unix(1, 0))
	}
}

func (v *server) serve(ctx context.Context, c *net.UnixConn) {
	c.SetWriteDeadline(time.Now().Add(ioTimeout))
	if err := checkPeer(c); err != nil {
		send(c, Reply{Error: err.Error()})
		return
	}
	in := bufio.NewReaderSize(c, maxRequest)
	for {
		c.SetReadDeadline(time.Now().Add(ioTimeout))
		if ctx.Err() != nil { // after the deadline, which interrupt may have set
			return
		}
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			send(c, Reply{Error: fmt.Sprintf("request is longer than %d bytes", maxRequest)})
			return
		}
		if err != nil {
			return
		}
		var reply Reply
		if r, err := ParseRequest(line); err != nil {
			reply.Error = err.Error()
		} else {
			reply = v.handler(r)
		}
		c.SetWriteDeadline(time.Now().Add(ioTimeout))
		if err := send(c, reply); err != nil {
			return
		}
	}
}

func send(c *net.UnixConn, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = c.Write(append(data, '\n'))
	return err
}

// checkPeer refuses everyone but root and this process's user.
func checkPeer(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, credErr); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Geteuid() {
		return fmt.Errorf("control socket: the other side is user %d", cred.Uid)
	}
	return nil
}

// Call sends one request to a live session and returns its reply. A refusal is a
// Reply, not an error. The timeout covers the whole exchange.
func Call(root, id string, r Request, timeout time.Duration) (Reply, error) {
	if !ValidID(id) {
		return Reply{}, fmt.Errorf("%w: %q is not a session ID", ErrNotFound, id)
	}
	if err := r.check(); err != nil {
		return Reply{}, err
	}
	d, err := openDir(filepath.Join(root, id))
	if err != nil {
		return Reply{}, fmt.Errorf("session %s: %w", id, missing(err))
	}
	defer d.close()
	c, err := dial(d, SocketFile, timeout)
	if err != nil {
		return Reply{}, fmt.Errorf("session %s: %w", id, err)
	}
	defer c.Close()
	reply, err := exchange(c, r, time.Now().Add(timeout))
	if err != nil {
		return Reply{}, fmt.Errorf("session %s: %w", id, err)
	}
	return reply, nil
}

func dial(d dir, name string, timeout time.Duration) (*net.UnixConn, error) {
	held, err := lockHeld(d)
	if err != nil {
		return nil, err
	}
	if !held {
		return nil, fmt.Errorf("%w: its supervisor has ended", ErrNotFound)
	}
	var st unix.Stat_t
	err = unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil, errors.New("it is not listening yet")
	}
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK || int(st.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%s is not a socket of this user", filepath.Join(d.path, name))
	}
	dialer := net.Dialer{Timeout: timeout}
	c, err := dialer.Dial("unix", socketAddr(d, name).Name)
	if err != nil {
		return nil, err
	}
	conn := c.(*net.UnixConn)
	if err := checkPeer(conn); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func exchange(c *net.UnixConn, r Request, deadline time.Time) (Reply, error) {
	c.SetDeadline(deadline)
	if err := send(c, r); err != nil {
		return Reply{}, err
	}
	line, err := bufio.NewReader(io.LimitReader(c, maxInfo)).ReadBytes('\n')
	if err != nil {
		return Reply{}, fmt.Errorf("no reply: %w", err)
	}
	var reply Reply
	if err := json.Unmarshal(line, &reply); err != nil {
		return Reply{}, fmt.Errorf("reply: %w", err)
	}
	return reply, nil
}
