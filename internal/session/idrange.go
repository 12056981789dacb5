package session

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Host IDs for boxes that root starts lie between the range that systemd keeps
// for containers (524288 to 1879048191) and the one it keeps for foreign images
// (from 2147352576); see its UIDS-GIDS document.
const (
	IDRangeSize  = 65536
	idRangeFirst = 1879048192
	idRangeEnd   = 2147352576
	idSlots      = (idRangeEnd - idRangeFirst) / IDRangeSize
)

// idSlotDir holds one lock file a slot, below the root.
const idSlotDir = "ids"

// ErrNoIDRange says that no range of host IDs is left.
var ErrNoIDRange = errors.New("no free range of 65536 user IDs")

// An IDRange is a range of IDRangeSize host user and group IDs that no other box
// and no account has, until Release or the end of the process.
type IDRange struct {
	Base uint32
	lock int // meaningful only while held; a descriptor, so that no finalizer drops it
	held bool
}

// AcquireIDRange reserves a range of host IDs. It fails with ErrNoIDRange where
// every range is taken or lies outside this user namespace.
func AcquireIDRange(root string) (*IDRange, error) {
	taken, err := takenIDs("/etc/passwd", "/etc/group", "/etc/subuid", "/etc/subgid")
	if err != nil {
		return nil, err
	}
	uids, err := mappedIDs("/proc/self/uid_map")
	if err != nil {
		return nil, err
	}
	gids, err := mappedIDs("/proc/self/gid_map")
	if err != nil {
		return nil, err
	}
	return acquire(root, func(r idSpan) bool {
		return !overlapsAny(r, taken) && insideAny(r, uids) && insideAny(r, gids)
	})
}

func acquire(root string, free func(idSpan) bool) (*IDRange, error) {
	r, err := openDir(root)
	if err != nil {
		return nil, fmt.Errorf("session directory: %w", err)
	}
	defer r.close()
	if err := unix.Mkdirat(r.fd, idSlotDir, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("session directory: mkdir %s: %w", idSlotDir, err)
	}
	slots, err := r.open(idSlotDir)
	if err != nil {
		return nil, fmt.Errorf("session directory: %w", err)
	}
	defer slots.close()
	for k := uint64(0); k < idSlots; k++ {
		base := idRangeFirst + k*IDRangeSize
		if !free(idSpan{base, base + IDRangeSize}) {
			continue
		}
		// Slot files stay: deleting one would let two processes lock two files
		// of the same name.
		fd, err := slots.file(strconv.FormatUint(k, 10), unix.O_RDWR|unix.O_CREAT)
		if err != nil {
			return nil, fmt.Errorf("range of user IDs: %w", err)
		}
		if err = tryLock(fd); err == nil {
			return &IDRange{Base: uint32(base), lock: fd, held: true}, nil
		}
		unix.Close(fd)
		if err = lockError(slots, err); !errors.Is(err, ErrRunning) {
			return nil, fmt.Errorf("range of user IDs: %w", err)
		}
	}
	return nil, ErrNoIDRange
}

// Release gives the range back. A second Release does nothing.
func (r *IDRange) Release() error {
	if !r.held {
		return nil
	}
	r.held = false
	return unix.Close(r.lock)
}

// An idSpan is the IDs from first up to, not including, end.
type idSpan struct{ first, end uint64 }

func overlapsAny(r idSpan, spans []idSpan) bool {
	for _, s := range spans {
		if r.first < s.end && s.first < r.end {
			return true
		}
	}
	return false
}

func insideAny(r idSpan, spans []idSpan) bool {
	for _, s := range spans {
		if s.first <= r.first && r.end <= s.end {
			return true
		}
	}
	return false
}

// takenIDs reads the IDs that the machine has given to someone. A file that does
// not exist takes none.
func takenIDs(passwd, group, subuid, subgid string) ([]idSpan, error) {
	var spans []idSpan
	for _, path := range []string{passwd, group, subuid, subgid} {
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("range of user IDs: %w", err)
		}
		if path == subuid || path == subgid {
			spans = append(spans, subordinateIDs(data)...)
		} else {
			spans = append(spans, accountIDs(data)...)
		}
	}
	return spans, nil
}

// accountIDs reads the third field of passwd(5) and group(5), and the fourth,
// which is a group ID in the one and never a number in the other. Lines that the
// system's own tools would ignore are ignored.
func accountIDs(data []byte) []idSpan {
	var spans []idSpan
	for fields := range colonLines(data) {
		for _, f := range fields[min(2, len(fields)):min(4, len(fields))] {
			if id, err := strconv.ParseUint(f, 10, 32); err == nil {
				spans = append(spans, idSpan{id, id + 1})
			}
		}
	}
	return spans
}

// subordinateIDs reads subuid(5) and subgid(5): name, first ID, count.
func subordinateIDs(data []byte) []idSpan {
	var spans []idSpan
	for fields := range colonLines(data) {
		if len(fields) < 3 {
			continue
		}
		first, err1 := strconv.ParseUint(fields[1], 10, 32)
		count, err2 := strconv.ParseUint(fields[2], 10, 32)
		if err1 == nil && err2 == nil {
			spans = append(spans, idSpan{first, first + count})
		}
	}
	return spans
}

func colonLines(data []byte) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		for line := range bytes.Lines(data) {
			if !yield(strings.Split(strings.TrimSpace(string(line)), ":")) {
				return
			}
		}
	}
}

// mappedIDs reads which IDs exist in this user namespace.
func mappedIDs(path string) ([]idSpan, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("range of user IDs: %w", err)
	}
	var spans []idSpan
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		var first, outside, count uint64
		if _, err := fmt.Sscan(lines.Text(), &first, &outside, &count); err != nil {
			return nil, fmt.Errorf("range of user IDs: %s: %w", path, err)
		}
		spans = append(spans, idSpan{first, first + count})
	}
	return spans, lines.Err()
}
