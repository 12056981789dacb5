package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	// gatherTime lets records gather, so that one write serves many.
	gatherTime = 5 * time.Millisecond
	// syncTime keeps well under the promise of 100 ms, with room for a slow disk.
	syncTime = 50 * time.Millisecond
)

// A writer brings the queue of a log to its file. Whoever writes has the log's filing lock; its goroutine alone does
// everything else to the file.
type writer struct {
	log     *Log
	spare   []byte
	size    int64     // of the file, in whole records
	written uint64    // records in the file, on disk or not
	dirty   time.Time // when the first of them that is not on disk was written; zero when all are
	timer   *time.Timer
}

// begin starts the writer.
func (l *Log) begin() {
	l.writer = &writer{log: l, size: l.size, timer: time.NewTimer(time.Hour)}
	go l.write()
}

// write runs until the log is closed or fails.
func (l *Log) write() {
	w := l.writer
	defer w.timer.Stop()
	err := w.run()
	if err != nil {
		l.fail(err)
	}
	l.packs.end() // while the file is locked: nobody takes the log for one that is over
	if closed := l.file.Close(); err == nil && closed != nil {
		l.fail(closed)
	}
	close(l.done)
}

func (w *writer) run() error {
	for {
		b, due, err := w.next()
		if err != nil {
			return err
		}
		if due > 0 {
			if err := w.log.file.Sync(); err != nil {
				return err
			}
			w.log.reached(due)
		}
		if b.last {
			return nil
		}
		w.wait()
	}
}

// next writes what waits. due is the sequence number after what is to be brought to disk now, or 0: others may write while
// the disk works.
func (w *writer) next() (b batch, due uint64, err error) {
	w.log.filing.Lock()
	defer w.log.filing.Unlock()
	if b, err = w.log.take(w.spare); err == nil {
		err = w.put(b)
	}
	if err != nil {
		w.log.breaks(err)
	}
	if !w.dirty.IsZero() && (b.urgent || b.last || time.Since(w.dirty) >= syncTime) {
		w.dirty, due = time.Time{}, w.written
	}
	return b, due, err
}

// put writes a batch. What a failure leaves of it is cut back to whole records: half of one would read as a crash.
func (w *writer) put(b batch) error {
	w.spare = b.lines
	if cap(w.spare) > 2*maxQueued { // one record was huge
		w.spare = nil
	}
	if len(b.lines) == 0 {
		return nil
	}
	done := 0
	for _, c := range b.cuts {
		if err := w.lines(b.lines[done:c.at], c.upTo); err != nil {
			return err
		}
		if err := w.rotate(c); err != nil {
			return err
		}
		done = c.at
	}
	return w.lines(b.lines[done:], b.upTo)
}

// lines writes whole records to one file.
func (w *writer) lines(lines []byte, upTo uint64) error {
	n, err := w.log.file.Write(lines)
	if err != nil {
		w.size += int64(bytes.LastIndexByte(lines[:n], '\n') + 1)
		return errors.Join(err, w.log.file.Truncate(w.size))
	}
	w.size += int64(n)
	w.written = upTo
	if w.dirty.IsZero() {
		w.dirty = time.Now()
	}
	return nil
}

// sync brings to disk what was written, while nobody else writes.
func (w *writer) sync() error {
	if err := w.log.file.Sync(); err != nil {
		return err
	}
	w.dirty = time.Time{}
	w.log.reached(w.written)
	return nil
}

// wait returns when there is something to do: a while after a record came, at once where somebody waits for one, and
// when what was written must go to disk.
func (w *writer) wait() {
	if at, ok := w.deadline(); !ok {
		<-w.log.wake
	} else {
		w.timer.Reset(time.Until(at))
		select {
		case <-w.log.wake:
		case <-w.timer.C:
			return
		}
	}
	w.timer.Reset(gatherTime)
	for !w.log.gather() {
		select {
		case <-w.log.wake:
		case <-w.timer.C:
			w.log.gathered()
			return
		}
	}
}

// gather reports that what there is must not wait for more; until it does, or gathered is called, records wake nobody
// that can wait.
func (l *Log) gather() (hurry bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	hurry = l.urgent || l.flooded || l.sealed
	l.gathers = !hurry
	return hurry
}

func (l *Log) gathered() {
	l.mu.Lock()
	l.gathers = false
	l.mu.Unlock()
}

// deadline is when the writer must act even if nothing happens.
func (w *writer) deadline() (time.Time, bool) {
	w.log.filing.Lock()
	dirty := w.dirty
	w.log.filing.Unlock()
	if !dirty.IsZero() {
		return dirty.Add(syncTime), true
	}
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	return w.log.nextCheckpoint()
}

// A batch is what the writer takes at once.
type batch struct {
	lines  []byte
	cuts   []fileEnd
	upTo   uint64 // the sequence number after the last of them
	urgent bool   // somebody waits; a flood is no reason to sync, only to write
	last   bool   // with the seal
}

// take exchanges the queue for an empty buffer.
func (l *Log) take(spare []byte) (b batch, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return b, l.broken
	}
	if at, ok := l.nextCheckpoint(); ok && !time.Now().Before(at) && !l.sealed {
		err = l.sign(&Checkpoint{})
	}
	b = batch{lines: l.queue, cuts: l.cuts, upTo: l.seq, urgent: l.urgent, last: l.sealed}
	l.queue, l.cuts, l.urgent, l.flooded = spare[:0], nil, false, false
	l.changed.Broadcast()
	return b, err
}

func (l *Log) reached(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.synced = n
	l.changed.Broadcast()
}

// fail ends the log. What waits gets the error; so does whoever decides what becomes of the box.
func (l *Log) fail(err error) {
	if path := new(os.PathError); errors.As(err, &path) {
		err = path.Err
	}
	err = fmt.Errorf("%s cannot be written: %w", l.path, err)
	l.mu.Lock()
	l.err = err
	l.queue = nil
	l.changed.Broadcast()
	l.mu.Unlock()
	if l.options.Failed != nil {
		go l.options.Failed(err)
	}
}
