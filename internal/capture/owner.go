package capture

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ErrNoOwner says that the kernel knows no such socket any more.
var ErrNoOwner = errors.New("no such socket")

// Inode finds the number of the socket with which a program of the namespace made a connection, for a look into
// /proc/PID/fd; see sock_diag(7).
func (ns *Namespace) Inode(c *Conn) (uint32, error) {
	if ns.diag == nil || !c.Destination.IsValid() {
		return 0, ErrNoOwner
	}
	from, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return 0, err
	}
	r := nl.NewNetlinkRequest(unix.SOCK_DIAG_BY_FAMILY, 0)
	r.AddData(diagRequest{from, c.Destination})
	var inode uint32
	err = ns.diag.do([]*nl.NetlinkRequest{r}, func(_ unix.NlMsghdr, body []byte) {
		if len(body) >= diagMessageSize {
			inode = binary.NativeEndian.Uint32(body[diagMessageSize-4:])
		}
	})
	if err == nil && inode == 0 {
		err = ErrNoOwner
	}
	return inode, err
}

// diagMessageSize is that of struct inet_diag_msg, which ends with the inode.
const diagMessageSize = 72

// A diagRequest is a struct inet_diag_req_v2 for one TCP connection.
type diagRequest struct{ from, to netip.AddrPort }

// Len is the structure's size.
func (diagRequest) Len() int { return 56 }

// Serialize gives its bytes.
func (d diagRequest) Serialize() []byte {
	const anyState, noCookie = 0xffffffff, 0xffffffff
	b := []byte{byte(family(d.from.Addr())), unix.IPPROTO_TCP, 0, 0}
	b = append(b, u32(anyState)...)
	b = append(append(b, be16(d.from.Port())...), be16(d.to.Port())...)
	b = append(append(b, sixteen(d.from.Addr())...), sixteen(d.to.Addr())...)
	return append(append(append(b, u32(0)...), u32(noCookie)...), u32(noCookie)...)
}

func sixteen(a netip.Addr) []byte { return append(a.AsSlice(), make([]byte, 16-len(a.AsSlice()))...) }
