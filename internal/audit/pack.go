package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"runtime"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// maxWindow bounds what is held of a compressed file while it is read. The encoder's own window is 8 MiB at most.
const maxWindow = 8 << 20

// An unpacker reads a compressed file. However much a file that somebody made claims to hold, no more than a window of it
// is in memory.
type unpacker struct {
	file io.Closer
	name string
	zstd *zstd.Decoder
}

func unpack(f io.ReadCloser, name string) (io.ReadCloser, error) {
	d, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxWindow),
		zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		f.Close()
		return nil, &damagedError{name, err}
	}
	return &unpacker{file: f, name: name, zstd: d}, nil
}

// Read tells a file that is not as it was written from one that cannot be read.
func (u *unpacker) Read(p []byte) (int, error) {
	n, err := u.zstd.Read(p)
	var failed *os.PathError
	if err != nil && !errors.Is(err, io.EOF) && !errors.As(err, &failed) {
		err = &damagedError{u.name, err}
	} else if errors.Is(err, io.ErrUnexpectedEOF) {
		err = &damagedError{u.name, err}
	}
	return n, err
}

func (u *unpacker) Close() error {
	u.zstd.Close()
	return u.file.Close()
}

// pack compresses a closed file. At whichever step it is cut off, the file is there once or in both forms, of which the
// plain one counts; what is not finished has a hidden name. One that another process is at, or that is packed already, is
// left alone. Where both forms are there and hold different things, both stay: one of them is not what was written.
func (s *store) pack(ctx context.Context, name string) error {
	plain, err := s.openToLock(name)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer plain.Close()
	if err := lock(plain); err != nil {
		if errors.Is(err, ErrBusy) {
			return nil
		}
		return err
	}
	if same, err := s.names(name, plain); err != nil || !same {
		return err // who held it before has packed it
	}
	packed := packedForm(name)
	if err = s.free(packed); err == nil {
		err = s.makePacked(ctx, plain, name, packed)
	} else if errors.Is(err, unix.EEXIST) {
		if err = s.agree(ctx, plain, packed); err != nil {
			err = fmt.Errorf("%s and %s: %w; both stay", name, packed, err)
		}
	}
	if err != nil {
		return err
	}
	s.at("packed")
	if err := s.dir.Sync(); err != nil {
		return err
	}
	s.at("packed for good")
	err = s.remove(name)
	s.at("unpacked removed")
	return err
}

// makePacked makes a file's compressed form under its own name.
func (s *store) makePacked(ctx context.Context, plain *os.File, name, packed string) error {
	part := partName(packed)
	if err := s.compress(ctx, plain, part); err != nil {
		return errors.Join(fmt.Errorf("compress %s: %w", name, err), s.remove(part))
	}
	s.at("compressed")
	if err := s.rename(part, packed); err != nil {
		return errors.Join(err, s.remove(part))
	}
	return nil
}

// agree reads both forms of a file. A compressed one that has its name was whole before it got it.
func (s *store) agree(ctx context.Context, plain *os.File, packed string) error {
	sum := sha256.New()
	size, err := copyCalmly(ctx, sum, plain)
	if err != nil {
		return err
	}
	return s.compare(ctx, packed, size, sum)
}

// compress writes a file's compressed form to disk and reads it back.
func (s *store) compress(ctx context.Context, plain *os.File, part string) error {
	if err := s.remove(part); err != nil {
		return err
	}
	out, err := s.create(part)
	if err != nil {
		return err
	}
	defer out.Close()
	s.at("part begun")
	z, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithEncoderCRC(true), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return err
	}
	sum := sha256.New()
	size, err := copyCalmly(ctx, io.MultiWriter(z, sum), plain)
	if err := errors.Join(err, z.Close()); err != nil {
		return err
	}
	st, err := plain.Stat()
	if err != nil {
		return err
	}
	when := unix.NsecToTimespec(st.ModTime().UnixNano()) // its age is that of its records
	if err := unix.UtimesNanoAt(int(s.dir.Fd()), part, []unix.Timespec{when, when}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	s.at("part on disk")
	return s.compare(ctx, part, size, sum)
}

var errOtherForm = errors.New("the compressed form reads as something else")

// compare reads a compressed file back: nothing is removed for one that does not hold the same.
func (s *store) compare(ctx context.Context, part string, size int64, sum hash.Hash) error {
	f, err := s.open(part)
	if err != nil {
		return err
	}
	in, err := unpack(f, part)
	if err != nil {
		return err
	}
	defer in.Close()
	again := sha256.New()
	n, err := copyCalmly(ctx, again, in)
	if err != nil {
		return err
	}
	if n != size || string(again.Sum(nil)) != string(sum.Sum(nil)) {
		return errOtherForm
	}
	return nil
}

// copyCalmly is io.Copy that ends with its context.
func copyCalmly(ctx context.Context, to io.Writer, from io.Reader) (n int64, err error) {
	buf := make([]byte, 128<<10)
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		got, err := from.Read(buf)
		if _, werr := to.Write(buf[:got]); werr != nil {
			return n, werr
		}
		n += int64(got)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// calm gives this goroutine a thread of its own that yields to all others, for processor and disk; both are hints. The
// thread ends with the goroutine, because nothing unlocks it.
func calm() {
	runtime.LockOSThread()
	const ofThread, lowest = 1, 2<<13 | 7 // IOPRIO_WHO_PROCESS, the last of best effort; ioprio_set(2)
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 19)
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ofThread, 0, lowest)
}
