// Package hello reads what a TLS client says first, and which host it names, from bytes that nobody has checked. Pure.
//
// Read takes a ClientHello off a stream, no byte more, and keeps the bytes so that they can be sent on unchanged. It is
// stricter than servers are: what two readers could read in two ways is refused, so that the server which gets the bytes
// finds the name in them that was found here.
//
// It says nothing about what follows. A server may ask for a second ClientHello (HelloRetryRequest; RFC 8446, section
// 4.1.4), and whatever is said once a connection is encrypted, another host's name in a request too, is between the
// client and that server. So the server must be one that may be talked to, whatever the name.
package hello

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

var (
	// ErrNotTLS says that the first bytes begin no TLS handshake. A hello in the form of SSL 2.0 is none either.
	ErrNotTLS = errors.New("not a TLS handshake")
	// ErrTooLong says that the ClientHello does not fit in the limit.
	ErrTooLong = errors.New("the TLS ClientHello is too long")
	// ErrMalformed says that the bytes break a rule of RFC 8446, or are something else than one ClientHello.
	ErrMalformed = errors.New("malformed TLS ClientHello")
	// ErrServerName is the ErrMalformed of a server_name that is no DNS name, or not exactly one.
	ErrServerName = fmt.Errorf("%w: server_name is not one DNS name", ErrMalformed)
)

// A Hello is what is of interest in a ClientHello. All of it is the client's word, and readable by anyone on the way.
type Hello struct {
	ServerName string   // host_name of server_name, as sent: of letters, digits, "-", "_" and "."; never an address; "" if there is none
	ALPN       []string // protocols in the client's order, as sent: any bytes
	ECH        bool     // there is another, encrypted ClientHello in this one, or what only looks so (GREASE)
	Version    uint16   // the newest version offered, 0x0304 for TLS 1.3
}

// Sizes and numbers of RFC 8446, sections 4 and 5.1.
const (
	recordHeader    = 5
	messageHeader   = 4
	maxFragment     = 1 << 14
	recordHandshake = 22
	recordAlert     = 21
	clientHello     = 1
	majorVersion    = 3
)

// LooksLike reports whether the first bytes of a stream, one or more, can begin a TLS handshake: that Read would not
// answer ErrNotTLS to them. No bytes look like nothing.
func LooksLike(first []byte) bool {
	return len(first) > 0 && first[0] == recordHandshake && (len(first) == 1 || first[1] == majorVersion)
}

// Read reads records until a ClientHello is whole, and limit bytes at most. raw is all that was read, also when there is
// an error; the bytes after the ClientHello's last record stay in r. Other data in that record, which belongs to no
// state of the protocol, is ErrMalformed. The end of r is io.ErrUnexpectedEOF; its other errors come as they are.
func Read(r io.Reader, limit int) (raw []byte, h Hello, err error) {
	in := source{from: r, limit: limit}
	body, err := in.message()
	if err == nil {
		h, err = parse(body)
	}
	if err != nil {
		return in.raw, Hello{}, err
	}
	return in.raw, h, nil
}

// A source remembers what was read.
type source struct {
	from  io.Reader
	limit int
	raw   []byte
}

// message reads the body of the first handshake message, which must be a ClientHello and end with a record.
func (s *source) message() ([]byte, error) {
	var message []byte
	for {
		fragment, err := s.record()
		if err != nil {
			return nil, err
		}
		message = append(message, fragment...)
		if message[0] != clientHello {
			return nil, malformed("the first handshake message is of type %d", message[0])
		}
		if len(message) < messageHeader {
			continue
		}
		switch missing := messageHeader + int(binary.BigEndian.Uint32(message)&0xffffff) - len(message); {
		case missing == 0:
			return message[messageHeader:], nil
		case missing < 0:
			return nil, malformed("more data in its record")
		case recordHeader+missing > s.limit-len(s.raw):
			return nil, ErrTooLong
		}
	}
}

// record reads one record, and returns its fragment.
func (s *source) record() ([]byte, error) {
	header, err := s.read(recordHeader)
	if err != nil {
		return nil, err
	}
	if !LooksLike(header) {
		return nil, malformed("a record of type %d and version %d inside of it", header[0], header[1])
	}
	size := int(binary.BigEndian.Uint16(header[3:]))
	if size == 0 || size > maxFragment {
		return nil, malformed("a record of %d bytes", size)
	}
	return s.read(size)
}

// maxIdle is how often a reader may return nothing; bufio allows as many.
const maxIdle = 100

// read reads exactly n bytes. It stops as soon as the stream's first bytes are not those of TLS, because who speaks
// another protocol may say less than n bytes and wait.
func (s *source) read(n int) ([]byte, error) {
	start := len(s.raw)
	if n > s.limit-start {
		return nil, ErrTooLong
	}
	s.raw = slices.Grow(s.raw, n)
	for idle := 0; len(s.raw) < start+n; {
		got, err := s.from.Read(s.raw[len(s.raw) : start+n])
		s.raw = s.raw[:len(s.raw)+got]
		if got == 0 {
			idle++
		}
		switch {
		case len(s.raw) > 0 && !LooksLike(s.raw):
			return nil, ErrNotTLS
		case len(s.raw) == start+n:
		case err == io.EOF:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		case idle > maxIdle:
			return nil, io.ErrNoProgress
		}
	}
	return s.raw[start:], nil
}

// Level and description of an alert that refuses a connection by a rule; see RFC 8446, section 6.2.
const (
	Fatal        = 2
	AccessDenied = 49
)

// Alert is the record of an alert as either side may send it before anything is encrypted. Clients of every version
// take it in answer to a ClientHello.
func Alert(level, description byte) []byte {
	return []byte{recordAlert, majorVersion, 3, 0, 2, level, description}
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}
