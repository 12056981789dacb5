package workspace

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Git writes its index anew whenever it has looked at the files: a prompt that shows the state of the repository is
// enough. What git has staged is the same then, and only that counts, for a conflict and for a change.

// maxIndex bounds what is read of a git index: two million files of ordinary names.
const maxIndex = 256 << 20

var errIndex = errors.New("it is not an index that git wrote")

// isIndex reports whether a path, as the profile's rules know it, is a git index.
func isIndex(name string) bool {
	if ok, _ := path.Match(".git/worktrees/*/index", name); ok {
		return true
	}
	return name == ".git/index"
}

// indexNames are the indexes of a project, or of a git directory.
func indexNames(root, as string) []string {
	if as == "" {
		return []string{".git/index"}
	}
	list, _ := filepath.Glob(filepath.Join(escapePattern(root), "worktrees/*/index"))
	names := []string{"index"}
	for _, one := range list {
		if rel, err := filepath.Rel(root, one); err == nil {
			names = append(names, rel)
		}
	}
	return names
}

func escapePattern(s string) string {
	var b bytes.Buffer
	for i := range len(s) {
		if bytes.IndexByte([]byte(`\*?[`), s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// noteIndexes remembers what git had staged when the session began.
func noteIndexes(root, as string) (map[string]string, error) {
	d, err := openDir(root)
	if err != nil {
		return nil, err
	}
	defer d.close()
	out := map[string]string{}
	for _, name := range indexNames(root, as) {
		if sum := d.staged(name); sum != "" {
			out[name] = sum
		}
	}
	return out, nil
}

// staged is a digest of what an index holds apart from what git knows about the files on disk; "" where it cannot be read.
func (d dir) staged(name string) string {
	data, err := d.index(name)
	if err != nil || data == nil {
		return ""
	}
	for _, hash := range hashSizes {
		h := sha256.New()
		if eachEntry(data, hash, func(e entry) {
			_ = binary.Write(h, binary.BigEndian, uint32(len(e.name)))
			h.Write(e.name)
			h.Write(e.mode)
			h.Write(e.object)
			h.Write(e.flags)
		}) {
			return hex.EncodeToString(h.Sum(nil))
		}
	}
	return ""
}

// index reads an index; nil where there is none.
func (d dir) index(name string) ([]byte, error) {
	f, err := d.file(name)
	if gone(err) || errors.Is(err, unix.ELOOP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxIndex+1))
	if err == nil && len(data) > maxIndex {
		err = errIndex
	}
	return data, err
}

// hashSizes are the lengths of an object's name. An index does not say which of them it has.
var hashSizes = []int{20, 32}

// An entry is what an index says of one file, without what git found on disk.
type entry struct{ name, mode, object, flags []byte }

// eachEntry reads an index as gitformat-index(5) has it, and reports whether it is one with objects of this length. What
// an entry refers to is valid until the next.
func eachEntry(data []byte, hash int, visit func(entry)) bool {
	const header, stat, modeAt, extended, nameLength = 12, 40, 24, 0x4000, 0xfff
	if len(data) < header+hash || string(data[:4]) != "DIRC" {
		return false
	}
	version, count := binary.BigEndian.Uint32(data[4:]), binary.BigEndian.Uint32(data[8:])
	if version < 2 || version > 4 {
		return false
	}
	rest := data[header : len(data)-hash]
	var name []byte
	for range count {
		fixed := stat + hash + 2
		if len(rest) < fixed {
			return false
		}
		flags := binary.BigEndian.Uint16(rest[fixed-2:])
		if flags&extended != 0 {
			fixed += 2
		}
		if len(rest) < fixed {
			return false
		}
		e := entry{mode: rest[modeAt : modeAt+4], object: rest[stat : stat+hash], flags: rest[stat+hash : fixed]}
		text := rest[fixed:]
		if version == 4 {
			strip, n := prefixLength(text)
			if n == 0 || strip > len(name) {
				return false
			}
			name, text, fixed = name[:len(name)-strip], text[n:], fixed+n
		} else {
			name = name[:0]
		}
		end := bytes.IndexByte(text, 0)
		if end < 0 {
			return false
		}
		name = append(name, text[:end]...)
		if int(flags&nameLength) != min(len(name), nameLength) {
			return false // a hash of another length
		}
		size := fixed + end + 1
		if version < 4 {
			size = (fixed + end + 8) &^ 7
		}
		if size > len(rest) {
			return false
		}
		rest = rest[size:]
		e.name = name
		visit(e)
	}
	return true
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
