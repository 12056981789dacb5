package launch

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"agentbox/internal/vt"
)

// A terminal joins the caller's terminal with the box's own: the agent never holds the caller's, so it can neither
// push keystrokes into it (TIOCSTI, CVE-2017-5226) nor send it what the filter takes out.
type terminal struct {
	in     *os.File
	out    *os.File
	master *os.File // of the box's
	filter *vt.Filter
	cooked *term.State // the caller's modes while ours are raw, or nil
	mu     sync.Mutex
	keys   *input        // nil before run
	done   chan struct{} // closed when all output is passed on; nil before run
}

func newTerminal(s Streams, allow []string) *terminal {
	return &terminal{in: s.In, out: s.Out, filter: vt.New(allowed(allow))}
}

func allowed(classes []string) vt.Allow {
	var a vt.Allow
	for _, c := range classes {
		switch c {
		case "clipboard":
			a.Clipboard = true
		case "title":
			a.Title = true
		case "files":
			a.Files = true
		}
	}
	return a
}

// receiveMaster takes the terminal that libcontainer made inside the box.
func (t *terminal) receiveMaster(socket *os.File) error {
	buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(socket.Fd()), buf, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return fmt.Errorf("the box's terminal: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return errors.New("the box's terminal: no descriptor came")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return errors.New("the box's terminal: no descriptor came")
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return fmt.Errorf("the box's terminal: %w", err)
	}
	t.master = os.NewFile(uintptr(fds[0]), "terminal of the box")
	t.resize()
	return nil
}

// resize gives the box's terminal the size of the caller's, of which the kernel tells the agent. It reports whether
// that was news.
func (t *terminal) resize() bool {
	size, err := unix.IoctlGetWinsize(int(t.in.Fd()), unix.TIOCGWINSZ)
	if err != nil || t.master == nil {
		return false
	}
	raw, err := t.master.SyscallConn()
	if err != nil {
		return false
	}
	changed := false
	_ = raw.Control(func(fd uintptr) {
		old, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ)
		changed = err == nil && *old != *size && unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, size) == nil
	})
	return changed
}

// run copies both ways until the box's side is closed.
func (t *terminal) run() error {
	if err := t.makeRaw(); err != nil {
		return err
	}
	var err error
	if t.keys, err = newInput(t.in); err != nil {
		return err
	}
	t.done = make(chan struct{})
	go t.keys.passTo(t.master)
	go func() {
		defer close(t.done)
		buf, clean := make([]byte, 32<<10), make([]byte, 0, 32<<10)
		for {
			n, err := t.master.Read(buf)
			if n > 0 {
				clean = t.filter.Filter(clean[:0], buf[:n])
				if _, werr := t.out.Write(clean); werr != nil && closedPipe(werr) {
					return
				}
			}
			if err != nil { // EIO: the last process of the box closed its side
				return
			}
		}
	}()
	return nil
}

func (t *terminal) makeRaw() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cooked != nil {
		return nil
	}
	state, err := term.MakeRaw(int(t.in.Fd()))
	if err != nil {
		return fmt.Errorf("the terminal: %w", err)
	}
	t.cooked = state
	return nil
}

// restore gives the caller the terminal back as it was, with every mode undone that the agent left set.
func (t *terminal) restore() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cooked == nil {
		return
	}
	if undo := t.filter.Reset(); len(undo) > 0 {
		_, _ = t.out.Write(undo)
		// What the terminal still answers to the agent's questions is not the shell's to read.
		_ = unix.IoctlSetInt(int(t.in.Fd()), unix.TCFLSH, unix.TCIFLUSH)
	}
	_ = term.Restore(int(t.in.Fd()), t.cooked)
	t.cooked = nil
}

// close waits for what is still on its way out.
func (t *terminal) close() {
	if t.done != nil {
		<-t.done
	}
	t.keys.end()
	if t.master != nil {
		t.master.Close()
	}
	t.restore()
}

// suspend stops agentbox and the rest of its job, as the terminal would have, and returns when the caller's shell
// continues it. This process takes SIGSTOP and ignores the SIGTSTP: a thread that had accepted one might handle it
// only after the stop, as another. In an orphaned process group, where the kernel ignores stops from a terminal because
// nobody would continue it, there is none.
func suspend(t *terminal) {
	if orphaned() {
		return
	}
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, unix.SIGCONT)
	defer signal.Stop(continued)
	t.restore()
	signal.Ignore(unix.SIGTSTP)
	_ = unix.Kill(0, unix.SIGTSTP)
	_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
	<-continued // the kernel may stop another thread first, and this one a little later
	_ = t.makeRaw()
	t.resize()
}

// orphaned reports whether this process's group has no parent in its session that could continue it; see setpgid(2).
func orphaned() bool {
	parent := os.Getppid()
	theirs, err := unix.Getsid(parent)
	ours, oerr := unix.Getsid(0)
	group, gerr := unix.Getpgid(parent)
	return err != nil || oerr != nil || gerr != nil || theirs != ours || group == unix.Getpgrp()
}
