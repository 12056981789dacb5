package launch

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxinit"
	"agentbox/profile"
)

// OnThread runs f on a thread that ends with it, for what the kernel never takes back from a thread. It is never the
// process's first thread, whose state /proc/self shows and which does not end.
func OnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this function
		if unix.Gettid() == unix.Getpid() {
			done <- OnThread(f) // blocks the first thread, so that another one takes it
			runtime.UnlockOSThread()
			return
		}
		done <- f()
	}()
	return <-done
}

// TryFilter loads a filter that allows everything on a thread of its own, with the flag that the box uses; with a
// listener, as a box whose programs are on the record has one.
func TryFilter(listener bool) error {
	flags := uintptr(unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW)
	if listener {
		flags |= unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | waitKillable
	}
	return OnThread(func() error {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("no_new_privs: %w", err)
		}
		allow := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}
		prog := unix.SockFprog{Len: 1, Filter: &allow}
		fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
		runtime.KeepAlive(&allow)
		if errno != 0 {
			return errno
		}
		if listener {
			unix.Close(int(fd))
		}
		return nil
	})
}

// waitKillable is SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, which Linux 5.19 brought. Without it, a signal to a process
// that waits would have its question asked again, and the same start recorded twice.
const waitKillable = 1 << 5

// programsMissing says why nobody can be asked about programs here, or "". The trial takes 0.3 ms at most.
func programsMissing() string {
	if scope, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil && strings.TrimSpace(string(scope)) == "3" {
		return "kernel.yama.ptrace_scope is 3: nobody may read what another process starts"
	}
	var from, to [1]byte
	_, err := unix.ProcessVMReadv(os.Getpid(), []unix.Iovec{{Base: &to[0], Len: 1}},
		[]unix.RemoteIovec{{Base: uintptr(unsafe.Pointer(&from[0])), Len: 1}}, 0)
	runtime.KeepAlive(&from)
	if err != nil {
		return "process_vm_readv(2) is refused here: " + err.Error()
	}
	if err := TryFilter(true); err != nil {
		return filterRefused(err).Error()
	}
	return ""
}

// filterRefused says what keeps a filter from having a listener.
func filterRefused(err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		return errors.New("a sandbox around this process is asked about system calls already, and the kernel lets only one be")
	case errors.Is(err, unix.EINVAL):
		return errors.New("the kernel's filters do not wait for an answer without being interrupted: that takes Linux 5.19")
	}
	return fmt.Errorf("a filter with a listener was refused: %w", err)
}

// programs settles whether each program is asked about. What needs the filter goes with it.
func (p *Plan) programs(prof profile.Profile, h Host) error {
	why := h.Missing[profile.DegradePrograms]
	if prof.Audit.Exec && why == "" && !p.Seccomp {
		why = "it needs the layer seccomp"
		p.Degraded = append(p.Degraded, Degraded{profile.DegradePrograms, why})
	}
	p.Programs = prof.Audit.Exec && why == ""
	if prof.Limits.Execs > 0 && !p.Programs {
		return &MissingError{Layer: profile.DegradePrograms, Err: fmt.Errorf("limits.execs needs it: %s", why),
			Remedy: `leave limits.execs out, or start where "agentbox doctor" finds the layer`}
	}
	return nil
}

// lastStep waits for what becomes of a start. The filter may ask about the first program already.
func lastStep(control *boxinit.Control, programs func(*os.File) error) (boxinit.Message, error) {
	for {
		m, file, err := control.ReceiveFile()
		if file == nil || err != nil {
			return m, err
		}
		if m.Kind != boxinit.Listener || programs == nil {
			file.Close()
			return m, errors.New("the box asks about programs, and nobody answers")
		}
		if err := programs(file); err != nil {
			return m, err
		}
	}
}
