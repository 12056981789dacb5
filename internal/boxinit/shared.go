package boxinit

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// ReceiveShared waits for the root of a file system that PID 1 made (MountShared). It is nil where PID 1 has something
// else to say, which is the message. PID 1 goes on after Release.
func (c *Control) ReceiveShared() (Message, *os.File, error) {
	conn, err := c.file.SyscallConn()
	if err != nil {
		return Message{}, nil, err
	}
	var b [messageSize + 1]byte
	oob := make([]byte, unix.CmsgSpace(4))
	var n, rights int
	var rerr error
	err = conn.Read(func(fd uintptr) bool {
		n, rights, _, _, rerr = unix.Recvmsg(int(fd), b[:], oob, unix.MSG_CMSG_CLOEXEC)
		return !errors.Is(rerr, unix.EAGAIN) && !errors.Is(rerr, unix.EINTR)
	})
	if err = errors.Join(err, rerr); err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil {
		return Message{}, nil, err
	}
	root, err := oneFile(oob[:rights])
	if err != nil {
		return Message{}, nil, err
	}
	m, err := sharedMessage(b[:n], root != nil)
	if err != nil && root != nil {
		root.Close()
		root = nil
	}
	return m, root, err
}

func sharedMessage(b []byte, root bool) (Message, error) {
	if len(b) != messageSize {
		return Message{}, errShort
	}
	m := decode(b)
	if root && m.Kind == Shared || !root && m.Kind == Failed {
		return m, nil
	}
	return m, fmt.Errorf("the box sent message %d where a file system was to come", m.Kind)
}

// oneFile takes the descriptor out of a control message; nil is that there was none.
func oneFile(oob []byte) (*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var file *os.File
	for i := range list {
		fds, err := unix.ParseUnixRights(&list[i])
		if err != nil {
			return nil, err
		}
		for _, fd := range fds { // one fits
			file = os.NewFile(uintptr(fd), "from the box")
		}
	}
	return file, nil
}
