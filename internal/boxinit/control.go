package boxinit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Kind says what a Message reports.
type Kind uint32

// The kinds, with the values of boxinit.h.
const (
	Failed    Kind = iota + 1 // a step did not succeed; nothing of the agent ran
	Running                   // the agent was executed
	Stopped                   // by the signal Value
	Continued                 // by SIGCONT
	Exited                    // Value is its wait status; the box is over
	Forked                    // the agent to be waits for Release; Value is its pid inside
	Shared                    // a MountShared is there, and comes along; it waits for Release
	Listener                  // the agent's filter asks about programs; what it asks at comes along
)

// A Message is one datagram from the box's side.
type Message struct {
	Kind  Kind
	Step  Step
	Value int32 // errno of Failed, pid inside of Running and Forked, signal of Stopped, wait status of Exited
	// Detail is the path that a failed step was about, cut to what a message holds.
	Detail string
}

// Status is the wait status of an Exited message.
func (m Message) Status() syscall.WaitStatus { return syscall.WaitStatus(m.Value) }

const (
	detailSize  = 240
	messageSize = 12 + detailSize
)

var errShort = errors.New("the box sent a message of the wrong size")

// A Control is the supervisor's end of the socket to PID 1. Closing it ends the box.
type Control struct{ file *os.File }

// Socketpair makes the control socket; child is for the box's side.
func Socketpair() (control *Control, child *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("control socket: %w", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, fmt.Errorf("control socket: %w", err)
	}
	return &Control{os.NewFile(uintptr(fds[0]), "control")}, os.NewFile(uintptr(fds[1]), "control of the box"), nil
}

// Receive waits for the next message; io.EOF says that the other side is gone.
func (c *Control) Receive() (Message, error) {
	m, file, err := c.ReceiveFile()
	if file != nil {
		file.Close()
	}
	return m, err
}

// ReceiveFile does the same, and keeps the descriptor that came along; nil is that there was none.
func (c *Control) ReceiveFile() (Message, *os.File, error) {
	n, b, oob, err := c.read()
	if errors.Is(err, unix.ECONNRESET) {
		n, b, oob, err = c.read() // it left without reading what we wrote; what it said before is still there
	}
	switch {
	case errors.Is(err, unix.ECONNRESET), err == nil && n == 0:
		return Message{}, nil, io.EOF
	case err != nil:
		return Message{}, nil, err
	}
	file, err := oneFile(oob)
	if err == nil && n != messageSize {
		err = errShort
	}
	if err != nil {
		if file != nil {
			file.Close()
		}
		return Message{}, nil, err
	}
	return decode(b[:messageSize]), file, nil
}

func (c *Control) read() (n int, data, rights []byte, err error) {
	conn, err := c.file.SyscallConn()
	if err != nil {
		return 0, nil, nil, err
	}
	data, rights = make([]byte, messageSize+1), make([]byte, unix.CmsgSpace(4))
	var size int
	var rerr error
	err = conn.Read(func(fd uintptr) bool {
		n, size, _, _, rerr = unix.Recvmsg(int(fd), data, rights, unix.MSG_CMSG_CLOEXEC)
		return !errors.Is(rerr, unix.EAGAIN) && !errors.Is(rerr, unix.EINTR)
	})
	return n, data, rights[:max(size, 0)], errors.Join(err, rerr)
}

func decode(b []byte) Message {
	word := func(i int) uint32 { return binary.NativeEndian.Uint32(b[i*4:]) }
	detail, _, _ := bytes.Cut(b[12:], []byte{0})
	return Message{Kind(word(0)), Step(word(1)), int32(word(2)), string(detail)}
}

// A Target says whom a signal is for.
type Target uint32

// The targets, with the values of boxinit.h.
const (
	ToAgent Target = iota
	ToGroup        // the agent's whole process group
	ToAll          // every process of the box but PID 1
)

// Signal asks PID 1 to send a signal.
func (c *Control) Signal(s unix.Signal, to Target) error { return c.send(uint32(s), uint32(to)) }

// Release lets the agent start, which Instructions.Held holds back.
func (c *Control) Release() error { return c.send(0, 0) }

func (c *Control) send(words ...uint32) error {
	var b []byte
	for _, w := range words {
		b = binary.NativeEndian.AppendUint32(b, w)
	}
	_, err := c.file.Write(b)
	return err
}

// Close ends the box.
func (c *Control) Close() error { return c.file.Close() }
