package workspace

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A Flavour says which extended attributes an overlay keeps its own notes in.
type Flavour uint8

// Who mounted the overlay decides about the flavour. The zero value is none.
const (
	_       Flavour = iota
	Trusted         // trusted.overlay.*, mounted with CAP_SYS_ADMIN over the machine
	User            // user.overlay.*, mounted in a user namespace with "userxattr"
)

func (f Flavour) prefix() string {
	if f == User {
		return "user.overlay."
	}
	return "trusted.overlay."
}

// marks is what an overlay noted on one entry of its upper directory.
type marks struct {
	opaque   string // "y": hides the lower directory; "x": has whiteouts that are files
	whiteout bool
	copied   bool   // copied up from a lower layer
	origin   []byte // the lower file's handle, where the overlay could keep one
	foreign  string // a note that our mounts do not make
}

// harmless are notes that change nothing in what a person sees.
var harmless = []string{"impure", "nlink", "uuid", "upper", "protattr"}

// xattrsOf reads the attributes of an entry. Links other than regular files and
// directories cannot have attributes of users.
func (d dir) xattrsOf(name string) (map[string][]byte, error) {
	fd, err := d.open(name, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return xattrsAt(fd)
}

// xattrsAt reads through /proc, because a descriptor of O_PATH is none that
// flistxattr takes, and opening the file would need its permission to read.
func xattrsAt(fd int) (map[string][]byte, error) {
	self := fmt.Sprintf("/proc/self/fd/%d", fd)
	list, err := grow(func(buf []byte) (int, error) { return unix.Listxattr(self, buf) })
	if errors.Is(err, unix.ENOTSUP) || err == nil && len(list) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, key := range strings.Split(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		value, err := grow(func(buf []byte) (int, error) { return unix.Getxattr(self, key, buf) })
		if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", quote(key), err)
		}
		out[key] = value
	}
	return out, nil
}

func grow(read func([]byte) (int, error)) ([]byte, error) {
	for size := 256; ; {
		buf := make([]byte, size)
		n, err := read(buf)
		if err == nil {
			return buf[:n], nil
		}
		if !errors.Is(err, unix.ERANGE) || size > 1<<20 {
			return nil, err
		}
		size *= 4
	}
}

// overlayMarks reads the notes of one flavour.
func overlayMarks(attrs map[string][]byte, f Flavour) marks {
	var m marks
	for key, value := range attrs {
		note, ok := strings.CutPrefix(key, f.prefix())
		if !ok {
			continue
		}
		switch {
		case note == "opaque" && (string(value) == "y" || string(value) == "x"):
			m.opaque = string(value)
		case note == "whiteout":
			m.whiteout = true
		case note == "origin":
			m.copied, m.origin = true, value
		case strings.HasPrefix(note, "overlay."): // an escaped note of the agent's own: an overlay within the overlay
		case !slices.Contains(harmless, note):
			m.foreign = key
		}
	}
	return m
}

// carried are the attributes that apply writes: those of users, without what some
// overlay would take for its own.
func carried(attrs map[string][]byte) map[string][]byte {
	var out map[string][]byte
	for key, value := range attrs {
		if strings.HasPrefix(key, "user.") && !strings.HasPrefix(key, "user.overlay.") {
			if out == nil {
				out = map[string][]byte{}
			}
			out[key] = value
		}
	}
	return out
}

// leftBehind names the attributes of the agent's that apply does not write.
func leftBehind(attrs, host map[string][]byte, f Flavour) []string {
	var out []string
	for key, value := range attrs {
		if strings.HasPrefix(key, f.prefix()) || bytes.Equal(host[key], value) && host[key] != nil {
			continue
		}
		if !strings.HasPrefix(key, "user.") || strings.HasPrefix(key, "user.overlay.") {
			out = append(out, key)
		}
	}
	return out
}

func sameAttrs(a, b map[string][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for key, value := range a {
		if other, ok := b[key]; !ok || !bytes.Equal(value, other) {
			return false
		}
	}
	return true
}

// sameHandle reports that the overlay noted this very file of the lower layer as
// the one that it copied. The note is struct ovl_fb of fs/overlayfs/overlayfs.h:
// version, magic, length, flags, type, a UUID of 16 bytes, and the handle.
func sameHandle(origin []byte, lower dir, name string) bool {
	const head = 21
	if len(origin) <= head {
		return false
	}
	handle, _, err := unix.NameToHandleAt(lower.fd, name, 0)
	return err == nil && byte(handle.Type()) == origin[4] && bytes.Equal(bytes.TrimRight(origin[head:], "\x00"), bytes.TrimRight(handle.Bytes(), "\x00"))
}
