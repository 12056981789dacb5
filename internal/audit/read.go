package audit

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxLine bounds what is held of one line; no record is as long.
const maxLine = 4 << 20

var errLong = errors.New("the line is longer than a record can be")

// A Filter chooses records. The zero value chooses all.
type Filter struct {
	Types []string  // any of these, or of a group of types, such as "session"
	Since time.Time // not before
	Until time.Time // before; zero: no bound
	First uint64    // not before this sequence number
	Last  uint64    // not after; 0: no bound
}

func (f Filter) match(r Record) bool {
	kind := func(t string) bool {
		return t == string(r.Type) || strings.HasPrefix(string(r.Type), t+".")
	}
	return (len(f.Types) == 0 || slices.ContainsFunc(f.Types, kind)) &&
		!r.Time.Before(f.Since) && (f.Until.IsZero() || r.Time.Before(f.Until)) &&
		r.Seq >= f.First && (f.Last == 0 || r.Seq <= f.Last)
}

// Records reads a log's whole records, one after the other. A line that is not a record, or not as it was written,
// ends them with an error; a record that was being written when the writer died is left out.
func Records(r io.Reader) iter.Seq2[Record, error] { return Read(r, Filter{}) }

// Read is Records for those that a filter chooses.
func Read(r io.Reader, f Filter) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		lines := newLines(r)
		for {
			line, err := lines.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if _, more := emit(line, err, f, yield); !more {
				return
			}
		}
	}
}

// emit passes a line on, if it is chosen; more is false when nothing may follow.
func emit(line []byte, err error, f Filter, yield func(Record, error) bool) (r Record, more bool) {
	if err == nil {
		r, err = parse(line)
	}
	if err != nil {
		yield(Record{}, err)
		return r, false
	}
	if !f.match(r) {
		return r, true
	}
	r.line, r.Data = string(line), bytes.Clone(r.Data)
	return r, yield(r, nil)
}

// Open opens one file to read it: a regular file, never a device or a pipe that was put in its place.
func Open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: path, Err: errors.New("it is not a regular file")}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// lines reads a file line by line, and can go on where a file ended that has grown since.
type lines struct {
	r    *bufio.Reader
	part []byte // of a line that did not fit the reader's buffer, or is not whole
	line []byte // is one that was returned
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, 64<<10)} }

// next returns a line without its newline, which is only lent until the next call. The end of the file is io.EOF, also
// where torn bytes stand there.
func (l *lines) next() ([]byte, error) {
	if l.line != nil {
		l.part, l.line = l.part[:0], nil
	}
	for {
		chunk, err := l.r.ReadSlice('\n')
		if len(l.part)+len(chunk) > maxLine {
			return nil, errLong
		}
		if err == nil && len(l.part) == 0 {
			return chunk[:len(chunk)-1], nil
		}
		l.part = append(l.part, chunk...)
		if err == nil {
			l.line = l.part[:len(l.part)-1]
			return l.line, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}

// torn is how many bytes stand after the last newline.
func (l *lines) torn() int { return len(l.part) }
