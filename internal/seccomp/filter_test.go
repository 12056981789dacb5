package seccomp

import (
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

func TestFilterRefusesAndAllowsTheNeighbour(t *testing.T) {
	const hi = 1 << 32 // a bit the kernel does not read in an int
	eperm, enosys := Errno(unix.EPERM), Errno(unix.ENOSYS)
	tests := map[string]struct {
		call string
		args []uint64
		want Action
	}{
		"a file is opened to read":                      {"openat", []uint64{0, 0, 0, 0}, Allow},
		"without O_CREAT the mode is not looked at":     {"openat", []uint64{0, 0, 0, 0o6777}, Allow},
		"a file is created":                             {"openat", []uint64{0, 0, unix.O_CREAT, 0o755}, Allow},
		"a set-user-id file is not created":             {"openat", []uint64{0, 0, unix.O_CREAT, 0o4755}, eperm},
		"a set-group-id file is not created":            {"openat", []uint64{0, 0, unix.O_CREAT, 0o2755}, eperm},
		"a nameless file is created":                    {"openat", []uint64{0, 0, unix.O_TMPFILE, 0o700}, Allow},
		"a nameless set-user-id file is not":            {"openat", []uint64{0, 0, unix.O_TMPFILE, 0o4700}, eperm},
		"upper bits of open's flags do not matter":      {"openat", []uint64{0, 0, hi | unix.O_CREAT, 0o4755}, eperm},
		"upper bits of open's mode do not matter":       {"openat", []uint64{0, 0, unix.O_CREAT, hi | 0o4755}, eperm},
		"upper bits of flags do not mean O_CREAT":       {"openat", []uint64{0, 0, unix.O_CREAT << 32, 0o4755}, Allow},
		"openat2 is not there":                          {"openat2", nil, enosys},
		"the sticky bit is set":                         {"fchmodat", []uint64{0, 0, 0o1777}, Allow},
		"the set-user-id bit is not":                    {"fchmodat", []uint64{0, 0, 0o4755}, eperm},
		"nor by fchmod":                                 {"fchmod", []uint64{0, 0o2755}, eperm},
		"nor by fchmodat2":                              {"fchmodat2", []uint64{0, 0, 0o6755}, eperm},
		"nor by fchmodat2 with upper bits":              {"fchmodat2", []uint64{0, 0, hi | 0o6755}, eperm},
		"a directory is made":                           {"mkdirat", []uint64{0, 0, 0o1777}, Allow},
		"a set-group-id directory is not":               {"mkdirat", []uint64{0, 0, 0o2777}, eperm},
		"a FIFO is made":                                {"mknodat", []uint64{0, 0, unix.S_IFIFO | 0o600}, Allow},
		"a file is made by mknod":                       {"mknodat", []uint64{0, 0, 0o600}, Allow},
		"a character device is not, even 0:0":           {"mknodat", []uint64{0, 0, unix.S_IFCHR | 0o600}, eperm},
		"a block device is not":                         {"mknodat", []uint64{0, 0, unix.S_IFBLK | 0o600, 0x800}, eperm},
		"a set-user-id file is not made by mknod":       {"mknodat", []uint64{0, 0, unix.S_IFREG | 0o4755}, eperm},
		"a process forks":                               {"clone", []uint64{uint64(unix.SIGCHLD)}, Allow},
		"a thread starts":                               {"clone", []uint64{unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD | unix.CLONE_SETTLS}, Allow},
		"a user namespace does not":                     {"clone", []uint64{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}, eperm},
		"nor a cgroup namespace":                        {"clone", []uint64{unix.CLONE_NEWCGROUP}, eperm},
		"nor a net namespace with upper bits":           {"clone", []uint64{hi | unix.CLONE_NEWNET}, eperm},
		"upper bits of clone's flags are not read":      {"clone", []uint64{unix.CLONE_NEWUSER << 32}, Allow},
		"unshare is refused":                            {"unshare", nil, eperm},
		"clone3 is not there":                           {"clone3", nil, enosys},
		"TCP":                                           {"socket", []uint64{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_CLOEXEC, unix.IPPROTO_TCP}, Allow},
		"UDP over IPv6":                                 {"socket", []uint64{unix.AF_INET6, unix.SOCK_DGRAM | unix.SOCK_NONBLOCK, 0}, Allow},
		"no raw socket":                                 {"socket", []uint64{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}, eperm},
		"no ping socket":                                {"socket", []uint64{unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP}, eperm},
		"no SOCK_PACKET":                                {"socket", []uint64{unix.AF_INET, 10, 0x300}, eperm},
		"no SCTP":                                       {"socket", []uint64{unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_SCTP}, eperm},
		"MPTCP is not supported":                        {"socket", []uint64{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_CLOEXEC, unix.IPPROTO_MPTCP}, Errno(unix.EPROTONOSUPPORT)},
		"upper bits of a protocol are not read":         {"socket", []uint64{unix.AF_INET, unix.SOCK_STREAM, hi | unix.IPPROTO_SCTP}, eperm},
		"upper bits of a family are not read":           {"socket", []uint64{hi | unix.AF_INET, unix.SOCK_STREAM, 0}, Allow},
		"Unix sockets of any type":                      {"socket", []uint64{unix.AF_UNIX, unix.SOCK_SEQPACKET, 0}, Allow},
		"route netlink":                                 {"socket", []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, Allow},
		"no other netlink":                              {"socket", []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER}, eperm},
		"no AF_ALG":                                     {"socket", []uint64{unix.AF_ALG, unix.SOCK_SEQPACKET, 0}, eperm},
		"no AF_ALG with upper bits":                     {"socket", []uint64{hi | unix.AF_ALG, unix.SOCK_SEQPACKET, 0}, eperm},
		"no AF_VSOCK":                                   {"socket", []uint64{unix.AF_VSOCK, unix.SOCK_STREAM, 0}, eperm},
		"a pair of Unix sockets":                        {"socketpair", []uint64{unix.AF_UNIX, unix.SOCK_DGRAM, 0}, Allow},
		"no other pair":                                 {"socketpair", []uint64{unix.AF_TIPC, unix.SOCK_DGRAM, 0}, eperm},
		"a terminal's size is asked":                    {"ioctl", []uint64{0, unix.TIOCGWINSZ}, Allow},
		"a job goes to the foreground":                  {"ioctl", []uint64{0, unix.TIOCSPGRP}, Allow},
		"nobody types into a terminal":                  {"ioctl", []uint64{0, unix.TIOCSTI}, eperm},
		"nor with upper bits":                           {"ioctl", []uint64{0, hi | unix.TIOCSTI}, eperm},
		"nobody pastes into a console":                  {"ioctl", []uint64{0, tiocLinux}, eperm},
		"no line discipline is loaded":                  {"ioctl", []uint64{0, unix.TIOCSETD}, eperm},
		"the agent filters itself":                      {"seccomp", []uint64{unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC}, Allow},
		"but hands out no listener":                     {"seccomp", []uint64{unix.SECCOMP_SET_MODE_FILTER, newListener}, eperm},
		"the personality is asked":                      {"personality", []uint64{0xffffffff}, Allow},
		"addresses stay random":                         {"personality", []uint64{0x40000}, eperm},
		"io_uring is not there":                         {"io_uring_setup", nil, enosys},
		"ptrace is refused":                             {"ptrace", nil, eperm},
		"Landlock is allowed":                           {"landlock_create_ruleset", nil, Allow},
		"the kernel's latest call is not there":         {"rseq_slice_yield", nil, enosys},
		"libuv's wait is allowed":                       {"epoll_pwait2", nil, Allow},
		"a process is opened to wait for and to signal": {"pidfd_open", nil, Allow},
		"but its descriptors are not taken":             {"pidfd_getfd", nil, eperm},
	}
	for _, arch := range arches {
		m := newMachine(t, arch, Agent)
		for name, tc := range tests {
			if got := m.call(t, tc.call, tc.args...); got != tc.want {
				t.Errorf("%s: %s: %s%#x = %v, want %v", arch, name, tc.call, tc.args, got, tc.want)
			}
		}
	}
}

