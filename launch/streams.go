package launch

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Streams are the caller's standard files. The box never gets them: it gets pipes, so that no descriptor of the host
// is inside (CVE-2016-9962) and no file of the caller changes its owner.
type Streams struct {
	In, Out, Err *os.File
}

// piped joins the agent's pipes with the caller's files.
type piped struct {
	stdin, stdout, stderr *os.File // the box's ends
	feed                  *os.File // our end of stdin
	input                 *input   // what goes into it; nil when nothing does
	allow                 []string
	copies                []*copyJob
	done                  sync.WaitGroup
}

type copyJob struct {
	from, to *os.File
	screen   *Viewer // of to when that is a terminal: what the agent writes is filtered there as on a terminal of its own
	lost     error   // why not all could be passed on
}

// makePipes prepares the three streams. When the caller's output and error are one file, so are the agent's:
// otherwise two pipes would change the order of what it writes. allow are the classes of control sequences that may
// reach a terminal.
func makePipes(s Streams, allow []string) (*piped, error) {
	p := &piped{allow: allow}
	if err := p.make(s); err != nil {
		p.closeBox()
		p.abort()
		return nil, err
	}
	return p, nil
}

func (p *piped) make(s Streams) error {
	var err error
	if isNull(s.In) {
		if p.stdin, err = os.Open(os.DevNull); err != nil {
			return err
		}
	} else if p.stdin, p.feed, err = os.Pipe(); err != nil {
		return err
	} else if p.input, err = newInput(s.In); err != nil {
		return err
	}
	if p.stdout, err = p.output(s.Out); err != nil {
		return err
	}
	if sameFile(s.Out, s.Err) {
		p.stderr = p.stdout
		return nil
	}
	p.stderr, err = p.output(s.Err)
	return err
}

func (p *piped) output(to *os.File) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c := &copyJob{from: r, to: to}
	if to != nil && term.IsTerminal(int(to.Fd())) {
		c.screen = NewViewer(nil, to, p.allow)
	}
	p.copies = append(p.copies, c)
	return w, nil
}

// isNull reports a stream without content: closed, or /dev/null.
func isNull(f *os.File) bool {
	var st unix.Stat_t
	if f == nil || unix.Fstat(int(f.Fd()), &st) != nil {
		return true
	}
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
}

func sameFile(a, b *os.File) bool {
	var x, y unix.Stat_t
	if a == nil || b == nil || unix.Fstat(int(a.Fd()), &x) != nil || unix.Fstat(int(b.Fd()), &y) != nil {
		return false
	}
	return x.Dev == y.Dev && x.Ino == y.Ino
}

// run starts copying once the agent has its ends.
func (p *piped) run(s Streams) {
	p.closeBox()
	if p.feed != nil {
		go func() {
			p.input.passTo(p.feed)
			p.feed.Close()
		}()
	}
	for _, c := range p.copies {
		p.done.Go(func() { c.run() })
	}
}

// run copies until the agent's side closes. When the caller's side closes first, so does ours: the agent gets
// SIGPIPE as it would without a box.
func (c *copyJob) run() {
	if c.to != nil {
		var to io.Writer = c.to
		if c.screen != nil {
			to = c.screen
			defer c.screen.Close()
		}
		_, err := io.Copy(to, c.from)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = c.rest(to)
		}
		if err != nil && !closedPipe(err) {
			c.lost = err
		}
	}
	c.from.Close()
}

// rest passes on what is in the pipe, and waits for no more.
func (c *copyJob) rest(to io.Writer) error {
	if err := c.from.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	raw, err := c.from.SyscallConn()
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		var n int
		var rerr error
		err := raw.Read(func(fd uintptr) bool {
			n, rerr = unix.Read(int(fd), buf)
			return true
		})
		if errors.Is(rerr, unix.EINTR) {
			continue
		}
		if err != nil || rerr != nil || n <= 0 {
			return err
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return err
		}
	}
}

// expire ends the copying with what the pipes hold now: their writer has ended, but something that it left behind may
// keep them open.
func (p *piped) expire() {
	for _, c := range p.copies {
		_ = c.from.SetReadDeadline(time.Unix(1, 0))
	}
}

// wait returns when all that the agent wrote has been passed on, or why that was not possible. A reader that left
// is no reason.
func (p *piped) wait() error {
	p.done.Wait()
	p.input.end()
	for _, c := range p.copies {
		if c.lost != nil {
			return c.lost
		}
	}
	return nil
}

// give makes the pipes the agent's on the host side: the box's root cannot, because it does not map our owner.
func (p *piped) give(uid, gid uint32) error {
	for _, f := range []*os.File{p.stdin, p.stdout, p.stderr} {
		if isNull(f) {
			continue
		}
		if err := f.Chown(int(uid), int(gid)); err != nil {
			return err
		}
	}
	return nil
}

// closeBox closes the box's ends on our side.
func (p *piped) closeBox() {
	for _, f := range []*os.File{p.stdin, p.stdout, p.stderr} {
		if f != nil {
			f.Close()
		}
	}
}

func (p *piped) abort() {
	for _, c := range p.copies {
		c.from.Close()
	}
	if p.feed != nil {
		p.feed.Close()
	}
	p.input.end()
}

// closedPipe reports an error that only says that the reader has left.
func closedPipe(err error) bool { return errors.Is(err, unix.EPIPE) || errors.Is(err, os.ErrClosed) }
