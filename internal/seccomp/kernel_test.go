package seccomp

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// roleVariable makes the test binary load a filter, which cannot be undone, and try it.
const roleVariable = "AGENTBOX_SECCOMP_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "agent":
		os.Exit(actAsAgent())
	case "init":
		os.Exit(actAsInit())
	}
	os.Exit(m.Run())
}

// An attempt is one real system call and how the kernel should answer it.
type attempt struct {
	name string
	want string // name of the errno, "" for success
	call func() error
}

func attempts(dir string) []attempt {
	at := func(name string) string { return filepath.Join(dir, name) }
	raw := func(nr uintptr, args ...uintptr) func() error {
		return func() error {
			var a [6]uintptr
			copy(a[:], args)
			if _, _, e := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]); e != 0 {
				return e
			}
			return nil
		}
	}
	socket := func(family, kind, protocol int) func() error {
		return func() error {
			fd, err := unix.Socket(family, kind, protocol)
			if err == nil {
				err = unix.Close(fd)
			}
			return err
		}
	}
	open := func(name string, flags int, mode uint32) func() error {
		return func() error {
			fd, err := unix.Open(name, flags, mode)
			if err == nil {
				err = unix.Close(fd)
			}
			return err
		}
	}
	how := unix.OpenHow{}
	return []attempt{
		{"mkdir", "", func() error { return unix.Mkdir(at("d"), 0o755) }},
		{"mkdir with set-group-id", "EPERM", func() error { return unix.Mkdir(at("e"), 0o2755) }},
		{"create", "", open(at("f"), unix.O_CREAT|unix.O_WRONLY, 0o755)},
		{"create with set-user-id", "EPERM", open(at("g"), unix.O_CREAT|unix.O_WRONLY, 0o4755)},
		{"open with a stray mode", "", open(at("f"), unix.O_RDONLY, 0o6777)},
		{"chmod", "", func() error { return unix.Chmod(at("f"), 0o700) }},
		{"chmod with set-user-id", "EPERM", func() error { return unix.Chmod(at("f"), 0o4755) }},
		{"mknod of a FIFO", "", func() error { return unix.Mknod(at("p"), unix.S_IFIFO|0o600, 0) }},
		{"mknod of a device", "EPERM", func() error { return unix.Mknod(at("c"), unix.S_IFCHR|0o600, 0) }},
		{"openat2", "ENOSYS", func() error { _, err := unix.Openat2(unix.AT_FDCWD, dir, &how); return err }},
		{"io_uring_setup", "ENOSYS", raw(unix.SYS_IO_URING_SETUP, 2)},
		{"unshare of nothing", "EPERM", func() error { return unix.Unshare(0) }},
		{"unshare", "EPERM", func() error { return unix.Unshare(unix.CLONE_NEWUSER) }},
		{"socket TCP", "", socket(unix.AF_INET, unix.SOCK_STREAM, 0)},
		{"socket Unix", "", socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)},
		{"socket route netlink", "", socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)},
		{"socket MPTCP", "EPROTONOSUPPORT", socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)},
		{"socket AF_ALG", "EPERM", socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0)},
		{"socket AF_VSOCK", "EPERM", socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)},
		{"ioctl TIOCSTI", "EPERM", raw(unix.SYS_IOCTL, ^uintptr(0), unix.TIOCSTI)},
		{"ioctl TIOCSTI with an upper bit", "EPERM", raw(unix.SYS_IOCTL, ^uintptr(0), unix.TIOCSTI|1<<32)},
		{"ioctl FIONREAD of no file", "EBADF", raw(unix.SYS_IOCTL, ^uintptr(0), unix.TIOCINQ)},
		{"ptrace", "EPERM", raw(unix.SYS_PTRACE, unix.PTRACE_TRACEME)},
		{"keyctl", "EPERM", raw(unix.SYS_KEYCTL)},
		{"bpf", "EPERM", raw(unix.SYS_BPF, 9999)},
		{"a number of tomorrow", "ENOSYS", raw(1023)},
		{"execute", "", func() error {
			cmd := exec.Command("/proc/self/exe", "-test.run=^$")
			cmd.Env = []string{"TMPDIR=" + dir} // without the role
			return cmd.Run()
		}},
	}
}

func TestTheKernelAnswersTheAgentAsDescribed(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVariable+"=agent", "TMPDIR="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	want := map[string]string{}
	for _, a := range attempts(dir) {
		want[a.name] = a.want
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers of the kernel (-want +got):\n%s", diff)
	}
}

func TestTheKernelKillsAPID1ThatMakesADirectory(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVariable+"=init", "TMPDIR="+dir)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("it lived on: %v", err)
	}
	if status := exit.Sys().(syscall.WaitStatus); status.Signal() != unix.SIGSYS {
		t.Errorf("it ended with %v, want SIGSYS", status)
	}
	if !bytes.Equal(out, []byte("writes")) {
		t.Errorf("it wrote %q before its end, want %q", out, "writes")
	}
	if _, err := os.Stat(filepath.Join(dir, "d")); err == nil {
		t.Error("the directory was made")
	}
}

func actAsAgent() int {
	if err := load(Agent); err != nil {
		println(err.Error())
		return 1
	}
	got := map[string]string{}
	for _, a := range attempts(os.TempDir()) {
		got[a.name] = ""
		var errno unix.Errno
		if err := a.call(); errors.As(err, &errno) {
			got[a.name] = unix.ErrnoName(errno)
		} else if err != nil {
			got[a.name] = err.Error()
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(got); err != nil {
		return 1
	}
	return 0
}

// actAsInit uses raw calls alone after the filter is on: the Go runtime needs more than PID 1 does.
func actAsInit() int {
	word := []byte("writes")
	path := append([]byte(filepath.Join(os.TempDir(), "d")), 0)
	here := unix.AT_FDCWD
	if err := load(Init); err != nil {
		println(err.Error())
		return 1
	}
	unix.RawSyscall(unix.SYS_WRITE, 1, uintptr(unsafe.Pointer(&word[0])), uintptr(len(word)))
	unix.RawSyscall(unix.SYS_MKDIRAT, uintptr(here), uintptr(unsafe.Pointer(&path[0])), 0o700)
	return 0
}

// load puts a filter on every thread of this process.
func load(build func(Options) ([]bpf.RawInstruction, error)) error {
	raw, err := build(Options{Arch: runtime.GOARCH})
	if err != nil {
		return err
	}
	code := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		code[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(code)
	if errno != 0 {
		return errno
	}
	return nil
}
