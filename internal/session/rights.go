package session

import (
	"encoding/json"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// A rightsReader reads from a connection, and keeps the one descriptor that came along (unix(7), SCM_RIGHTS).
type rightsReader struct {
	conn *net.UnixConn
	file *os.File
}

func (r *rightsReader) Read(b []byte) (int, error) {
	oob := make([]byte, unix.CmsgSpace(4)) // the kernel drops what does not fit
	n, oobn, _, _, err := r.conn.ReadMsgUnix(b, oob)
	if messages, perr := unix.ParseSocketControlMessage(oob[:max(oobn, 0)]); perr == nil {
		for _, m := range messages {
			fds, _ := unix.ParseUnixRights(&m)
			for _, fd := range fds {
				r.drop()
				r.file = os.NewFile(uintptr(fd), "a client's descriptor")
			}
		}
	}
	return max(n, 0), err // it is -1 with an error, which no reader may return
}

func (r *rightsReader) drop() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

// sendWith sends a value as a line, and a descriptor with it if there is one.
func sendWith(c *net.UnixConn, value any, file *os.File) error {
	if file == nil {
		return send(c, value)
	}
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	cerr := raw.Control(func(fd uintptr) {
		_, _, err = c.WriteMsgUnix(append(data, '\n'), unix.UnixRights(int(fd)), nil)
	})
	if cerr != nil {
		return cerr
	}
	return err
}
