// Package audit keeps the record of a session: one file of JSON lines that shows any edit, cut or reordering.
//
// A record is one line. Its hash is the SHA-256 of the line's own bytes up to the hash, and among them is the hash of
// the record before, so that every record vouches for all that precede it. The last record is a seal. With a key, the
// seal is signed, and so are checkpoints on the way. Whoever can rewrite the whole file can make a new chain: that shows
// only with a key that they do not have, or with a hash that was noted elsewhere. docs/audit-log.md has the exact bytes.
//
// One goroutine writes. A record leaves the process within milliseconds and is on disk within 100 ms; Commit waits until
// it is, Through until it has left. Nothing is dropped: who is faster than the disk waits. When the file cannot be written, the log ends at the last
// whole record, every further call returns the error, and Options.Failed is told once.
//
// What goes into a record may come from an agent that means harm. It can be any bytes, is written as printable ASCII,
// and is cut beyond a size, with its length and hash kept. Secrets are replaced before that: those a Redactor was told,
// and what has the shape of a known token. A secret that nobody named and that looks like nothing in particular stays.
//
// What people decide when a session is over goes into further parts of its log: see Continue. Each begins with a record that
// binds to the last one of the part before, and has its own seal.
//
// A log that grows is closed at Options.Rotate bytes and goes on in another file; closed files are compressed. One chain goes
// through all of them, and whoever reads a log reads them all: see OpenAll. Upkeep removes logs that are old, whole ones only,
// and says so in a log of its own before it does.
//
// The package knows nothing of boxes and imports none of ours. To add a type of record: write its struct in a file of
// events with a Type method, add it to events, and run the tests with -update, which describes it in
// docs/audit-log.schema.json.
package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// Version is that of the format.
const Version = 1

// maxQueued bounds the records that wait for the file; beyond it Append waits, too.
const maxQueued = 1 << 20

// Options say how a log is kept.
type Options struct {
	Session string
	Key     ed25519.PrivateKey // signs the seal and the checkpoints; nil: no signature
	Secrets *Redactor          // nil: only what looks like a secret is cut
	Rotate  int64              // bytes of a file behind which the log goes on in another one; 0: never
	// Failed is called once, from another goroutine, when the log can no longer be written.
	Failed func(error)

	signs bool         // a further part of a signed log wants a key
	step  func(string) // see store
}

// A Log is open for writing. Its methods may be called concurrently.
type Log struct {
	options Options
	path    string
	file    file
	encoder encoder
	opened  time.Time

	filing sync.Mutex // of the file's end; taken before mu
	writer *writer

	mu      sync.Mutex
	changed *sync.Cond // synced, err or the queue have changed
	queue   []byte
	seq     uint64 // of the next record
	last    [sha256.Size]byte
	synced  uint64    // records that are on disk
	signed  uint64    // the sequence number after the last signature
	size    int64     // of the file, when it was opened
	number  int       // of the file, once it is closed
	chained int64     // bytes of that file, those in the queue among them
	cuts    []fileEnd // where the queue goes on in another file
	at      time.Time // of the last signature
	urgent  bool      // somebody waits for a record
	flooded bool      // the queue is better written now
	gathers bool      // the writer waits for more, and looks by itself in a while
	sealed  bool
	err     error
	broken  error // of a write, which err is going to be
	wake    chan struct{}
	done    chan struct{}
	packs   packs
}

// ErrClosed says that the log has its seal.
var ErrClosed = errors.New("the log is closed")

// Path is where the log is.
func (l *Log) Path() string { return l.path }

// Append adds a record. It is on disk within 100 ms, unless the log fails.
func (l *Log) Append(e Event) error {
	_, err := l.append(e, false)
	return err
}

// Commit adds a record and returns when it is on disk: before what it is about takes effect.
func (l *Log) Commit(e Event) error { return l.Submit(e).Wait() }

// Submit adds a record and has it brought to disk at once, but does not wait: the disk may work while the caller
// prepares what the record is about. The caller must Wait before that takes effect.
func (l *Log) Submit(e Event) Receipt {
	seq, err := l.append(e, true)
	return Receipt{log: l, seq: seq, err: err}
}

// A Receipt is for a record that is on its way to disk. The zero value stands for no record, and is an error.
type Receipt struct {
	log *Log
	seq uint64
	err error
}

// Wait returns when the record is on disk, or cannot be.
func (r Receipt) Wait() error {
	if r.err != nil {
		return r.err
	}
	if r.log == nil {
		return errors.New("no record was submitted")
	}
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.synced <= r.seq && l.err == nil {
		l.changed.Wait()
	}
	if l.synced > r.seq {
		return nil
	}
	return l.err
}

func (l *Log) append(e Event, urgent bool) (seq uint64, err error) {
	buf := l.encoder.buffer()
	defer l.encoder.free(buf)
	if *buf, err = l.encoder.append((*buf)[:0], e); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) > maxQueued && l.err == nil {
		l.changed.Wait()
	}
	if l.err != nil {
		return 0, l.err
	}
	if l.sealed {
		return 0, ErrClosed
	}
	seq = l.add(e.Type(), *buf)
	if l.options.Key != nil && l.seq-l.signed >= checkpointEvery {
		err = l.sign(&Checkpoint{})
	}
	if err == nil && l.options.Rotate > 0 && l.chained >= l.options.Rotate {
		err = l.turn()
	}
	l.rouse(urgent)
	return seq, err
}

// add makes the line. The caller holds the lock, so that sequence and chain are one.
func (l *Log) add(kind string, data []byte) (seq uint64) {
	now, before := time.Now(), len(l.queue)
	l.queue, l.last = appendRecord(l.queue, record{seq: l.seq, time: now, elapsed: now.Sub(l.opened),
		session: l.options.Session, kind: kind, data: data, prev: l.last})
	l.seq++
	l.chained += int64(len(l.queue) - before)
	return l.seq - 1
}

func (l *Log) rouse(urgent bool) {
	l.urgent = l.urgent || urgent
	l.flooded = l.flooded || len(l.queue) > maxQueued/4
	if l.gathers && !l.urgent && !l.flooded && !l.sealed {
		return // to wake it for every record would cost more than the record
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Close seals the log and returns when the seal is on disk. A log that failed gets no seal; Close returns why.
func (l *Log) Close() error {
	l.mu.Lock()
	var unsigned error
	if !l.sealed && l.err == nil {
		unsigned = l.sign(&Seal{})
	}
	l.sealed = true
	l.rouse(true)
	l.mu.Unlock()
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(unsigned, l.err)
}
