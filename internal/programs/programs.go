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
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Start is a program that is about to run. The call may still fail, for a file that is not there, say.
type Start struct {
	PID, Parent int // on the host
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
	mu      sync.Mutex
	files   []*os.File
	serving sync.WaitGroup
}

// New makes a watch that serves nobody yet.
func New(o Options) (*Watch, error) {
	e, err := newEnds(o.Ended)
	if err != nil {
		return nil, err
	}
	return &Watch{options: o, ends: e}, nil
}

// Add serves one more listener of seccomp_unotify(2), which it closes.
func (w *Watch) Add(listener *os.File) error {
	fd, err := unix.FcntlInt(listener.Fd(), unix.F_DUPFD_CLOEXEC, 0) // Fd makes it block; the poller needs that it does not
	listener.Close()
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "programs")
	w.mu.Lock()
	w.files = append(w.files, f)
	w.mu.Unlock()
	w.serving.Go(func() { w.serve(f) })
	return nil
}

// Close ends the watch. Nothing of the box may run any more: what started a program would fail. Ends that are known by
// then are told.
func (w *Watch) Close() {
	if w == nil {
		return
	}
	w.mu.Lock()
	for _, f := range w.files {
		f.Close()
	}
	w.mu.Unlock()
	w.serving.Wait()
	w.ends.close()
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
	notifRecv    = 3<<30 | unsafe.Sizeof(notif{})<<16 | '!'<<8
	notifSend    = 3<<30 | unsafe.Sizeof(resp{})<<16 | '!'<<8 | 1
	notifIDValid = 1<<30 | 8<<16 | '!'<<8 | 2

	flagContinue = 1 // SECCOMP_USER_NOTIF_FLAG_CONTINUE
)

func ioctl(fd uintptr, request uintptr, arg unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(arg))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

func (w *Watch) serve(f *os.File) {
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	for {
		var n notif
		var got error
		if err := conn.Read(func(fd uintptr) bool {
			n, got = notif{}, nil
			if got = asked(fd); got == nil {
				got = ioctl(fd, notifRecv, unsafe.Pointer(&n))
			}
			return !errors.Is(got, unix.EAGAIN)
		}); err != nil {
			return
		}
		switch {
		case errors.Is(got, unix.ENOENT): // it was killed before it could be asked about
		case got != nil:
			return // nobody is left whom it could be asked for
		default:
			w.answer(f, n)
		}
	}
}

// asked says whether a question waits: what receives one would wait for it, whatever the descriptor's flags.
func asked(fd uintptr) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	_, err := unix.Poll(fds, 0)
	switch {
	case errors.Is(err, unix.EINTR):
		return unix.EAGAIN
	case err != nil:
		return err
	case fds[0].Revents&unix.POLLIN != 0:
		return nil
	case fds[0].Revents != 0:
		return unix.EPIPE
	}
	return unix.EAGAIN
}

func (w *Watch) answer(f *os.File, n notif) {
	r := resp{id: n.id, flags: flagContinue}
	s, err := look(n)
	valid := control(f, notifIDValid, unsafe.Pointer(&n.id)) // or what was read may have been of another process
	switch {
	case valid != nil:
		return
	case err != nil:
		r.flags, r.errno = 0, -int32(unix.EPERM)
	default:
		if errno := w.options.Started(s); errno != 0 {
			r.flags, r.errno = 0, -int32(errno)
		} else if !s.Missing {
			w.ends.watch(s)
		}
	}
	_ = control(f, notifSend, unsafe.Pointer(&r)) // whoever waited may be gone
}

func control(f *os.File, request uintptr, arg unsafe.Pointer) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = ioctl(fd, request, arg) }); err != nil {
		return err
	}
	return failed
}
