package boxinit

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ReceiveShared waits for the root of a file system that PID 1 made (MountShared). It is nil where PID 1 has something
// else to say, which is the message. PID 1 goes on after Release.
func (c *Control) ReceiveShared() (Message, *os.File, error) {
	m, root, err := c.ReceiveFile()
	if err == nil && (root != nil) != (m.Kind == Shared) || err == nil && root == nil && m.Kind != Failed {
		err = fmt.Errorf("the box sent message %d where a file system was to come", m.Kind)
	}
	if err != nil && root != nil {
		root.Close()
		root = nil
	}
	return m, root, err
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
