package audit

import "cmp"

// Through adds a record and returns when it has left the process: to kill that takes it back no more. It is on disk within
// 100 ms, as by Append.
//
// The caller writes to the file itself, together with all that waits. To have the writer do it would cost two switches
// between threads, which take longer than the write.
func (l *Log) Through(e Event) error {
	seq, err := l.append(e, false)
	if err != nil {
		return err
	}
	if done, err := l.passes(seq); done || err != nil {
		return err
	}
	return Receipt{log: l, seq: seq}.Wait()
}

// passes writes what waits, up to a record; not done is that the writer has to.
func (l *Log) passes(seq uint64) (done bool, err error) {
	l.filing.Lock()
	defer l.filing.Unlock()
	w := l.writer
	if w.written > seq {
		return true, nil // with somebody else's
	}
	b, ours, err := l.waiting(w.spare)
	if err == nil && ours {
		err = w.put(b)
	}
	if err != nil {
		l.breaks(err)
	}
	return ours, err
}

// waiting exchanges the queue for an empty buffer, and leaves to the writer what is to become of the file. Where the queue
// goes on in another file it is not ours to write: the writer alone exchanges files, which it may just be syncing.
func (l *Log) waiting(spare []byte) (b batch, ours bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := cmp.Or(l.err, l.broken); err != nil {
		return batch{}, false, err
	}
	if len(l.cuts) > 0 {
		l.rouse(true)
		return batch{}, false, nil
	}
	b = batch{lines: l.queue, upTo: l.seq}
	l.queue, l.flooded = spare[:0], false
	l.changed.Broadcast()
	return b, true, nil
}

// breaks keeps everybody from writing behind a write that failed; the writer ends the log.
func (l *Log) breaks(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken == nil {
		l.broken = err
	}
	l.rouse(true)
}
