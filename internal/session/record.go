package session

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Names in a record's directory.
const (
	ResultFile   = "result"    // how the session ended; it is there once it has
	WorkspaceDir = "workspace" // what the agent wrote in an overlay, until it is applied or discarded
)

// The bounds of what is kept. A session's output is a row of segments, of which the first and the last stay.
const (
	segmentPrefix = "output."
	segmentSize   = 1 << 20
	keptSegments  = 8
	keptRecords   = 100
)

// A Record keeps what outlives a session: its description and its result, the output of a detached one, and what the
// agent wrote in an overlay. It is a directory beside those of other sessions, locked while the supervisor lives, and
// readable afterwards. Everything in it is this user's alone.
//
// Of the output the first mebibyte and the last seven stay. Of the records the newest hundred stay, and all in which an
// overlay waits for a decision.
type Record struct {
	session *Session // the directory and its lock
	part    string   // the directory's name until Publish

	mu      sync.Mutex
	file    int // the segment that is being written
	number  int
	size    int64
	lost    int64 // bytes that could not be kept
	why     error
	ended   bool
	changed chan struct{} // closed at the next change
}

// RecordRoot returns the directory of the records, sessions below agentbox's state directory, and makes it.
func RecordRoot(state string) (string, error) {
	base := filepath.Dir(state)
	if err := os.MkdirAll(base, 0o700); err != nil {
		return "", fmt.Errorf("state directory: %w", err)
	}
	return makeBelow(base, filepath.Base(state), "sessions")
}

// NewRecord makes a record that has no ID yet, and removes the oldest ones where there are too many.
func NewRecord(root string) (*Record, error) {
	forget(root)
	for range createAttempts {
		r, err := openDir(root)
		if err != nil {
			return nil, fmt.Errorf("state directory: %w", err)
		}
		name := partPrefix + NewID()
		s, err := lockNew(r, name)
		if errors.Is(err, errSwept) {
			r.close()
			continue
		}
		if err != nil {
			r.close()
			return nil, fmt.Errorf("state directory: %w", err)
		}
		s.id = name
		return &Record{session: s, part: name, changed: make(chan struct{}), file: -1}, nil
	}
	return nil, fmt.Errorf("state directory: another process keeps emptying %s", root)
}

// HoldRecord takes the record of a session that has ended, so that no other process decides about it meanwhile. While
// the session runs, or another process holds the record, it gives ErrRunning.
func HoldRecord(root, id string) (*Record, error) {
	s, err := Claim(root, id)
	if err != nil {
		return nil, err
	}
	return &Record{session: s, changed: make(chan struct{}), file: -1}, nil
}

// KeepOutput begins to keep output. It comes before the first Append.
func (r *Record) KeepOutput() error { return r.open(0) }

// Dir returns the record's directory. Publish changes it.
func (r *Record) Dir() string { return r.session.Dir() }

// forget removes records that nobody finished and the oldest of those that somebody did. One that cannot be removed
// is left to the next.
func forget(root string) {
	names, err := Stale(root)
	if err != nil {
		return
	}
	var ended []string
	for _, name := range names {
		_, err := os.Lstat(filepath.Join(root, name, WorkspaceDir))
		switch {
		case err == nil && ValidID(name): // somebody may want it
		case ValidID(name):
			ended = append(ended, name)
		default:
			_ = Remove(root, name)
		}
	}
	for len(ended) >= keptRecords { // IDs sort by age
		_ = Remove(root, ended[0])
		ended = ended[1:]
	}
}

// Publish gives the record the session's ID and description; from then on it is listed. Called again it replaces the
// description.
func (r *Record) Publish(info Info) error {
	if err := info.complete(); err != nil {
		return err
	}
	s := r.session
	if s.id == info.ID {
		return s.Update(func(i *Info) { *i = info.clone() })
	}
	s.info, s.id = info.clone(), info.ID
	if err := s.publish(r.part); err != nil {
		s.id = r.part
		return fmt.Errorf("record of session %s: %w", info.ID, err)
	}
	return nil
}

func segmentName(number int) string { return fmt.Sprintf("%s%d", segmentPrefix, number) }

func segmentNumber(name string) (int, bool) {
	text, ok := strings.CutPrefix(name, segmentPrefix)
	n := 0
	_, err := fmt.Sscanf(text, "%d", &n)
	return n, ok && err == nil && segmentName(n) == name
}

// open begins a segment.
func (r *Record) open(number int) error {
	file, err := r.session.dir.file(segmentName(number), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_APPEND)
	if err != nil {
		return err
	}
	r.closeFile()
	r.file, r.number, r.size = file, number, 0
	return nil
}

// Append keeps a piece of output. What cannot be kept is counted, and named in the output once there is room.
func (r *Record) Append(kind Kind, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lost > 0 && r.write(r.lossNote()) == nil {
		r.lost = 0
	}
	if err := r.write(Frame{kind, data}); err != nil {
		r.lost += int64(len(data))
		r.why = err
	}
	r.announce()
}

func (r *Record) lossNote() Frame {
	return Frame{Note, fmt.Appendf(nil, "%d bytes of output could not be kept: %v", r.lost, errors.Unwrap(r.why))}
}

// announce wakes those who wait for more.
func (r *Record) announce() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *Record) write(f Frame) error {
	data := f.appendTo(make([]byte, 0, headerSize+len(f.Data)))
	if r.size > 0 && r.size+int64(len(data)) > segmentSize {
		if err := r.open(r.number + 1); err != nil {
			return err
		}
		if old := r.number - keptSegments + 1; old > 0 {
			_ = r.session.dir.remove(segmentName(old)) // Readers skip it; forget takes it with the rest
		}
	}
	path := filepath.Join(r.session.dir.path, segmentName(r.number))
	n, err := unix.Write(r.file, data)
	if err == nil && n < len(data) {
		err = unix.ENOSPC
	}
	if err != nil {
		if n > 0 { // half a frame would hide those that follow
			err = errors.Join(err, unix.Ftruncate(r.file, r.size))
		}
		return &os.PathError{Op: "write", Path: path, Err: err}
	}
	r.size += int64(len(data))
	return nil
}

// End keeps the result. Nothing may be appended afterwards.
func (r *Record) End(result []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lost > 0 {
		_ = r.write(r.lossNote())
	}
	err := r.session.dir.replaceFile(ResultFile, result)
	r.ended = true
	r.announce()
	return err
}

// Discard removes the record.
func (r *Record) Discard() error {
	r.closeFile()
	return r.session.Close()
}

func (r *Record) closeFile() {
	if r.file >= 0 {
		unix.Close(r.file)
	}
	r.file = -1
}

// Close releases the record and leaves it in place.
func (r *Record) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closeFile()
	s := r.session
	s.mu.Lock()
	defer s.mu.Unlock()
	unix.Close(s.lock)
	s.lock = -1
	s.dir.close()
	s.root.close()
}
