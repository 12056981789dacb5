package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A Kind says what a Frame is.
type Kind byte

// The kinds of frames. Those of the agent's output also stand on disk.
const (
	Stdout  Kind = 'o' // what the agent wrote, or its terminal shows
	Stderr  Kind = 'e'
	Note    Kind = 'n' // what agentbox has to say about the output, as a sentence
	Hello   Kind = 'h' // the client's first: a Greeting as JSON
	Welcome Kind = 'w' // the supervisor's first: a Reception as JSON
	Refused Kind = 'r' // the supervisor's only one: why not
	Exit    Kind = 'x' // the supervisor's last: the session's result as JSON
	Input   Kind = 'i' // for the agent's input
	EOF     Kind = 'd' // the agent's input ends
	Resize  Kind = 's' // rows and columns, two bytes each
	Signal  Kind = 'k' // a signal's number, one byte
)

// maxFrame bounds what a frame carries: a result as JSON can hold a command line.
const maxFrame = maxInfo

// A Frame is one message of an attach socket, or a piece of kept output.
type Frame struct {
	Kind Kind
	Data []byte
}

// headerSize is that of a frame: its kind, and the length of its data.
const headerSize = 5

func (k Kind) known() bool {
	switch k {
	case Stdout, Stderr, Note, Hello, Welcome, Refused, Exit, Input, EOF, Resize, Signal:
		return true
	}
	return false
}

// appendTo adds the frame as it is written.
func (f Frame) appendTo(b []byte) []byte {
	b = append(b, byte(f.Kind))
	b = binary.BigEndian.AppendUint32(b, uint32(len(f.Data)))
	return append(b, f.Data...)
}

// readFrame reads one frame. io.EOF says that there was none, io.ErrUnexpectedEOF that it is cut off.
func readFrame(in io.Reader) (Frame, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(in, header[:]); err != nil {
		return Frame{}, err
	}
	f := Frame{Kind: Kind(header[0])}
	size := binary.BigEndian.Uint32(header[1:])
	switch {
	case !f.Kind.known():
		return Frame{}, fmt.Errorf("a frame of the unknown kind %#x", header[0])
	case size > maxFrame:
		return Frame{}, fmt.Errorf("a frame of %d bytes", size)
	}
	f.Data = make([]byte, 0, min(size, 64<<10)) // a length alone costs no memory
	for uint32(len(f.Data)) < size {
		n := min(int(size)-len(f.Data), 64<<10)
		start := len(f.Data)
		f.Data = append(f.Data, make([]byte, n)...)
		if _, err := io.ReadFull(in, f.Data[start:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return Frame{}, err
		}
	}
	return f, nil
}
