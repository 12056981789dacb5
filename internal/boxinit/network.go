package boxinit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A Network is the supervisor's end of the channel over which PID 1 hands out sockets of the box's network namespace.
// Closing it ends that, and nothing else.
type Network struct {
	mu   sync.Mutex // of requests and their answers
	file *os.File
}

// NetworkPair makes the channel; child is for the box's side.
func NetworkPair() (network *Network, child *os.File, err error) {
	control, child, err := Socketpair()
	if err != nil {
		return nil, nil, err
	}
	return &Network{file: control.file}, child, nil
}

// Receive waits for the next of Instructions.Sockets: first those without a path. Its error is io.EOF, or why PID 1
// could not make it.
func (n *Network) Receive() (*os.File, error) {
	conn, err := n.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var b [5]byte
	oob := make([]byte, unix.CmsgSpace(4))
	var size, rights int
	var rerr error
	err = conn.Read(func(fd uintptr) bool {
		size, rights, _, _, rerr = unix.Recvmsg(int(fd), b[:], oob, unix.MSG_CMSG_CLOEXEC)
		return !errors.Is(rerr, unix.EAGAIN) && !errors.Is(rerr, unix.EINTR)
	})
	switch err = errors.Join(err, rerr); {
	case err != nil:
		return nil, err
	case size == 0:
		return nil, io.EOF
	case size != 4:
		return nil, errShort
	}
	if errno := unix.Errno(binary.NativeEndian.Uint32(b[:])); errno != 0 {
		return nil, fmt.Errorf("socket of the box: %w", errno)
	}
	return oneFile(oob[:rights])
}

// Socket asks for one more TCP socket, of AF_INET or AF_INET6, in a box that runs.
func (n *Network) Socket(family int) (*os.File, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, err := n.file.Write(binary.NativeEndian.AppendUint32(nil, uint32(family))); err != nil {
		return nil, err
	}
	f, err := n.Receive()
	if err == nil && f == nil {
		err = errShort
	}
	return f, err
}

// Close ends the channel.
func (n *Network) Close() error { return n.file.Close() }
