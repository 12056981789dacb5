// Package socks is the server's side of SOCKS 5 (RFC 1928): no authentication, and no command but CONNECT. Pure.
//
// Accept reads what a client asks for, from bytes that nobody has checked, and no byte more: what comes after them
// belongs to the connection that was asked for. Whoever calls it decides about the host, connects, and answers with
// Reply. Of the time that a client takes it knows nothing, so set a deadline.
package socks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"unicode"
)

var (
	// ErrVersion says that the client speaks something else than SOCKS 5. It gets no answer, as it would not know one.
	ErrVersion = errors.New("not SOCKS 5")
	// ErrMethod says that the client insists on authentication.
	ErrMethod = errors.New("SOCKS 5 without a method in common: there is no authentication here")
	// ErrCommand says that the client asks for something else than CONNECT.
	ErrCommand = errors.New("SOCKS 5 command not supported: there is only CONNECT")
	// ErrAddressType says that the host is neither a name nor an address.
	ErrAddressType = errors.New("SOCKS 5 address type not supported")
	// ErrMalformed says that the request breaks a rule of RFC 1928, or that its name can be none.
	ErrMalformed = errors.New("malformed SOCKS 5 request")
)

// A Code is what a request came to; see RFC 1928, section 6.
type Code byte

// The codes of RFC 1928. Mind that the zero value is the one of success.
const (
	Succeeded           Code = 0
	GeneralFailure      Code = 1
	NotAllowed          Code = 2
	NetworkUnreachable  Code = 3
	HostUnreachable     Code = 4
	Refused             Code = 5
	TTLExpired          Code = 6
	CommandNotSupported Code = 7
	AddressNotSupported Code = 8
)

// Numbers of RFC 1928, sections 3 to 5.
const (
	version  = 5
	noAuth   = 0x00
	noMethod = 0xff
	connect  = 1
	typeIPv4 = 1
	typeName = 3
	typeIPv6 = 4
)

// Accept agrees on no authentication and reads one request. host is a name as the client wrote it, of 1 to 255 bytes
// without spaces and control characters, which may be the text of an address too; or an address as netip writes it, IPv6
// without brackets and IPv4 in IPv6 ("::ffff:192.0.2.1") as such. It is checked no further, and neither is port.
// Each error but those of rw and ErrVersion was answered, and the connection is of no more use. An end in the midst is
// io.ErrUnexpectedEOF.
func Accept(rw io.ReadWriter) (host string, port uint16, err error) {
	if err := greet(rw); err != nil {
		return "", 0, err
	}
	host, port, err = request(rw)
	if err == nil {
		return host, port, nil
	}
	for sentinel, code := range answers {
		if errors.Is(err, sentinel) {
			return "", 0, errors.Join(err, Reply(rw, code))
		}
	}
	return "", 0, err
}

// answers are given to requests that were read and cannot be met.
var answers = map[error]Code{
	ErrCommand:     CommandNotSupported,
	ErrAddressType: AddressNotSupported,
	ErrMalformed:   GeneralFailure,
}

// Reply answers a request. It names no bound address, which clients have no use for after CONNECT.
func Reply(w io.Writer, code Code) error {
	_, err := w.Write([]byte{version, byte(code), 0, typeIPv4, 0, 0, 0, 0, 0, 0})
	return err
}

// greet reads the client's methods and chooses; see RFC 1928, section 3.
func greet(rw io.ReadWriter) error {
	first, err := read(rw, 1)
	if err != nil {
		return err
	}
	if first[0] != version {
		return fmt.Errorf("%w: the first byte is %#02x", ErrVersion, first[0])
	}
	count, err := read(rw, 1)
	if err != nil {
		return err
	}
	methods, err := read(rw, int(count[0]))
	if err != nil {
		return err
	}
	if !slices.Contains(methods, noAuth) {
		_, err := rw.Write([]byte{version, noMethod})
		return errors.Join(ErrMethod, err)
	}
	_, err = rw.Write([]byte{version, noAuth})
	return err
}

// request reads a request to its end, also one that will not be met: an answer can be lost if a connection is closed
// while bytes of the client's are unread.
func request(r io.Reader) (host string, port uint16, err error) {
	head, err := read(r, 4)
	if err != nil {
		return "", 0, err
	}
	host, err = address(r, head[3])
	if err != nil && !errors.Is(err, ErrMalformed) {
		return "", 0, err
	}
	last, readErr := read(r, 2)
	switch {
	case readErr != nil:
		return "", 0, readErr
	case head[0] != version:
		return "", 0, fmt.Errorf("%w: version %d", ErrMalformed, head[0])
	case head[1] != connect:
		return "", 0, fmt.Errorf("%w, not command %d", ErrCommand, head[1])
	case head[2] != 0:
		return "", 0, fmt.Errorf("%w: reserved byte %d", ErrMalformed, head[2])
	case err != nil:
		return "", 0, err
	}
	return host, binary.BigEndian.Uint16(last), nil
}

// address reads a host; see RFC 1928, section 5.
func address(r io.Reader, kind byte) (string, error) {
	size := 0
	switch kind {
	case typeIPv4:
		size = 4
	case typeIPv6:
		size = 16
	case typeName:
		length, err := read(r, 1)
		if err != nil {
			return "", err
		}
		size = int(length[0])
	default:
		return "", fmt.Errorf("%w: type %d", ErrAddressType, kind)
	}
	data, err := read(r, size)
	if err != nil {
		return "", err
	}
	if a, ok := netip.AddrFromSlice(data); ok && kind != typeName {
		return a.String(), nil
	}
	if name := string(data); name != "" && !strings.ContainsFunc(name, unprintable) {
		return name, nil
	}
	return "", fmt.Errorf("%w: the host is empty, or has a space or a control character", ErrMalformed)
}

func unprintable(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }

// read reads exactly n bytes.
func read(r io.Reader, n int) ([]byte, error) {
	data := make([]byte, n)
	if _, err := io.ReadFull(r, data); err == io.EOF {
		return nil, io.ErrUnexpectedEOF
	} else if err != nil {
		return nil, err
	}
	return data, nil
}
