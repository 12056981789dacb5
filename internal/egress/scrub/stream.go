package scrub

import "io"

// atOnce is the length up to which a piece's last bytes are passed on although a text may begin with them. One byte in six
// is the beginning of some form of some secret; a message that ends in one must not wait for the next message.
const atOnce = 3

// heard reports names, each once.
type heard struct {
	set   *Set
	names []bool
	left  int
	found func(name string)
}

func (s *Set) hear(found func(name string)) heard {
	if s == nil {
		s = &Set{}
	}
	return heard{set: s, names: make([]bool, len(s.names)), left: len(s.names), found: found}
}

func (h *heard) report(name int) {
	if h.names[name] {
		return
	}
	h.names[name] = true
	h.left--
	if h.found != nil {
		h.found(h.set.names[name])
	}
}

// A Watcher looks at a stream as it passes. It is for one goroutine.
type Watcher struct {
	heard heard
	tail  []byte // the beginning of what may be an occurrence
}

// Watch returns a Watcher that calls found for every name of the Set that it comes across, once.
func (s *Set) Watch(found func(name string)) *Watcher { return &Watcher{heard: s.hear(found)} }

// Write takes the next piece of the stream. It never fails.
func (w *Watcher) Write(p []byte) (int, error) {
	x := w.heard.set.exact
	if x == nil || w.heard.left == 0 {
		return len(p), nil
	}
	report := func(_, _, name int) { w.heard.report(name) }
	if len(w.tail) > 0 {
		// As much of p as an occurrence can have that begins before it.
		w.tail = append(w.tail, p[:min(len(p), x.longest-1)]...)
		x.each(w.tail, report)
	}
	x.each(p, report)
	if len(w.tail) == 0 || len(p) >= x.longest-1 {
		w.tail = append(w.tail[:0], p[x.tail(p):]...)
	} else {
		w.tail = append(w.tail[:0], w.tail[x.tail(w.tail):]...)
	}
	return len(p), nil
}

// A cutter takes a stream in pieces and gives it back cut.
type cutter struct {
	heard heard
	kept  []byte // the end of the stream that may be the beginning of an occurrence, uncut
	gone  int    // so many bytes of kept have been given back
	cut   int    // so many bytes of kept are part of an occurrence that began before it
	spans [][2]int
	out   []byte
}

// push takes the next piece and returns what can go on, which is good until the next call or as long as p is.
func (c *cutter) push(p []byte, last bool) []byte {
	x := c.heard.set.exact
	if x == nil {
		return p
	}
	buffer := p
	if len(c.kept) > 0 {
		c.kept = append(c.kept, p...)
		buffer = c.kept
	}
	from := len(buffer) // what begins here is kept
	if !last {
		from = x.tail(buffer)
	}
	to := from // what ends here goes on
	if len(buffer)-from <= atOnce {
		to = len(buffer)
	}
	c.spans = append(c.spans[:0], [2]int{0, c.cut})
	x.each(buffer, func(a, b, name int) {
		c.heard.report(name)
		c.spans = append(c.spans, [2]int{a, b})
	})
	out := buffer[min(c.gone, to):to]
	if len(c.kept) > 0 || len(c.spans) > 1 { // else p is passed on as it is
		c.out = append(c.out[:0], out...)
		out = c.out
	}
	c.settle(out, from, to)
	c.kept = append(c.kept[:0], buffer[from:]...)
	return out
}

// settle cuts the spans out of what goes on, and notes what of them and of it is to be kept.
func (c *cutter) settle(out []byte, from, to int) {
	c.cut = max(0, c.cut-from)
	for _, s := range c.spans {
		if a, b := max(s[0], c.gone), min(s[1], to); a < b {
			star(out[a-c.gone : b-c.gone])
		}
		if s[0] < from { // others are found again
			c.cut = max(c.cut, s[1]-from)
		}
	}
	c.gone = max(c.gone, to) - from
}

// A Reader cuts what a Set has out of a stream. It is for one goroutine.
type Reader struct {
	from  io.Reader
	cut   cutter
	ready []byte
	err   error
}

// NewReader returns a Reader of r that calls found for every name that it cuts, once.
func (s *Set) NewReader(r io.Reader, found func(name string)) *Reader {
	return &Reader{from: r, cut: cutter{heard: s.hear(found)}}
}

// Read returns what one Read of the stream beneath gives, unless all of that may be the beginning of an occurrence.
func (r *Reader) Read(p []byte) (int, error) {
	if r.cut.heard.set.exact == nil {
		return r.from.Read(p)
	}
	for len(r.ready) == 0 {
		if r.err != nil || len(p) == 0 {
			return 0, r.err
		}
		var n int
		if n, r.err = r.from.Read(p); n == 0 && r.err == nil {
			return 0, nil
		}
		r.ready = r.cut.push(p[:n], r.err != nil)
	}
	n := copy(p, r.ready)
	if r.ready = r.ready[n:]; len(r.ready) == 0 {
		return n, r.err
	}
	return n, nil
}

// A Writer cuts what a Set has out of a stream. It is for one goroutine.
type Writer struct {
	to  io.Writer
	cut cutter
	err error
}

// NewWriter returns a Writer to w that calls found for every name that it cuts, once.
func (s *Set) NewWriter(w io.Writer, found func(name string)) *Writer {
	return &Writer{to: w, cut: cutter{heard: s.hear(found)}}
}

// Write passes on what of p and of what it held back cannot be the beginning of an occurrence. After an error it writes
// nothing more.
func (w *Writer) Write(p []byte) (int, error) {
	if w.pass(w.cut.push(p, false)); w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// Flush writes what is held back. It is for the end of the stream: an occurrence that goes on after it is not found.
func (w *Writer) Flush() error {
	w.pass(w.cut.push(nil, true))
	return w.err
}

func (w *Writer) pass(p []byte) {
	if w.err != nil || len(p) == 0 {
		return
	}
	n, err := w.to.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	w.err = err
}
