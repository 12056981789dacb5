package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Kept is what there is of a session that has a record, whether it runs or not.
type Kept struct {
	Info      Info            // State is Running, Ended, Lost or Unreadable
	Result    json.RawMessage // nil unless Ended
	Ended     time.Time       // when it did, or gave its last sign of life; zero while it runs
	Size      int64           // bytes of output
	Workspace string          // the directory with what the agent wrote in an overlay; "": there is none
}

// Records lists what is kept, oldest first. What cannot be read is listed all the same, as Unreadable, and is named in
// the error beside the list.
func Records(root string) ([]Kept, error) {
	var list []Kept
	var errs []error
	err := scan(root, func(d dir, name string, held bool) {
		if !ValidID(name) {
			return
		}
		k, err := kept(d, name, held)
		if errors.Is(err, unix.ENOENT) && (held || k.Workspace == "") {
			return // it is just being removed, or was not to its end
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("record of session %s: %w", name, err))
			k.Info.ID, k.Info.State = name, Unreadable
		}
		list = append(list, k)
	})
	slices.SortFunc(list, func(a, b Kept) int { return a.Info.compare(b.Info) })
	return list, errors.Join(append(errs, err)...)
}

// kept reads a record. With an error, what does not depend on its texts is there all the same.
func kept(d dir, name string, held bool) (Kept, error) {
	var k Kept
	err := k.weigh(d)
	if err != nil {
		return k, err
	}
	if k.Info, err = readInfo(d, name); err != nil {
		return k, err
	}
	result, err := d.readFile(ResultFile, maxInfo)
	switch {
	case err == nil && json.Valid(result):
		k.Result, k.Info.State = result, Ended
	case err == nil:
		return k, fmt.Errorf("%s is not JSON", filepath.Join(d.path, ResultFile))
	case !errors.Is(err, unix.ENOENT):
		return k, err
	case held:
		k.Info.State, k.Ended = Running, time.Time{}
	default:
		k.Info.State = Lost
	}
	return k, nil
}

// weigh looks at what there is in a record, and when it was written.
func (k *Kept) weigh(d dir) error {
	names, err := d.names()
	if err != nil {
		return err
	}
	var result time.Time
	for _, name := range names {
		var st unix.Stat_t
		if unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue // it is just being replaced or removed
		}
		written := time.Unix(st.Mtim.Unix())
		if written.After(k.Ended) {
			k.Ended = written
		}
		_, segment := segmentNumber(name)
		switch {
		case segment:
			k.Size += st.Size
		case name == WorkspaceDir:
			k.Workspace = filepath.Join(d.path, name)
		case name == ResultFile:
			result = written
		}
	}
	if !result.IsZero() {
		k.Ended = result
	}
	return nil
}

