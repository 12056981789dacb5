package audit

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"path/filepath"
	"time"
)

// pollTime is how long a growing log is left alone: a file system that has no inotify is no special case then.
const pollTime = 100 * time.Millisecond

// Follow is Read of a log that is still written. It ends after a seal behind which no further part stands; a log whose
// writer died has none, so that the caller must end ctx, which is not an error.
func Follow(ctx context.Context, path string, f Filter) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		file, err := follow(path)
		if err != nil {
			yield(Record{}, err)
			return
		}
		defer file.Close()
		lines := newLines(file)
		timer := time.NewTimer(pollTime)
		defer timer.Stop()
		sealed := false
		for {
			line, err := lines.next()
			if !errors.Is(err, io.EOF) {
				r, more := emit(line, err, f, yield)
				if !more {
					return
				}
				sealed = string(r.Type) == (Seal{}).Type()
				if ctx.Err() == nil {
					continue
				}
			}
			if sealed {
				return
			}
			timer.Reset(pollTime)
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
		}
	}
}

// A follower reads a log's files one after the other, also when they are closed, compressed and begun meanwhile. Where
// nothing is to be had for now it says io.EOF, and can be asked again.
type follower struct {
	dir     string
	session string
	number  int // of the file that is read, once it is closed
	now     io.ReadCloser
	closed  bool // nothing more comes to it
}

// follow begins to read the log that path names.
func follow(path string) (io.ReadCloser, error) {
	dir, base := filepath.Split(path)
	session, _, _, ok := parseName(base)
	if !ok {
		return Open(path)
	}
	files, err := find(dir, session)
	if err != nil {
		return nil, err
	}
	f := &follower{dir: dir, session: session, number: 1}
	if len(files.Files) > 0 && files.Files[0].Number > 0 {
		f.number = files.Files[0].Number // not 1 where somebody removed those before
	}
	if err := f.open(); err != nil {
		return nil, err
	}
	return f, nil
}

// open opens the next file: under the name of a closed one, or else the one that is written. That one was not closed
// before it was opened if it is not now, so that no file is left out.
func (f *follower) open() error {
	name := closedName(f.session, f.number)
	for {
		in, err := openClosed(f.dir, name)
		if !errors.Is(err, fs.ErrNotExist) {
			f.now, f.closed = in, true
			return err
		}
		live, err := Open(Path(f.dir, f.session))
		if err != nil {
			return err
		}
		if !f.isClosed() {
			f.now, f.closed = live, false
			return nil
		}
		live.Close()
	}
}

func (f *follower) isClosed() bool {
	in, err := openClosed(f.dir, closedName(f.session, f.number))
	if err == nil {
		in.Close()
	}
	return !errors.Is(err, fs.ErrNotExist)
}

func (f *follower) Read(p []byte) (int, error) {
	for {
		if f.now == nil {
			if err := f.open(); errors.Is(err, fs.ErrNotExist) {
				return 0, io.EOF // it is about to be made
			} else if err != nil {
				return 0, err
			}
		}
		n, err := f.now.Read(p)
		if n > 0 {
			return n, nil
		}
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return 0, err
		case f.closed:
			f.now.Close()
			f.now, f.number = nil, f.number+1
		case f.isClosed():
			f.closed = true // what came before that is still to be read
		default:
			return 0, io.EOF
		}
	}
}

func (f *follower) Close() error {
	if f.now == nil {
		return nil
	}
	return f.now.Close()
}
