// Package programs learns of every program that the processes of a box start, from the kernel and before it runs.
//
// The box's seccomp filter asks the supervisor about each execve(2) and execveat(2) (seccomp_unotify(2)); the caller waits
// in the kernel until it has an answer, also where it lives for a millisecond only. What the call names is read from the
// memory of the process that makes it, which another of its threads may change at the same time: path and arguments are
// what it claimed. The number of the process, its parent, its directory and how it ends come from the kernel.
//
// An answer only lets the call go on, or refuses it. It is no filter: that is what the claim is not good enough for.
package programs

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Start is a program that is about to run. The call may still fail, for a file that is not there, say.
type Start struct {
	PID, Parent int // on the host
	Joined      int // the number of the joined command that it belongs to; 0: the agent's
	UID         int // on the host
	Path        string
	Argv        []string
	Cut         bool   // there is more of Argv
	Dir         string // the working directory, in the box
	Missing     bool   // there was no such file when it was looked for: the call fails
	At          time.Time
}

// An End is how a process has ended that a Start was about: with the program that it ran last.
type End struct {
	PID    int
	Joined int // as of Start
	Path   string
	Known  bool // how it ended: Linux tells who is not its parent since 6.15
	Status unix.WaitStatus
	Ran    time.Duration // since its last program was started
}

// Options are what becomes of what is learnt. Both are called by several goroutines.
type Options struct {
	// Started is called before the program runs. An errno refuses it; 0 lets it go on.
	Started func(Start) unix.Errno
	Ended   func(End)
}

// A Watch serves the processes of one box.
type Watch struct {
	options Options
	ends    *ends
	wake    int // an eventfd for the thread: there is a further listener, or the end
	done    chan struct{}

	mu      sync.Mutex
	added   []*listening
	closing bool
}

// New makes a watch that serves nobody yet.
func New(o Options) (*Watch, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	e, err := newEnds(o.Ended)
	if err != nil {
		unix.Close(wake)
		return nil, err
	}
	w := &Watch{options: o, ends: e, wake: wake, done: make(chan struct{})}
	go w.serve()
	return w, nil
}

// errNoListener says that a descriptor is something else than what it was handed over for.
var errNoListener = errors.New("that is no listener of a filter")

// Add serves one more listener of seccomp_unotify(2), which it closes: that of the agent, or of a joined command.
func (w *Watch) Add(listener *os.File, joined int) error {
	defer listener.Close()
	fd, err := unix.FcntlInt(listener.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if kind, err := readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err != nil || kind != "anon_inode:seccomp notify" {
		unix.Close(fd)
		return errNoListener
	}
	flags := uint64(flagSyncWakeUp)
	_ = ioctl(fd, notifSetFlags, unsafe.Pointer(&flags)) // an older kernel takes a little longer
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing {
		unix.Close(fd)
		return os.ErrClosed
	}
	w.added = append(w.added, &listening{watch: w, fd: fd, joined: joined, root: -1})
	return w.rouse()
}

// Close ends the watch. Nothing of the box may run any more: what started a program would fail. Ends that are known by
// then are told.
func (w *Watch) Close() {
	if w == nil {
		return
	}
	w.mu.Lock()
	w.closing = true
	_ = w.rouse()
	w.mu.Unlock()
	<-w.done
	unix.Close(w.wake)
	w.ends.close()
}

func (w *Watch) rouse() error {
	_, err := unix.Write(w.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	return err
}

// serve answers all listeners, and hears of ends, on one thread that waits in the kernel. Who asks is stopped until the
// answer, so that a switch from the one to the other on the same processor is all there is between them; a second thread
// would make Go's scheduler pass processors to and fro.
func (w *Watch) serve() {
	defer close(w.done)
	var listeners []*listening
	defer func() {
		for _, l := range listeners {
			l.close()
		}
	}()
	var fds []unix.PollFd
	for {
		runtime.Gosched() // or its monitor would take a goroutine that only makes system calls for one that never yields
		fds = append(fds[:0], unix.PollFd{Fd: int32(w.wake), Events: unix.POLLIN}, unix.PollFd{Fd: int32(w.ends.epoll), Events: unix.POLLIN})
		for _, l := range listeners {
			fds = append(fds, unix.PollFd{Fd: int32(l.fd), Events: unix.POLLIN})
		}
		if _, err := unix.Poll(fds, -1); err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return
		}
		for i, l := range listeners {
			if !l.serve(fds[2+i].Revents) {
				l.close()
				listeners[i] = nil
			}
		}
		listeners = slices.DeleteFunc(listeners, func(l *listening) bool { return l == nil })
		if fds[1].Revents != 0 {
			w.ends.take()
		}
		if fds[0].Revents != 0 {
			more, closing := w.news()
			if listeners = append(listeners, more...); closing {
				return
			}
		}
	}
}

// news is what happened since the thread was woken last.
func (w *Watch) news() (more []*listening, closing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = unix.Read(w.wake, make([]byte, 8))
	more, w.added = w.added, nil
	return more, w.closing
}

// notif is struct seccomp_notif, and resp struct seccomp_notif_resp, of linux/seccomp.h.
type notif struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type resp struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

const (
	notifRecv     = 3<<30 | unsafe.Sizeof(notif{})<<16 | '!'<<8
	notifSend     = 3<<30 | unsafe.Sizeof(resp{})<<16 | '!'<<8 | 1
	notifIDValid  = 1<<30 | 8<<16 | '!'<<8 | 2
	notifSetFlags = 1<<30 | 8<<16 | '!'<<8 | 4

	flagContinue   = 1 // SECCOMP_USER_NOTIF_FLAG_CONTINUE
	flagSyncWakeUp = 1 // SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6
)

func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

// A listening serves one listener.
type listening struct {
	watch  *Watch
	fd     int
	joined int
	root   int // of the processes, which have no way to another one; -1: not known yet
}

// serve answers a question that waits; false is that nobody is left who could ask.
func (l *listening) serve(events int16) bool {
	if events&unix.POLLIN == 0 {
		return events == 0
	}
	var n notif
	err := ioctl(l.fd, notifRecv, unsafe.Pointer(&n))
	if err == nil {
		l.answer(n)
	}
	return err == nil || errors.Is(err, unix.ENOENT) // it was killed before it could be asked about
}

func (l *listening) close() {
	unix.Close(l.fd)
	l.forget()
}

func (l *listening) forget() {
	if l.root >= 0 {
		unix.Close(l.root)
	}
	l.root = -1
}

func (l *listening) answer(n notif) {
	r := resp{id: n.id, flags: flagContinue}
	known := l.root >= 0
	s, err := l.look(n)
	defer s.release()
	if ioctl(l.fd, notifIDValid, unsafe.Pointer(&n.id)) != nil {
		if !known {
			l.forget()
		}
		return // what was read may have been of another process
	}
	if err == nil {
		if errno := l.watch.options.Started(s.Start); errno != 0 {
			r.flags, r.errno = 0, -int32(errno)
		} else if !s.Missing {
			l.watch.ends.watch(s)
		}
	} else {
		r.flags, r.errno = 0, -int32(unix.EPERM)
	}
	_ = ioctl(l.fd, notifSend, unsafe.Pointer(&r)) // whoever waited may be gone
}
