package audit

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
)

// A fileEnd is where the queue goes on in another file.
type fileEnd struct {
	at     int    // bytes of the queue before it
	upTo   uint64 // the sequence number after the last record before it
	number int    // of the file that ends there
}

func (r *Rotated) set(x signature) {
	r.Records, r.PublicKey, r.Signature = x.Records, x.PublicKey, x.Signature
}
func (r *Rotated) get() signature { return signature{r.Records, r.PublicKey, r.Signature} }

// turn ends the file with a record and begins the next with another. Both are made here, where records get their order;
// the writer exchanges the files when it comes to the cut. The caller holds the lock.
func (l *Log) turn() error {
	if err := l.sign(&Rotated{File: l.number}); err != nil {
		return err
	}
	l.cuts = append(l.cuts, fileEnd{at: len(l.queue), upTo: l.seq, number: l.number})
	l.number, l.chained = l.number+1, 0
	data, err := l.encoder.append(nil, &Begun{Records: l.seq, File: l.number})
	if err != nil {
		return err
	}
	l.add((Begun{}).Type(), data)
	return nil
}

// rotate closes the file and goes on in another. What stands in it is on disk before it gets its last name.
func (w *writer) rotate(c fileEnd) error {
	if err := w.sync(); err != nil {
		return err
	}
	old, ok := w.log.file.(*logFile)
	if !ok {
		return errors.New("this file cannot be closed")
	}
	next, err := old.next(c.number)
	if err != nil {
		return err
	}
	w.log.file, w.size = next, 0
	w.log.packs.add(w.log, closedName(old.session, c.number))
	return nil
}

// next closes a file under its last name and makes the one that follows, in the same directory. The old one stays locked
// until the new one is: there is no moment at which the session looks like one that has ended.
func (f *logFile) next(number int) (*logFile, error) {
	s := f.store
	s.at("synced")
	if err := s.shelve(filepath.Base(Path("", f.session)), closedName(f.session, number)); err != nil {
		return nil, err
	}
	s.at("closed")
	next, err := s.begin(f.session)
	if err != nil {
		return nil, err
	}
	s.at("begun")
	f.store = nil
	return next, f.Close()
}

// packs compress the closed files of a log in the background. What is not done when the log is closed, or fails, is left to
// Upkeep.
type packs struct {
	mu      sync.Mutex
	names   []string
	works   bool
	ended   bool
	running sync.WaitGroup
	stop    context.CancelFunc
}

func (p *packs) add(l *Log, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.names = append(p.names, name)
	if p.works {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.works, p.stop = true, cancel
	p.running.Go(func() {
		calm()
		defer cancel()
		for name := p.next(); name != ""; name = p.next() {
			if s, err := openStore(filepath.Dir(l.path)); err == nil {
				s.step = l.options.step
				_ = s.pack(ctx, name) // upkeep tries again, and says so
				s.close()
			}
		}
	})
}

// next is the file to compress next, or nothing when this is over.
func (p *packs) next() (name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.works = len(p.names) > 0 && !p.ended; p.works {
		name, p.names = p.names[0], p.names[1:]
	}
	return name
}

// end gives up what is not done.
func (p *packs) end() {
	p.mu.Lock()
	p.ended = true
	if p.stop != nil {
		p.stop()
	}
	p.mu.Unlock()
	p.running.Wait()
}

// turn checks where files end and begin. The numbers are those of the names, so that they only grow: a file can end
// without a record that says so, when its session is over.
func (v *verifier) turn(r Record) error {
	kind := string(r.Type)
	if kind != (Rotated{}).Type() && kind != (Begun{}).Type() {
		if v.rotated && kind != (Continued{}).Type() {
			return errors.New("it follows the end of a file")
		}
		v.rotated = false
		return nil
	}
	e, err := r.Event()
	if err != nil {
		return err
	}
	switch e := e.(type) {
	case *Rotated:
		if v.rotated || e.Records != r.Seq || e.File <= v.file {
			return errors.New("it does not end this file")
		}
		v.rotated, v.file = true, e.File
	case *Begun:
		if !v.rotated || e.Records != r.Seq || e.File != v.file+1 {
			return errors.New("it does not begin the file that follows")
		}
		v.rotated = false
	}
	return nil
}