func TestOldCallsThatOnlyAMD64Has(t *testing.T) {
	tests := map[string]struct {
		call string
		args []uint64
		want Action
	}{
		"open without O_CREAT does not look at the mode": {"open", []uint64{0, unix.O_RDWR, 0o6777}, Allow},
		"open creates":                     {"open", []uint64{0, unix.O_CREAT, 0o644}, Allow},
		"but nothing set-user-id":          {"open", []uint64{0, unix.O_CREAT, 0o4644}, Errno(unix.EPERM)},
		"creat creates":                    {"creat", []uint64{0, 0o644}, Allow},
		"creat makes nothing set-user-id":  {"creat", []uint64{0, 0o4644}, Errno(unix.EPERM)},
		"chmod":                            {"chmod", []uint64{0, 0o755}, Allow},
		"chmod sets no set-user-id bit":    {"chmod", []uint64{0, 0o4755}, Errno(unix.EPERM)},
		"mkdir":                            {"mkdir", []uint64{0, 0o755}, Allow},
		"mkdir makes nothing set-group-id": {"mkdir", []uint64{0, 0o2755}, Errno(unix.EPERM)},
		"mknod makes a FIFO":               {"mknod", []uint64{0, unix.S_IFIFO}, Allow},
		"mknod makes no device":            {"mknod", []uint64{0, unix.S_IFBLK}, Errno(unix.EPERM)},
		"no x86 segments":                  {"modify_ldt", nil, Errno(unix.EPERM)},
		"thread-local storage":             {"arch_prctl", nil, Allow},
	}
	m := newMachine(t, "amd64", Agent)
	for name, tc := range tests {
		if got := m.call(t, tc.call, tc.args...); got != tc.want {
			t.Errorf("%s: %s%#x = %v, want %v", name, tc.call, tc.args, got, tc.want)
		}
	}
}

