package main

import (
	"errors"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"agentbox/internal/boxtest/vm/wire"
)

const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// logins starts commands where the machine's sessions run.
type logins interface {
	// prepare is called once, before the first command.
	prepare() error
	// start starts cmd for c and returns what kills all that it starts, and what
	// tidies up behind it.
	start(cmd *exec.Cmd, c *wire.Command) (kill, tidy func(), err error)
}

type server struct {
	logins logins
	mu     sync.Mutex
	port   port
}

// serve runs commands until the host hangs up.
func serve(l logins) error {
	p, err := openPort()
	if err != nil {
		return err
	}
	if err := l.prepare(); err != nil {
		return err
	}
	s := &server{logins: l, port: p}
	if err := sendReady(p); err != nil {
		return err
	}
	for {
		r, err := wire.Receive[wire.Request](p)
		if err != nil {
			return err
		}
		if r.Command == nil {
			return errors.New("a request without a command")
		}
		go func() { s.send(wire.Reply{ID: r.ID, Done: s.run(r.ID, r.Command)}) }()
	}
}

func (s *server) send(r wire.Reply) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return wire.Send(s.port, r)
}

func outcome(err error) *wire.Outcome {
	if err != nil {
		return &wire.Outcome{Problem: err.Error()}
	}
	return &wire.Outcome{}
}

// run runs a script to its end, which is also the end of its output.
func (s *server) run(id int, c *wire.Command) *wire.Outcome {
	cmd := exec.Command("/bin/sh", "-c", c.Script)
	cmd.Dir, cmd.Env = c.Dir, c.Env
	cmd.Stdin = strings.NewReader(string(c.Stdin))
	cmd.Stdout = stream(func(p []byte) error { return s.send(wire.Reply{ID: id, Stdout: p}) })
	cmd.Stderr = stream(func(p []byte) error { return s.send(wire.Reply{ID: id, Stderr: p}) })
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Credential: &syscall.Credential{Uid: uint32(c.UID), Gid: uint32(c.GID)},
	}
	start := time.Now()
	kill, tidy, err := s.logins.start(cmd, c)
	if err != nil {
		return outcome(err)
	}
	defer tidy()
	limit := time.AfterFunc(c.Limit, kill)
	err = cmd.Wait()
	o := &wire.Outcome{TimedOut: !limit.Stop(), Took: time.Since(start)}
	if cmd.ProcessState == nil {
		o.Problem = err.Error()
		return o
	}
	o.Code = cmd.ProcessState.ExitCode()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		o.Code = 128 + int(status.Signal())
	}
	return o
}

// A stream sends what is written to it.
type stream func([]byte) error

func (s stream) Write(p []byte) (int, error) {
	if err := s(p); err != nil {
		return 0, err
	}
	return len(p), nil
}
