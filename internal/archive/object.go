package archive

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// errChanged is that a file is not what it was when it was hashed. What was sent of it is not whole.
var errChanged = errors.New("it changed while it was read")

// An object is a file on its way.
type object struct {
	name    string
	file    *os.File
	size    int64
	changed int64  // when the inode changed last, which only the clock can set back
	sum     string // SHA-256 in hexadecimal, once it is known
	retry   bool   // it may have been sent before
	sending func(sent int64)
	step    func(string) // nil, but in tests
}

// openObject opens a closed log: a file, not what a link leads to.
func openObject(f File) (*object, error) {
	file, err := os.OpenFile(f.Path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		file.Close()
		return nil, os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		file.Close()
		return nil, fmt.Errorf("%s is not a file", f.Path)
	}
	return &object{name: f.Name, file: file, size: st.Size, changed: st.Ctim.Nano()}, nil
}

func (o *object) hash(ctx context.Context) error {
	sum := sha256.New()
	n, err := io.Copy(sum, io.NewSectionReader(cancelled{ctx, o.file}, 0, o.size))
	if err == nil && n != o.size {
		err = errChanged
	}
	o.sum = hex.EncodeToString(sum.Sum(nil))
	return err
}

// cancelled is a file that cannot be read when a context is over.
type cancelled struct {
	ctx context.Context
	io.ReaderAt
}

func (c cancelled) ReadAt(p []byte, at int64) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.ReaderAt.ReadAt(p, at)
}

func (o *object) base64() string {
	sum, err := hex.DecodeString(o.sum)
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(sum)
}

func (o *object) at(step string) {
	if o.step != nil {
		o.step(step)
	}
}

// body reads the object from its beginning.
func (o *object) body() *body { return &body{object: o, sum: sha256.New()} }

// A body gives the last bytes of an object only when all of them have the object's hash: who is sent a file that changes
// meanwhile gets too little of it.
type body struct {
	object *object
	mu     sync.Mutex // an HTTP client may still read when it has an answer
	sum    hash.Hash
	read   int64
	err    error
}

// errOver is that nobody wants the rest of a body.
var errOver = errors.New("the answer is there")

// end stops the reading, and says whether all was read.
func (b *body) end() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil && b.object.size > 0 {
		b.err = errOver
	}
	return b.read == b.object.size
}

// Read reads what comes next.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	if rest := b.object.size - b.read; int64(len(p)) > rest {
		p = p[:rest]
	}
	n, err := b.object.file.ReadAt(p, b.read)
	if n < len(p) {
		if b.err = errChanged; err != nil && !errors.Is(err, io.EOF) {
			b.err = err
		}
		return 0, b.err
	}
	b.sum.Write(p)
	b.read += int64(n)
	if b.read == b.object.size {
		if b.err = b.whole(); b.err != io.EOF { //nolint:errorlint // as io.Reader has it
			return 0, b.err
		}
	}
	b.object.at("sending")
	if b.object.sending != nil {
		b.object.sending(b.read)
	}
	return n, nil
}

// whole is io.EOF for a file that is as it was.
func (b *body) whole() error {
	var more [1]byte
	n, err := b.object.file.ReadAt(more[:], b.object.size)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return err
	case n > 0 || hex.EncodeToString(b.sum.Sum(nil)) != b.object.sum:
		return errChanged
	}
	return io.EOF
}

// failure is why the object could not be read to its end, or nil.
func (b *body) failure() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == io.EOF || b.err == errOver { //nolint:errorlint // as io.Reader has it
		return nil
	}
	return b.err
}

// sameContent reads what an archive has, and compares it with the object.
func (o *object) sameContent(r io.Reader) (presence, error) {
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(r, o.size+1))
	switch {
	case err != nil:
		return unknown, err
	case n == o.size && hex.EncodeToString(sum.Sum(nil)) == o.sum:
		return same, nil
	}
	return other, nil
}
