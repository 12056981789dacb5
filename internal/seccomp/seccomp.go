// Package seccomp compiles the box's system call allow-list to a classic BPF program. Pure.
//
// There are two programs: Agent, for everything the agent runs, and Init, for PID 1. Both are made for one native
// architecture: a call through another one's table (i386 on amd64, arm on arm64) kills the process, because its
// numbers mean something else and its arguments cannot be read the same way. x32 calls answer ENOSYS, as a kernel
// without x32 does.
//
// The agent's list is that of moby's default profile without capabilities, cut down; policy.go names each cut. A
// call the list does not name answers EPERM, one that this table does not know at all answers ENOSYS, as on an
// older kernel, so that programs fall back. The filter sees the registers only: it cannot look behind pointers, so
// calls whose flags are in memory (clone3, openat2, io_uring) are not there at all. Arguments that the kernel
// takes as 32 bits are compared as 32 bits; bits above them neither hide a refused value nor spoil an allowed one.
//
// Loading a program, and setting no_new_privs first, is the caller's part.
package seccomp

import (
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Options says for which machine a program is made.
type Options struct {
	Arch string // as runtime.GOARCH names it: amd64 or arm64
	// Pinned says that the processors a process may run on are a limit: the agent may not choose others.
	Pinned bool
	// Programs has the supervisor asked before each program is started.
	Programs bool
	// Sockets lets PID 1 make TCP sockets, which it hands to the supervisor.
	Sockets bool
}

// An arch is what differs between machines. The zero value knows no system call and so allows none.
type arch struct {
	audit uint32
	x32   bool     // shares its audit number with a second table, from x32Bit upwards
	names []string // by number; empty where the kernel has no call
}

// x32Bit marks the numbers of the x32 table (arch/x86/include/uapi/asm/unistd.h).
const x32Bit = 0x40000000

func archOf(o Options) (arch, error) {
	switch o.Arch {
	case "amd64":
		return arch{audit: unix.AUDIT_ARCH_X86_64, x32: true, names: namesAMD64[:]}, nil
	case "arm64":
		return arch{audit: unix.AUDIT_ARCH_AARCH64, names: namesARM64[:]}, nil
	}
	return arch{}, fmt.Errorf("no system call list for architecture %q", o.Arch)
}

// Agent returns the filter of everything the agent runs.
func Agent(o Options) ([]bpf.RawInstruction, error) {
	a, err := archOf(o)
	if err != nil {
		return nil, err
	}
	return compile(a, agentPolicy(a, o), agentHot)
}

// Init returns the filter of PID 1 once it has started the agent. What it does not name kills the process, and
// with it the box.
func Init(o Options) ([]bpf.RawInstruction, error) {
	a, err := archOf(o)
	if err != nil {
		return nil, err
	}
	return compile(a, initPolicy(a, o), nil)
}

// Describe returns the policy that Agent compiles. For an architecture that Agent refuses it has no rules.
func Describe(o Options) Policy {
	a, err := archOf(o)
	if err != nil {
		return Policy{Arch: o.Arch}
	}
	return agentPolicy(a, o)
}

// DescribeInit returns the policy that Init compiles, as Describe does for Agent.
func DescribeInit(o Options) Policy {
	a, err := archOf(o)
	if err != nil {
		return Policy{Arch: o.Arch}
	}
	return initPolicy(a, o)
}
