package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A netlinkSocket is a socket of netlink(7) that was made in another network namespace, which is the one it speaks of.
type netlinkSocket struct {
	mu   sync.Mutex
	file *os.File
}

// patience is far more than the kernel takes for an answer.
const patience = 10 * time.Second

// do sends requests as one datagram and waits until each that asks for it is acknowledged. The replies before an
// acknowledgement are handed to each.
func (s *netlinkSocket) do(requests []*nl.NetlinkRequest, each func(unix.NlMsghdr, []byte)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var batch []byte
	waiting := map[uint32]bool{}
	for _, r := range requests {
		batch = append(batch, r.Serialize()...)
		if r.Flags&unix.NLM_F_ACK != 0 || each != nil {
			waiting[r.Seq] = true
		}
	}
	if err := s.file.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := s.file.Write(batch); err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	buffer := make([]byte, 64<<10)
	for len(waiting) > 0 {
		n, err := s.file.Read(buffer)
		if err != nil {
			return fmt.Errorf("netlink: %w", err)
		}
		if err := answers(buffer[:n], waiting, each); err != nil {
			return err
		}
	}
	return nil
}

var errNetlink = errors.New("netlink: an answer that is none")

// answers reads the messages of a datagram from the kernel.
func answers(data []byte, waiting map[uint32]bool, each func(unix.NlMsghdr, []byte)) error {
	for len(data) >= unix.SizeofNlMsghdr {
		h := unix.NlMsghdr{
			Len: binary.NativeEndian.Uint32(data), Type: binary.NativeEndian.Uint16(data[4:]),
			Flags: binary.NativeEndian.Uint16(data[6:]), Seq: binary.NativeEndian.Uint32(data[8:]),
		}
		if h.Len < unix.SizeofNlMsghdr || int(h.Len) > len(data) {
			return errNetlink
		}
		body := data[unix.SizeofNlMsghdr:h.Len]
		data = data[min((int(h.Len)+3)&^3, len(data)):]
		if h.Type != unix.NLMSG_ERROR {
			if each != nil && waiting[h.Seq] {
				each(h, body)
				delete(waiting, h.Seq)
			}
			continue
		}
		if len(body) < 4 {
			return errNetlink
		}
		if errno := int32(binary.NativeEndian.Uint32(body)); errno != 0 {
			return unix.Errno(-errno)
		}
		delete(waiting, h.Seq)
	}
	return nil
}

func be16(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
func be32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
func u32(n uint32) []byte  { return binary.NativeEndian.AppendUint32(nil, n) }
