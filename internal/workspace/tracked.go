package workspace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// maxIndex bounds what is read of a git index: two million files of ordinary names.
const maxIndex = 256 << 20

var errIndex = errors.New(".git/index is not an index that git wrote")

// Tracked says which of these files, relative to the project, are in its git index, so that their content is in the
// object store as well. Without a repository none is.
func Tracked(project string, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	d, err := openDir(project)
	if err != nil {
		return nil, err
	}
	defer d.close()
	fd, err := unix.Openat2(d.fd, ".git/index", &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, nil
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: ".git/index", Err: err}
	}
	f := os.NewFile(uintptr(fd), ".git/index")
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, errIndex)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxIndex+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxIndex {
		return nil, errIndex
	}
	wanted := map[string]bool{}
	for _, name := range names {
		wanted[name] = true
	}
	return inIndex(data, wanted)
}

// inIndex reads an index as gitformat-index(5) has it. The length of an object's name stands nowhere in it: SHA-1 is
// tried first, then SHA-256.
func inIndex(data []byte, wanted map[string]bool) ([]string, error) {
	for _, hash := range []int{20, 32} {
		if list, ok := entries(data, hash, wanted); ok {
			slices.Sort(list)
			return slices.Compact(list), nil // a file in conflict has up to three entries
		}
	}
	return nil, errIndex
}

func entries(data []byte, hash int, wanted map[string]bool) (list []string, ok bool) {
	const header, stat, extended, nameLength = 12, 40, 0x4000, 0xfff
	if len(data) < header+hash || string(data[:4]) != "DIRC" {
		return nil, false
	}
	version, count := binary.BigEndian.Uint32(data[4:]), binary.BigEndian.Uint32(data[8:])
	if version < 2 || version > 4 {
		return nil, false
	}
	rest := data[header : len(data)-hash]
	var name []byte
	for range count {
		fixed := stat + hash + 2
		if len(rest) < fixed {
			return nil, false
		}
		flags := binary.BigEndian.Uint16(rest[fixed-2:])
		if flags&extended != 0 {
			fixed += 2
		}
		if len(rest) < fixed {
			return nil, false
		}
		text := rest[fixed:]
		if version == 4 {
			strip, n := prefixLength(text)
			if n == 0 || strip > len(name) {
				return nil, false
			}
			name, text, fixed = name[:len(name)-strip], text[n:], fixed+n
		} else {
			name = name[:0]
		}
		end := bytes.IndexByte(text, 0)
		if end < 0 {
			return nil, false
		}
		name = append(name, text[:end]...)
		if int(flags&nameLength) != min(len(name), nameLength) {
			return nil, false // a hash of another length
		}
		size := fixed + end + 1
		if version < 4 {
			size = (fixed + end + 8) &^ 7
		}
		if size > len(rest) {
			return nil, false
		}
		rest = rest[size:]
		if wanted[string(name)] {
			list = append(list, string(name))
		}
	}
	return list, true
}

// prefixLength reads how much of the name before is left out: the variable width that git's offset deltas have.
func prefixLength(b []byte) (value, size int) {
	for i, c := range b {
		if i > 4 {
			break
		}
		if i > 0 {
			value++
		}
		value = value<<7 | int(c&0x7f)
		if c&0x80 == 0 {
			return value, i + 1
		}
	}
	return 0, 0
}
