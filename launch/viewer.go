package launch

import (
	"os"

	"golang.org/x/sys/unix"
)

// A Viewer is the caller's terminal while it shows what a box writes that another process runs: filtered like the
// output of a box of one's own, and given back with every mode undone.
type Viewer struct {
	term   *terminal
	closed bool
}

// NewViewer shows output on a terminal; allow are the classes of control sequences that the profile lets through.
// Keys come from in, which may be nil.
func NewViewer(in, out *os.File, allow []string) *Viewer {
	return &Viewer{term: newTerminal(Streams{In: in, Out: out}, allow)}
}

// Raw hands every key to the agent, until Close.
func (v *Viewer) Raw() error { return v.term.makeRaw() }

// Write shows a piece of output.
func (v *Viewer) Write(p []byte) (int, error) {
	v.term.mu.Lock()
	defer v.term.mu.Unlock()
	if v.closed {
		return 0, os.ErrClosed
	}
	_, err := v.term.out.Write(v.term.filter.Filter(nil, p))
	return len(p), err
}

// Size is that of the terminal's window.
func (v *Viewer) Size() (rows, columns uint16, ok bool) {
	size, err := unix.IoctlGetWinsize(int(v.term.out.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, false
	}
	return size.Row, size.Col, true
}

// Close gives the terminal back. A second Close does nothing.
func (v *Viewer) Close() {
	v.term.mu.Lock()
	closed, raw := v.closed, v.term.cooked != nil
	v.closed = true
	if !closed && !raw {
		_, _ = v.term.out.Write(v.term.filter.Reset())
	}
	v.term.mu.Unlock()
	v.term.restore()
}
