package programs

import (
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/pidfd"
)

// ends hears of the ends of processes by their descriptors (pidfd_open(2)).
type ends struct {
	tell    func(End)
	epoll   int  // is readable when there are some to take
	telling bool // the kernel tells how a process ended that is not a child (Linux 6.15)

	live map[int32]*living // by descriptor
	pids map[int]int32     // descriptors by process
}

type living struct {
	pid    int
	joined int
	path   string
	since  time.Time
}

func newEnds(tell func(End)) (*ends, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	return &ends{tell: tell, epoll: epoll, telling: pidfd.Told(), live: map[int32]*living{}, pids: map[int]int32{}}, err
}

// watch follows a process that starts a program, from the first one on, by the descriptor that it takes from s. One
// without is on the record without its end.
func (e *ends) watch(s *seen) {
	if fd, ok := e.pids[s.PID]; ok && !ended(fd) { // or the number has gone to another
		e.live[fd].path, e.live[fd].since = s.Path, s.At
		return
	}
	if s.pidfd < 0 {
		return
	}
	fd := int32(s.pidfd)
	events := uint32(unix.EPOLLIN)
	if e.telling {
		events = 0 // EPOLLHUP comes unasked: its parent has taken note, and so the kernel tells
	}
	if unix.EpollCtl(e.epoll, unix.EPOLL_CTL_ADD, s.pidfd, &unix.EpollEvent{Events: events, Fd: fd}) != nil {
		return
	}
	s.pidfd = -1
	e.live[fd], e.pids[s.PID] = &living{s.PID, s.Joined, s.Path, s.At}, fd
}

func ended(fd int32) bool {
	fds := []unix.PollFd{{Fd: fd, Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return n > 0 || err != nil
}

// take tells the ends that are known, without waiting for one.
func (e *ends) take() {
	events := make([]unix.EpollEvent, 16)
	n, _ := unix.EpollWait(e.epoll, events, 0)
	for _, got := range events[:max(n, 0)] {
		e.over(got.Fd)
	}
}

func (e *ends) over(fd int32) {
	l := e.live[fd]
	delete(e.live, fd)
	if l != nil && e.pids[l.pid] == fd {
		delete(e.pids, l.pid)
	}
	if l == nil {
		return
	}
	end := End{PID: l.pid, Joined: l.joined, Path: l.path, Ran: time.Since(l.since)}
	end.Status, end.Known = pidfd.Exit(int(fd))
	unix.Close(int(fd)) // takes it out of the set, too
	e.tell(end)
}

// close tells the ends that nobody will hear of any more, too.
func (e *ends) close() {
	for fd := range e.live {
		e.over(fd)
	}
	unix.Close(e.epoll)
}
