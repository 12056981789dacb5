package programs

import (
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/pidfd"
)

// ends waits for processes by their descriptors (pidfd_open(2)).
type ends struct {
	tell    func(End)
	epoll   int
	wake    int // an eventfd that ends the wait
	done    chan struct{}
	telling bool // the kernel tells how a process ended that is not a child (Linux 6.15)

	mu   sync.Mutex
	live map[int32]*living // by descriptor
	pids map[int]int32     // descriptors by process
}

type living struct {
	pid   int
	path  string
	since time.Time
}

func newEnds(tell func(End)) (*ends, error) {
	e := &ends{tell: tell, done: make(chan struct{}), telling: pidfd.Told(), live: map[int32]*living{}, pids: map[int]int32{}}
	var err error
	if e.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if e.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		err = unix.EpollCtl(e.epoll, unix.EPOLL_CTL_ADD, e.wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(e.wake)})
	}
	if err != nil {
		unix.Close(e.epoll)
		return nil, err
	}
	go e.wait()
	return e, nil
}

// watch follows a process that starts a program, from the first one on. One whose descriptor is not to be had is on the
// record without its end.
func (e *ends) watch(s Start) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if fd, ok := e.pids[s.PID]; ok && !ended(fd) { // or the number has gone to another
		e.live[fd].path, e.live[fd].since = s.Path, s.At
		return
	}
	n, err := unix.PidfdOpen(s.PID, 0)
	if err != nil {
		return
	}
	fd := int32(n)
	events := uint32(unix.EPOLLIN)
	if e.telling {
		events = 0 // EPOLLHUP comes unasked: its parent has taken note, and so the kernel tells
	}
	if err := unix.EpollCtl(e.epoll, unix.EPOLL_CTL_ADD, n, &unix.EpollEvent{Events: events, Fd: fd}); err != nil {
		unix.Close(n)
		return
	}
	e.live[fd], e.pids[s.PID] = &living{s.PID, s.Path, s.At}, fd
}

func ended(fd int32) bool {
	fds := []unix.PollFd{{Fd: fd, Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return n > 0 || err != nil
}

func (e *ends) wait() {
	defer close(e.done)
	events := make([]unix.EpollEvent, 64)
	for {
		n, err := unix.EpollWait(e.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		for _, got := range events[:max(n, 0)] {
			if int(got.Fd) == e.wake {
				return
			}
			e.over(got.Fd)
		}
	}
}

func (e *ends) over(fd int32) {
	e.mu.Lock()
	l := e.live[fd]
	delete(e.live, fd)
	if l != nil && e.pids[l.pid] == fd {
		delete(e.pids, l.pid)
	}
	e.mu.Unlock()
	if l == nil {
		return
	}
	end := End{PID: l.pid, Path: l.path, Ran: time.Since(l.since)}
	end.Status, end.Known = pidfd.Exit(int(fd))
	unix.Close(int(fd)) // takes it out of the set, too
	e.tell(end)
}

// close stops the waiting; what has ended by now is told, and so are those that nobody will hear of any more.
func (e *ends) close() {
	_, _ = unix.Write(e.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	<-e.done
	e.mu.Lock()
	var left []int32
	for fd := range e.live {
		left = append(left, fd)
	}
	e.mu.Unlock()
	for _, fd := range left {
		e.over(fd)
	}
	unix.Close(e.wake)
	unix.Close(e.epoll)
}
