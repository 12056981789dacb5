package boxtest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// denyEnv carries a denial to the process that installs it.
const denyEnv = "AGENTBOX_TEST_DENY"

// A DenyRule makes a system call fail, in a command and all that it starts. With
// a Mask, only calls whose argument Arg has all its bits set fail; with Exact,
// only those whose argument equals the mask. Arguments are compared in their low
// 32 bits. A system call that takes its flags in memory, such as clone3, can only
// be denied whole.
type DenyRule struct {
	Syscall int
	Errno   syscall.Errno
	Arg     int
	Mask    uint32
	Exact   bool
}

type denial struct {
	Rules      []DenyRule
	Listener   bool // of a filter without rules, which the command keeps open
	Path       string
	Args       []string
	Credential *syscall.Credential
}

// DenyCmd changes cmd so that it runs under a seccomp filter made of rules, of
// which the first that fits decides. When the tests run as root the filter comes
// without no_new_privs, also for a command of an ordinary user, so that set-user-ID
// programs such as newuidmap still work. The rules must leave execve alone.
func DenyCmd(t testing.TB, cmd *exec.Cmd, rules ...DenyRule) *exec.Cmd {
	t.Helper()
	return denied(t, cmd, denial{Rules: rules})
}

// ListenCmd changes cmd so that it runs under a seccomp filter that denies nothing and has a listener, as that of a
// container which intercepts system calls: the kernel lets no further filter have one.
func ListenCmd(t testing.TB, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	return denied(t, cmd, denial{Listener: true})
}

func denied(t testing.TB, cmd *exec.Cmd, d denial) *exec.Cmd {
	t.Helper()
	process.mu.Lock()
	inMain := process.inMain
	process.mu.Unlock()
	if !inMain {
		t.Fatal("boxtest: TestMain does not call boxtest.Main, which would install the filter")
	}
	if _, err := assemble(d.Rules); err != nil {
		t.Fatal("boxtest: ", err)
	}
	d.Path, d.Args = cmd.Path, cmd.Args
	if cmd.SysProcAttr != nil && cmd.SysProcAttr.Credential != nil {
		attr := *cmd.SysProcAttr
		d.Credential, attr.Credential = attr.Credential, nil
		cmd.SysProcAttr = &attr
	}
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal("boxtest: ", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal("boxtest: ", err)
	}
	cmd.Path, cmd.Args = self, []string{self}
	cmd.Env = append(cmd.Environ(), denyEnv+"="+string(text))
	return cmd
}

// denyAndExec becomes the command. It returns only on an error.
func denyAndExec(text string) error {
	var d denial
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return fmt.Errorf("%s: %w", denyEnv, err)
	}
	filter, err := assemble(d.Rules)
	if err != nil {
		return err
	}
	if err := os.Unsetenv(denyEnv); err != nil {
		return err
	}
	// Credentials and filters belong to a thread, and exec makes this one the
	// process.
	runtime.LockOSThread()
	if d.Credential != nil {
		if err := become(d.Credential); err != nil {
			return err
		}
	}
	if err := install(filter, d.Listener); err != nil {
		return err
	}
	return fmt.Errorf("exec %s: %w", d.Path, syscall.Exec(d.Path, d.Args, os.Environ()))
}

// become takes another user's IDs but keeps CAP_SYS_ADMIN until exec, because a
// filter without no_new_privs needs it.
func become(c *syscall.Credential) error {
	groups := unsafe.Pointer(unsafe.SliceData(c.Groups))
	calls := []struct {
		name    string
		nr      uintptr
		a, b, c uintptr
	}{
		{"prctl(PR_SET_KEEPCAPS)", unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0},
		{"setgroups", unix.SYS_SETGROUPS, uintptr(len(c.Groups)), uintptr(groups), 0},
		{"setresgid", unix.SYS_SETRESGID, uintptr(c.Gid), uintptr(c.Gid), uintptr(c.Gid)},
		{"setresuid", unix.SYS_SETRESUID, uintptr(c.Uid), uintptr(c.Uid), uintptr(c.Uid)},
	}
	for _, call := range calls {
		if _, _, errno := unix.RawSyscall(call.nr, call.a, call.b, call.c); errno != 0 {
			return fmt.Errorf("%s: %w", call.name, errno)
		}
	}
	runtime.KeepAlive(c)
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Permitted: 1 << unix.CAP_SYS_ADMIN, Effective: 1 << unix.CAP_SYS_ADMIN}}
	if err := unix.Capset(&hdr, &data[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	return nil
}

func install(filter []bpf.RawInstruction, listener bool) error {
	flags := uintptr(0)
	if listener {
		flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	fd, errno := load(filter, flags)
	if errno == unix.EACCES { // no CAP_SYS_ADMIN
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("no_new_privs: %w", err)
		}
		fd, errno = load(filter, flags)
	}
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	if !listener {
		return nil
	}
	_, err := unix.FcntlInt(fd, unix.F_SETFD, 0) // the command keeps it open
	return err
}

func load(filter []bpf.RawInstruction, flags uintptr) (uintptr, syscall.Errno) {
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: (*unix.SockFilter)(unsafe.Pointer(&filter[0]))}
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	return fd, errno
}

func seccompCall[T any](op, flags uintptr, arg *T) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, op, flags, uintptr(unsafe.Pointer(arg))); errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}

// Offsets in struct seccomp_data; see seccomp(2). Both machines are little-endian,
// so the low half of an argument comes first.
const (
	offsetNr   = 0
	offsetArch = 4
	offsetArgs = 16
)

func assemble(rules []DenyRule) ([]bpf.RawInstruction, error) {
	arch := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if arch == 0 {
		return nil, fmt.Errorf("no filters for %s", runtime.GOARCH)
	}
	allow := bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offsetArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: arch, SkipTrue: 1},
		allow,
	}
	for i, r := range rules {
		if r.Arg < 0 || r.Arg > 5 || r.Errno <= 0 || r.Errno > 4095 || r.Syscall < 0 ||
			r.Syscall == unix.SYS_EXECVE && r.Mask == 0 && !r.Exact {
			return nil, fmt.Errorf("rule %d cannot be a filter: %+v", i, r)
		}
		program = append(program, r.instructions()...)
	}
	return bpf.Assemble(append(program, allow))
}

func (r DenyRule) instructions() []bpf.Instruction {
	deny := bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(r.Errno)}
	var match []bpf.Instruction
	if r.Mask != 0 || r.Exact {
		match = append(match, bpf.LoadAbsolute{Off: offsetArgs + 8*uint32(r.Arg), Size: 4})
		if !r.Exact {
			match = append(match, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: r.Mask})
		}
		match = append(match, bpf.JumpIf{Cond: bpf.JumpEqual, Val: r.Mask, SkipFalse: 1})
	}
	match = append(match, deny)
	return append([]bpf.Instruction{
		bpf.LoadAbsolute{Off: offsetNr, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(r.Syscall), SkipFalse: uint8(len(match))},
	}, match...)
}

// String describes the rule in a test's name.
func (r DenyRule) String() string {
	var arg string
	switch {
	case r.Exact:
		arg = fmt.Sprintf(" with argument %d = %#x", r.Arg, r.Mask)
	case r.Mask != 0:
		arg = fmt.Sprintf(" with %#x in argument %d", r.Mask, r.Arg)
	}
	return strings.TrimSpace(fmt.Sprintf("system call %d%s: %v", r.Syscall, arg, r.Errno))
}
