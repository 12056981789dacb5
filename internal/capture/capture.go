// Package capture turns a network namespace without a way out into one whose TCP connections and name queries all reach
// its owner, whatever the program that makes them knows of proxies.
//
// The namespace is configured and served from outside, over sockets that somebody made inside: an ordinary user cannot
// enter it (setns(2) asks for a capability that they lack), but who owns its user namespace may use them. A route makes
// every address local to TCP alone, and a rule of nftables redirects what is not for the loopback to one listener, which
// learns the original destination from the kernel. To every other protocol no address but the loopback's has a route.
// Programs find a resolver at port 53 of 127.0.0.1 and ::1, and a proxy at Proxy.
package capture

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ProxyPort is where clients that want a proxy find one, on 127.0.0.1.
const ProxyPort = 3128

// dnsPort is that of name queries.
const dnsPort = 53

// A Socket is what has to be made in the namespace, see socket(2).
type Socket struct{ Family, Type, Protocol int }

const (
	routeSocket = iota
	filterSocket
	diagSocket
	proxySocket
	tcp4Socket
	tcp6Socket
	dns4Socket
	dns6Socket
	socketCount
)

// Sockets are what Open needs, in its order.
func Sockets() []Socket {
	return []Socket{
		routeSocket:  {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE},
		filterSocket: {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER},
		diagSocket:   {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_SOCK_DIAG},
		proxySocket:  {unix.AF_INET, unix.SOCK_STREAM, 0},
		tcp4Socket:   {unix.AF_INET, unix.SOCK_STREAM, 0},
		tcp6Socket:   {unix.AF_INET6, unix.SOCK_STREAM, 0},
		dns4Socket:   {unix.AF_INET, unix.SOCK_DGRAM, 0},
		dns6Socket:   {unix.AF_INET6, unix.SOCK_DGRAM, 0},
	}
}

// Try sets the caller's own network namespace up, which must be one that nobody needs, and says what it lacks.
func Try() error {
	ns, err := Open(makeSockets())
	if err != nil {
		return err
	}
	defer ns.Close()
	return ns.Lacks
}

func makeSockets() (files []*os.File, errs []error) {
	for _, s := range Sockets() {
		var f *os.File
		fd, err := unix.Socket(s.Family, s.Type|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, s.Protocol)
		if err == nil {
			f = os.NewFile(uintptr(fd), "socket")
		}
		files, errs = append(files, f), append(errs, os.NewSyscallError("socket", err))
	}
	return files, errs
}

// A Namespace is one that is being served.
type Namespace struct {
	Proxy *Listener        // for clients that use a proxy
	TCP   []*Listener      // for every other connection; none if Lacks
	DNS   []net.PacketConn // none if Lacks
	// Lacks is why connections that use no proxy cannot be captured here: then nothing but the proxy can be reached.
	Lacks error
	diag  *netlinkSocket
}

// Open takes over the sockets that Sockets lists, each of which is nil where errs says why it could not be made. A
// kernel that cannot capture is no error, see Lacks; a namespace that is not as it must be is one.
func Open(files []*os.File, errs []error) (*Namespace, error) {
	if len(files) != socketCount || len(errs) != socketCount {
		return nil, errors.New("not the sockets that were asked for")
	}
	ns := &Namespace{}
	err := ns.open(files, errs)
	for i, f := range files {
		if f != nil && i != diagSocket {
			f.Close() // listeners have their own descriptors
		}
	}
	if err != nil {
		ns.Close()
		return nil, err
	}
	return ns, nil
}

func (ns *Namespace) open(files []*os.File, errs []error) (err error) {
	if files[proxySocket] == nil {
		return errs[proxySocket]
	}
	if files[diagSocket] != nil {
		ns.diag = &netlinkSocket{file: files[diagSocket]}
	}
	if files[routeSocket] != nil {
		routes := &netlinkSocket{file: files[routeSocket]}
		if err := routes.do([]*nl.NetlinkRequest{up()}, nil); err != nil {
			return err
		}
	}
	if ns.Proxy, err = listen(files[proxySocket], netip.AddrPortFrom(loopback4, ProxyPort)); err != nil {
		return err
	}
	if err := ns.capture(files, errs); err != nil {
		ns.stopCapture()
		ns.Lacks = err
	}
	return nil
}

var (
	loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	loopback6 = netip.IPv6Loopback()
)

// capture sets the namespace up. A host without IPv6 has none in a box either.
func (ns *Namespace) capture(files []*os.File, errs []error) error {
	for _, i := range []int{routeSocket, filterSocket, tcp4Socket, dns4Socket} {
		if files[i] == nil {
			return errs[i]
		}
	}
	v6 := files[tcp6Socket] != nil && files[dns6Socket] != nil
	if !v6 && !errors.Is(errors.Join(errs[tcp6Socket], errs[dns6Socket]), unix.EAFNOSUPPORT) {
		return errors.Join(errs[tcp6Socket], errs[dns6Socket])
	}
	port, err := ns.listen(files, v6)
	if err != nil {
		return err
	}
	if err := route(&netlinkSocket{file: files[routeSocket]}, v6); err != nil {
		return fmt.Errorf("routes: %w", err)
	}
	if err := redirect(&netlinkSocket{file: files[filterSocket]}, port); err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	return nil
}

// listen opens the listeners; those of both protocols have the same port, which one rule names.
func (ns *Namespace) listen(files []*os.File, v6 bool) (uint16, error) {
	l, err := listen(files[tcp4Socket], netip.AddrPortFrom(loopback4, 0))
	if err != nil {
		return 0, err
	}
	ns.TCP = append(ns.TCP, l)
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	p, err := packets(files[dns4Socket], netip.AddrPortFrom(loopback4, dnsPort))
	if err != nil {
		return 0, err
	}
	ns.DNS = append(ns.DNS, p)
	if !v6 {
		return port, nil
	}
	if l, err = listen(files[tcp6Socket], netip.AddrPortFrom(loopback6, port)); err == nil {
		ns.TCP = append(ns.TCP, l)
		p, err = packets(files[dns6Socket], netip.AddrPortFrom(loopback6, dnsPort))
	}
	if err != nil {
		return 0, err
	}
	ns.DNS = append(ns.DNS, p)
	return port, nil
}

func (ns *Namespace) stopCapture() {
	for _, l := range ns.TCP {
		l.Close()
	}
	for _, p := range ns.DNS {
		p.Close()
	}
	ns.TCP, ns.DNS = nil, nil
}

// Close ends all listening. What was accepted stays open.
func (ns *Namespace) Close() {
	ns.stopCapture()
	if ns.Proxy != nil {
		ns.Proxy.Close()
	}
	if ns.diag != nil {
		ns.diag.file.Close()
	}
}