func segmentsOf(d dir) ([]int, error) {
	names, err := d.names()
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, name := range names {
		if n, ok := segmentNumber(name); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// A Reader reads kept output from its beginning, frame by frame, and may run along with its writer.
type Reader struct {
	dir    dir
	number int
	at     int64
	file   *os.File
	ragged bool // what comes first is the rest of a line
	// end is how far the output goes, and what is closed when there is more; nil says that there will be none.
	end func() (number int, size int64, more <-chan struct{})
}

// OpenOutput reads what is there of a session's output. Close frees it.
func OpenOutput(root, id string) (*Reader, error) {
	if !ValidID(id) {
		return nil, fmt.Errorf("%w: %q is not a session ID", ErrNotFound, id)
	}
	d, err := openDir(filepath.Join(root, id))
	if err != nil {
		return nil, fmt.Errorf("record of session %s: %w", id, missing(err))
	}
	r := &Reader{dir: d}
	r.end = func() (int, int64, <-chan struct{}) {
		numbers, err := segmentsOf(d)
		if err != nil || len(numbers) == 0 {
			return 0, 0, nil
		}
		last := numbers[len(numbers)-1]
		var st unix.Stat_t
		if unix.Fstatat(d.fd, segmentName(last), &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			return last, 0, nil
		}
		return last, st.Size, nil
	}
	return r, nil
}

// Reader reads the output from its beginning and waits for what comes. Close frees it.
func (r *Record) Reader() (*Reader, error) {
	fd, err := unix.FcntlInt(uintptr(r.session.dir.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &Reader{dir: dir{fd, r.session.dir.path}, end: func() (int, int64, <-chan struct{}) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.ended {
			return r.number, r.size, nil
		}
		return r.number, r.size, r.changed
	}}, nil
}

// Close frees the reader.
func (r *Reader) Close() {
	if r.file != nil {
		r.file.Close()
	}
	r.dir.close()
}

// Next returns the next frame: Stdout, Stderr, or a Note about what is missing. It waits for one while the session
// runs, if that is known; io.EOF says that there is no more.
func (r *Reader) Next(ctx context.Context) (Frame, error) {
	for {
		last, size, more := r.end()
		if r.number > last || r.number == last && r.at >= size {
			if more == nil {
				return Frame{}, io.EOF
			}
			select {
			case <-more:
				continue
			case <-ctx.Done():
				return Frame{}, ctx.Err()
			}
		}
		if r.file == nil {
			skipped, err := r.openNext()
			if skipped > 0 || err != nil {
				return Frame{Note, fmt.Appendf(nil, "some %d MiB of output were not kept", skipped*segmentSize>>20)}, err
			}
		}
		f, err := readFrame(io.NewSectionReader(r.file, r.at, maxFrame+headerSize))
		switch {
		case err == nil:
			r.at += headerSize + int64(len(f.Data))
			return r.wholeLine(f), nil
		case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return Frame{}, fmt.Errorf("%s: %w", r.file.Name(), err)
		case r.number == last: // in half a frame, when the writer was killed
			return Frame{}, io.EOF
		}
		r.file.Close()
		r.file, r.number, r.at = nil, r.number+1, 0
	}
}

// openNext opens the segment that is due, or the next one that was kept, and says how many there are not.
func (r *Reader) openNext() (skipped int, err error) {
	wanted := r.number
	for {
		fd, err := r.dir.file(segmentName(r.number), unix.O_RDONLY)
		if err == nil {
			r.file = os.NewFile(uintptr(fd), filepath.Join(r.dir.path, segmentName(r.number)))
			return r.number - wanted, nil
		}
		if !errors.Is(err, unix.ENOENT) {
			return 0, err
		}
		numbers, lerr := segmentsOf(r.dir)
		next := slices.IndexFunc(numbers, func(n int) bool { return n > r.number })
		if lerr != nil || next < 0 {
			return 0, errors.Join(err, lerr)
		}
		r.number = numbers[next]
	}
}

// A place is where a frame begins.
type place struct {
	number int
	at     int64
	size   int64 // of the frame's data
	ragged bool  // the frame begins in the middle of a line
}

// SkipTo moves a fresh reader forward, so that about as many bytes as given are left of what is there now, and a line
// begins if there is one. A negative number leaves all.
func (r *Reader) SkipTo(left int64) error {
	if left < 0 {
		return nil
	}
	last, size, _ := r.end()
	scan := Reader{dir: r.dir, number: last, end: func() (int, int64, <-chan struct{}) { return last, size, nil }}
	if size < left && last > 0 {
		scan.number = last - 1
	}
	defer func() {
		if scan.file != nil {
			scan.file.Close()
		}
	}()
	var places []place
	total, ragged := int64(0), scan.number > 0
	for {
		f, err := scan.Next(context.Background())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		n := int64(len(f.Data))
		places = append(places, place{scan.number, scan.at - n - headerSize, n, ragged})
		ragged = !bytes.HasSuffix(f.Data, []byte("\n"))
		for total += n; len(places) > 1 && total-places[0].size >= left; places = places[1:] {
			total -= places[0].size
		}
	}
	if len(places) > 0 {
		r.number, r.at, r.ragged = places[0].number, places[0].at, places[0].ragged
	}
	return nil
}

// wholeLine cuts the rest of a line off the first frame after SkipTo.
func (r *Reader) wholeLine(f Frame) Frame {
	if i := bytes.IndexByte(f.Data, '\n'); r.ragged && i >= 0 {
		f.Data = f.Data[i+1:]
	}
	r.ragged = false
	return f
}
