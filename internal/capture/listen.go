package capture

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Listener accepts connections of the namespace.
type Listener struct{ *net.TCPListener }

// A Conn is a connection that a program of the namespace made.
type Conn struct {
	*net.TCPConn
	// Destination is where the program connected to; the zero value if the kernel does not know.
	Destination netip.AddrPort
}

// Accept waits for the next connection.
func (l *Listener) Accept() (*Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return &Conn{TCPConn: c, Destination: destination(c)}, nil
}

// backlog is what listen(2) is asked for; the kernel allows that much since Linux 5.4.
const backlog = 4096

func bind(f *os.File, at netip.AddrPort) (int, error) {
	fd := int(f.Fd())
	var sa unix.Sockaddr
	if at.Addr().Is4() {
		sa = &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	} else {
		sa = &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return -1, err
		}
	}
	if err := unix.Bind(fd, sa); err != nil {
		return -1, fmt.Errorf("listen at %s: %w", at, err)
	}
	return fd, nil
}

func listen(f *os.File, at netip.AddrPort) (*Listener, error) {
	fd, err := bind(f, at)
	if err == nil {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		return nil, err
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return &Listener{l.(*net.TCPListener)}, nil
}

func packets(f *os.File, at netip.AddrPort) (net.PacketConn, error) {
	if _, err := bind(f, at); err != nil {
		return nil, err
	}
	return net.FilePacketConn(f)
}

// originalDst is SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST (linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h).
const originalDst = 80

// destination asks connection tracking where a redirected connection was to go. A connection to the listener itself has
// its address.
func destination(c *net.TCPConn) netip.AddrPort {
	raw, err := c.SyscallConn()
	if err != nil {
		return netip.AddrPort{}
	}
	var to netip.AddrPort
	v6 := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Is6()
	err = raw.Control(func(fd uintptr) {
		if v6 {
			to = destination6(int(fd))
		} else {
			to = destination4(int(fd))
		}
	})
	if err != nil {
		return netip.AddrPort{}
	}
	return to
}

// destination4 uses the getters that x/sys has for structures of the right size: a struct sockaddr_in has 16 bytes.
func destination4(fd int) netip.AddrPort {
	m, err := unix.GetsockoptIPv6Mreq(fd, syscall.IPPROTO_IP, originalDst)
	if err != nil {
		return netip.AddrPort{}
	}
	b := m.Multiaddr
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:4]))
}

func destination6(fd int) netip.AddrPort {
	m, err := unix.GetsockoptIPv6MTUInfo(fd, syscall.IPPROTO_IPV6, originalDst)
	if err != nil {
		return netip.AddrPort{}
	}
	port := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, m.Addr.Port))
	return netip.AddrPortFrom(netip.AddrFrom16(m.Addr.Addr), port)
}
