package launch

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// An input reads a file of the caller until it is ended. What comes later is for whoever reads after the box: a read of
// a terminal that is left behind would swallow the next line that a person types.
type input struct {
	from        *os.File
	until, stop *os.File // the ends of a pipe
}

func newInput(from *os.File) (*input, error) {
	until, stop, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &input{from, until, stop}, nil
}

// passTo copies until the file or its reader ends, or end is called.
func (i *input) passTo(to io.Writer) {
	defer i.until.Close()
	_, _ = io.Copy(to, i)
}

// Read implements io.Reader.
func (i *input) Read(buf []byte) (int, error) {
	fds := []unix.PollFd{{Fd: int32(i.from.Fd()), Events: unix.POLLIN}, {Fd: int32(i.until.Fd()), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err
		case fds[1].Revents != 0:
			return 0, io.EOF
		default:
			return i.from.Read(buf)
		}
	}
}

// end may be called more than once, and of none.
func (i *input) end() {
	if i != nil {
		i.stop.Close()
	}
}
