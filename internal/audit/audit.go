// Package audit keeps the record of a session: one file of JSON lines that shows any edit, cut or reordering.
//
// A record is one line. Its hash is the SHA-256 of the line's own bytes up to the hash, and among them is the hash of
// the record before, so that every record vouches for all that precede it. The last record is a seal. Whoever can
// rewrite the whole file can make a new chain: that shows only with a signing key, or with a hash that was noted
// elsewhere. docs/audit-log.md has the exact bytes.
//
// Records are written in the background and are on disk within 100 ms; Commit waits until they are. Nothing is
// dropped: a writer that is faster than the disk waits. The package knows nothing of boxes and imports none of ours.
package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Version is that of the format.
const Version = 1

const (
	// syncPeriod keeps well under the promise of 100 ms, with room for a slow disk.
	syncPeriod = 50 * time.Millisecond
	// maxQueued bounds the records that wait for the disk; beyond it Append waits, too.
	maxQueued = 4 << 20
)

// Options say how a log is kept.
type Options struct {
	Session string
	Key     ed25519.PrivateKey // signs the seal; nil: no signature
	Secrets *Redactor          // nil: only what looks like a secret is cut
	// Failed is called once, from another goroutine, when the log can no longer be written.
	Failed func(error)
}

// A Log is open for writing. Its methods may be called concurrently.
type Log struct {
	options Options
	path    string
	file    *os.File

	mu      sync.Mutex
	changed *sync.Cond // synced, err or the queue have changed
	queue   []byte
	spare   []byte
	seq     uint64 // of the next record
	last    [sha256.Size]byte
	synced  uint64 // records that are on disk
	urgent  bool   // somebody waits
	sealed  bool
	err     error
	wake    chan struct{}
	done    chan struct{}
}

// ErrClosed says that the log has its seal.
var ErrClosed = errors.New("the log is closed")

// Path is where a session's log is in a directory.
func Path(dir, session string) string { return filepath.Join(dir, session+".jsonl") }

// Create makes the file, which only its owner may read, and which must not exist.
func Create(dir string, o Options) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := Path(dir, o.Session)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syncDir(dir); err != nil {
		f.Close()
		return nil, err
	}
	if o.Secrets == nil {
		o.Secrets = &Redactor{}
	}
	l := &Log{options: o, path: path, file: f, wake: make(chan struct{}, 1), done: make(chan struct{})}
	l.changed = sync.NewCond(&l.mu)
	go l.write()
	return l, nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Path is where the log is.
func (l *Log) Path() string { return l.path }

// Append adds a record. It is on disk within 100 ms, unless the log fails.
func (l *Log) Append(e Event) error {
	_, err := l.append(e, false)
	return err
}

// Commit adds a record and returns when it is on disk: before what it is about takes effect.
func (l *Log) Commit(e Event) error {
	seq, err := l.append(e, true)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.synced <= seq && l.err == nil {
		l.changed.Wait()
	}
	if l.synced > seq {
		return nil
	}
	return l.err
}

func (l *Log) append(e Event, urgent bool) (seq uint64, err error) {
	data, err := encodeEvent(e, l.options.Secrets)
	if err != nil {
		return 0, fmt.Errorf("record %s: %w", e.Type(), err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) > maxQueued && l.err == nil {
		l.changed.Wait()
	}
	return l.add(e.Type(), data, urgent)
}

// add makes the line. The caller holds the lock, so that sequence and chain are one.
func (l *Log) add(kind string, data []byte, urgent bool) (uint64, error) {
	if l.err != nil {
		return 0, l.err
	}
	if l.sealed {
		return 0, ErrClosed
	}
	seq := l.seq
	l.queue, l.last = appendRecord(l.queue, record{seq: seq, time: time.Now(), session: l.options.Session, kind: kind, data: data, prev: l.last})
	l.seq++
	l.urgent = l.urgent || urgent
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return seq, nil
}

// Close seals the log and returns when the seal is on disk.
func (l *Log) Close() error {
	l.mu.Lock()
	if !l.sealed && l.err == nil {
		seal := Seal{Records: l.seq}
		if key := l.options.Key; key != nil {
			seal.PublicKey = key.Public().(ed25519.PublicKey)
			seal.Signature = ed25519.Sign(key, signedBytes(l.options.Session, l.seq, l.last))
		}
		data, err := encodeEvent(seal, l.options.Secrets)
		if err == nil {
			_, err = l.add(seal.Type(), data, true)
		}
		if err != nil {
			l.err = err
		}
	}
	already := l.sealed
	l.sealed = true
	l.mu.Unlock()
	if already {
		<-l.done
		return l.failure()
	}
	close(l.wake)
	<-l.done
	return errors.Join(l.failure(), l.file.Close())
}

func (l *Log) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// signedBytes are what the key signs: where the chain stood when the seal was made.
func signedBytes(session string, records uint64, last [sha256.Size]byte) []byte {
	return fmt.Appendf(nil, "agentbox audit log v%d\n%s\n%d\n%x\n", Version, session, records, last)
}