func TestPID1IsKilledForWhatItDoesNotNeed(t *testing.T) {
	tests := map[string]struct {
		call string
		args []uint64
		want Action
	}{
		"it reaps":                       {"wait4", nil, Allow},
		"it waits":                       {"ppoll", nil, Allow},
		"it signals":                     {"kill", nil, Allow},
		"it reports":                     {"sendto", nil, Allow},
		"it opens nothing":               {"openat", nil, KillProcess},
		"it executes nothing":            {"execve", nil, KillProcess},
		"it forks no more":               {"clone", nil, KillProcess},
		"it sets the foreground group":   {"ioctl", []uint64{0, unix.TIOCSPGRP}, Allow},
		"no other request":               {"ioctl", []uint64{0, unix.TIOCSTI}, KillProcess},
		"it maps data":                   {"mmap", []uint64{0, 0, unix.PROT_READ | unix.PROT_WRITE}, Allow},
		"it maps no code":                {"mmap", []uint64{0, 0, unix.PROT_READ | unix.PROT_EXEC}, KillProcess},
		"it makes no socket":             {"socket", []uint64{unix.AF_UNIX, unix.SOCK_STREAM}, KillProcess},
		"a call that is not there kills": {"clone3", nil, KillProcess},
	}
	for _, arch := range arches {
		m := newMachine(t, arch, Init)
		for name, tc := range tests {
			if got := m.call(t, tc.call, tc.args...); got != tc.want {
				t.Errorf("%s: %s: %s%#x = %v, want %v", arch, name, tc.call, tc.args, got, tc.want)
			}
		}
	}
}

// Each number, foreign tables included, gets the action that the description gives it, whatever the arguments.
func TestEveryNumberGetsTheActionDescribed(t *testing.T) {
	filters := map[string]struct {
		build    func(Options) ([]bpf.RawInstruction, error)
		describe func(Options) Policy
	}{"agent": {Agent, Describe}, "init": {Init, DescribeInit}}
	for name, f := range filters {
		for _, arch := range arches {
			m, p := newMachine(t, arch, f.build), f.describe(Options{Arch: arch})
			native := m.audit
			sets := argSets(p)
			check := func(audit, nr uint32, args [6]uint64) {
				m.audit = audit
				if got, want := m.run(t, nr, args), decide(p, m.arch, audit, nr, args); got != want {
					t.Fatalf("%s of %s: audit %#x, number %#x, args %#x: %v, described as %v",
						name, arch, audit, nr, args, got, want)
				}
			}
			for nr := range uint32(1024) {
				for _, args := range sets {
					check(native, nr, args)
				}
				for _, base := range []uint32{x32Bit, 1 << 31, 1<<32 - 1024} {
					check(native, base+nr, sets[0])
				}
				for _, foreign := range []uint32{auditI386, unix.AUDIT_ARCH_ARM, unix.AUDIT_ARCH_RISCV64, 0} {
					check(foreign, nr, sets[0])
				}
			}
		}
	}
}
