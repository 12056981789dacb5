package audit

import (
	"fmt"
	"os"
	"time"
)

// write brings the queue to disk until the log is closed.
func (l *Log) write() {
	defer close(l.done)
	var size int64 // of whole records
	for range l.wake {
		l.linger()
		batch, upTo := l.take()
		if len(batch) == 0 {
			continue
		}
		n, err := l.file.Write(batch)
		if err == nil {
			err = l.file.Sync()
		}
		if err != nil {
			if n > 0 { // half a record would read as tampering
				_ = l.file.Truncate(size)
			}
			l.fail(err)
			return
		}
		size += int64(n)
		l.mu.Lock()
		l.synced, l.spare = upTo, batch
		l.changed.Broadcast()
		l.mu.Unlock()
	}
	if batch, _ := l.take(); len(batch) > 0 { // closed between a look and the next
		if _, err := l.file.Write(batch); err != nil {
			_ = l.file.Truncate(size)
			l.fail(err)
			return
		}
		if err := l.file.Sync(); err != nil {
			l.fail(err)
		}
	}
}

// linger lets records gather, so that one sync serves many, unless somebody waits for one.
func (l *Log) linger() {
	timer := time.NewTimer(syncPeriod)
	defer timer.Stop()
	for {
		l.mu.Lock()
		hurry := l.urgent || l.sealed || len(l.queue) > maxQueued/2
		l.mu.Unlock()
		if hurry {
			return
		}
		select {
		case <-timer.C:
			return
		case _, open := <-l.wake:
			if !open {
				return
			}
		}
	}
}

func (l *Log) take() (batch []byte, upTo uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch, l.queue, l.spare = l.queue, l.spare[:0], nil
	l.urgent = false
	return batch, l.seq
}

// fail ends the log. What waits gets the error; so does whoever decides what becomes of the box.
func (l *Log) fail(err error) {
	err = fmt.Errorf("%s cannot be written: %w", l.path, unwrapPath(err))
	l.mu.Lock()
	l.err = err
	l.queue = nil
	l.changed.Broadcast()
	l.mu.Unlock()
	if l.options.Failed != nil {
		go l.options.Failed(err)
	}
}

func unwrapPath(err error) error {
	if e, ok := err.(*os.PathError); ok { //nolint:errorlint // os returns it as it is
		return e.Err
	}
	return err
}
