package vm

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// archiveSize is about how much of a tree goes to the machine at once, which has
// to have it in memory twice.
const archiveSize = 16 << 20

// A tree is the content of a machine's disk. What was added first wins. Errors
// are kept until the end.
type tree struct {
	archives [][]byte
	buf      *bytes.Buffer
	tar      *tar.Writer
	has      map[string]bool
	err      error
}

func newTree() *tree {
	t := &tree{has: map[string]bool{"/": true}}
	t.begin()
	return t
}

func (t *tree) begin() {
	t.buf = &bytes.Buffer{}
	t.tar = tar.NewWriter(t.buf)
}

func (t *tree) finish() ([][]byte, error) {
	t.err = errors.Join(t.err, t.tar.Close())
	return append(t.archives, t.buf.Bytes()), t.err
}

// merged is where a path lies in a root in which /bin and its kin are links to
// directories in /usr.
func merged(name string) string {
	first, rest, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	if rest != "" && slices.Contains(mergedDirs, first) {
		return "/usr" + name
	}
	return name
}

var mergedDirs = []string{"bin", "sbin", "lib", "lib64"}

// file adds a file, and the directories above it with the same owner.
func (t *tree) file(name string, f File) {
	content := []byte(f.Text)
	if f.From != "" {
		var err error
		if content, err = os.ReadFile(f.From); err != nil {
			t.err = errors.Join(t.err, err)
			return
		}
	}
	if f.Mode == 0 {
		f.Mode = 0o644
	}
	if !path.IsAbs(name) || path.Clean(name) != name {
		t.err = errors.Join(t.err, fmt.Errorf("the machine's file %q: not a clean absolute path", name))
		return
	}
	t.parents(name, f.UID, f.GID)
	t.add(tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: tarMode(f.Mode), Uid: f.UID, Gid: f.GID},
		bytes.NewReader(content))
}

func (t *tree) parents(name string, uid, gid int) {
	dir := path.Dir(name)
	if !t.has[merged(dir)] {
		t.parents(dir, uid, gid)
		t.dir(dir, 0o755, uid, gid)
	}
}

func (t *tree) dir(name string, mode fs.FileMode, uid, gid int) {
	t.add(tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: tarMode(mode), Uid: uid, Gid: gid}, nil)
}

func (t *tree) link(name, target string) {
	t.parents(name, 0, 0)
	t.add(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, nil)
}

// add adds a file unless the tree has one of its name.
func (t *tree) add(h tar.Header, content io.Reader) {
	h.Name = merged(path.Clean(h.Name))
	if t.err != nil || t.has[h.Name] {
		return
	}
	t.has[h.Name] = true
	t.err = t.tar.WriteHeader(&h)
	if t.err == nil && h.Typeflag == tar.TypeReg {
		_, t.err = io.Copy(t.tar, content)
	}
	if t.err == nil && t.buf.Len() >= archiveSize {
		t.err = t.tar.Close()
		t.archives = append(t.archives, t.buf.Bytes())
		t.begin()
	}
}

func tarMode(mode fs.FileMode) int64 {
	bits := int64(mode.Perm())
	for flag, bit := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if mode&flag != 0 {
			bits |= bit
		}
	}
	return bits
}
