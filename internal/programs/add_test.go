package programs

import (
	"errors"
	"os"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What is no listener is not served, and nothing is once the watch is over.
func TestWhatCanBeServed(t *testing.T) {
	w, err := New(Options{Started: func(Start) unix.Errno { return 0 }, Ended: func(End) {}})
	if err != nil {
		t.Fatal(err)
	}
	r, other, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := w.Add(r, 1); !errors.Is(err, errNoListener) {
		t.Errorf("a pipe: %v", err)
	}
	if err := w.Add(listener(t), 1); err != nil {
		t.Errorf("a listener: %v", err)
	}
	w.Close()
	if err := w.Add(listener(t), 2); !errors.Is(err, os.ErrClosed) {
		t.Errorf("afterwards: %v", err)
	}
}

// listener is that of a filter which nobody has: the thread that it was for has ended.
func listener(t *testing.T) *os.File {
	t.Helper()
	got := make(chan uintptr)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends
		defer close(got)
		if unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != nil {
			return
		}
		allow := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}
		prog := unix.SockFprog{Len: 1, Filter: &allow}
		fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&prog)))
		if errno == 0 {
			got <- fd
		}
	}()
	fd, ok := <-got
	if !ok {
		t.Skip("this kernel gives no listener")
	}
	return os.NewFile(fd, "listener")
}
