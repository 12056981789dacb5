package gate

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/pidfd"
)

// soPeerPIDFD is SO_PEERPIDFD of socket(7), Linux 6.5.
const soPeerPIDFD = 77

var (
	errStranger = errors.New("it is another program than the hook")
	errGone     = errors.New("it ended before it had asked")
)

// A peer is a hook that asks, held so that its number cannot become another's.
type peer struct {
	Caller
	pidfd int
}

// peer finds who connected. Its binary must be the one that the box was given: it is this one. Of one that has ended nobody
// can say any more what it was; it counts as a hook.
func (g *Gate) peer(c *net.UnixConn) (*peer, error) {
	p := &peer{}
	raw, err := c.SyscallConn()
	if err != nil {
		return p, err
	}
	var cred *unix.Ucred
	var credErr, fdErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		p.pidfd, fdErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, soPeerPIDFD)
	})
	if err = errors.Join(err, credErr); err != nil {
		return p, err
	}
	p.PID = int(cred.Pid)
	if fdErr != nil {
		if p.pidfd, err = unix.PidfdOpen(p.PID, 0); err != nil {
			return p, errGone
		}
	}
	unix.CloseOnExec(p.pidfd)
	var exe unix.Stat_t
	err = unix.Stat(fmt.Sprintf("/proc/%d/exe", p.PID), &exe)
	if err == nil && (exe.Dev != g.self.Dev || exe.Ino != g.self.Ino) {
		err = errStranger
	}
	if err == nil {
		p.root, err = os.OpenFile(fmt.Sprintf("/proc/%d/root", p.PID), unix.O_PATH|unix.O_DIRECTORY, 0)
	}
	if err != nil && !errors.Is(err, errStranger) || p.ended() { // what was looked at may have been another's
		err = errGone // a process that ends loses its memory, and so its binary, before it counts as ended
	}
	if err != nil {
		p.close()
	}
	return p, err
}

func (p *peer) close() {
	unix.Close(p.pidfd)
	if p.root != nil {
		p.root.Close()
	}
}

func (p *peer) poll(wanted int16, timeout time.Duration) bool {
	end := time.Now().Add(timeout)
	for {
		fds := []unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}
		left := max(0, time.Until(end))
		_, err := unix.Poll(fds, int(left.Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false
		}
		if fds[0].Revents&wanted != 0 {
			return true
		}
		if left == 0 {
			return false
		}
		if fds[0].Revents != 0 {
			time.Sleep(time.Millisecond) // it has ended, and its parent has not yet asked how
		}
	}
}

func (p *peer) ended() bool { return p.poll(unix.POLLIN, 0) }

// endsWith waits for the end of a hook that has passed its answer on. How it ended is known since Linux 6.15; before, it
// is trusted to end as it said.
func (p *peer) endsWith(code int) (why string) {
	if !p.poll(unix.POLLIN, toEnd) {
		return "it was stopped before it ended"
	}
	status, known := pidfd.Exit(p.pidfd)
	if !known && pidfd.Told() && p.poll(unix.POLLHUP, toEnd) { // its parent has taken note by then
		status, known = pidfd.Exit(p.pidfd)
	}
	switch {
	case !known:
		return ""
	case status.Signaled():
		return fmt.Sprintf("it was ended by signal %d when it had passed the answer on", status.Signal())
	case status.ExitStatus() != code:
		return fmt.Sprintf("it ended with exit code %d in place of %d", status.ExitStatus(), code)
	}
	return ""
}
