package seccomp

import "golang.org/x/sys/unix"

// The kernel's values that golang.org/x/sys/unix does not name.
const (
	setIDBits   = 06000                   // S_ISUID | S_ISGID
	creates     = unix.O_CREAT | 0x400000 // O_CREAT | __O_TMPFILE: without them open(2) does not read its mode
	newListener = 1 << 3                  // SECCOMP_FILTER_FLAG_NEW_LISTENER
	socketType  = 0xf                     // SOCK_TYPE_MASK; above it are SOCK_CLOEXEC and SOCK_NONBLOCK
	tiocLinux   = 0x541c                  // TIOCLINUX
	perLinux32  = 0x0008
	uname26     = 0x20000
	// Every CLONE_NEW* that clone(2) reads. CLONE_NEWTIME is a bit of its exit signal, and clone3's alone.
	namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
		unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET
)

// agentConditions are the calls whose arguments decide.
func agentConditions() []Rule {
	eperm := Errno(unix.EPERM)
	rules := []Rule{
		{"no new namespace", []string{"clone"}, []Clause{
			{[]Test{clear(0, "flags", namespaces)}, Allow},
		}, eperm},
		// TIOCSTI types into a terminal (CVE-2017-5226), TIOCLINUX pastes into one (CVE-2023-28100), and TIOCSETD
		// loads line disciplines. The kernel reads 32 bits of the request (CVE-2019-10063).
		{"no typing into a terminal, no line discipline", []string{"ioctl"}, []Clause{
			{[]Test{{1, "request", every, []uint32{unix.TIOCSTI, tiocLinux, unix.TIOCSETD}}}, eperm},
		}, Allow},
		// A listener would hand the agent descriptors and calls of the processes it filters.
		{"filters of its own, without a listener", []string{"seccomp"}, []Clause{
			{[]Test{clear(1, "flags", newListener)}, Allow},
		}, eperm},
		// A limit of its parent's is a way to keep that from starting programs, such as the hook that answers its tool calls.
		{"limits of its own alone", []string{"prlimit64"}, []Clause{
			{[]Test{{0, "pid", every, []uint32{0}}}, Allow},
		}, eperm},
		{"the personalities moby allows", []string{"personality"}, []Clause{
			{[]Test{{0, "persona", every, []uint32{0, perLinux32, uname26, uname26 | perLinux32, every}}}, Allow},
		}, eperm},
	}
	return append(append(rules, modeConditions()...), socketConditions()...)
}

// modeConditions refuse whatever would set a set-user-id or set-group-id bit, and device nodes.
func modeConditions() []Rule {
	eperm := Errno(unix.EPERM)
	const about = "no set-user-id or set-group-id bit"
	plain := func(arg int, names ...string) Rule {
		return Rule{about, names, []Clause{{[]Test{clear(arg, "mode", setIDBits)}, Allow}}, eperm}
	}
	opens := func(name string, flags, mode int) Rule {
		return Rule{about, []string{name}, []Clause{
			{[]Test{clear(flags, "flags", creates)}, Allow},
			{[]Test{clear(mode, "mode", setIDBits)}, Allow},
		}, eperm}
	}
	node := func(name string, mode int) Rule {
		types := []uint32{0, unix.S_IFREG, unix.S_IFIFO, unix.S_IFSOCK}
		return Rule{about + ", no device", []string{name}, []Clause{
			{[]Test{clear(mode, "mode", setIDBits), {mode, "mode", unix.S_IFMT, types}}, Allow},
		}, eperm}
	}
	return []Rule{
		plain(1, "chmod", "fchmod", "creat", "mkdir"), plain(2, "fchmodat", "fchmodat2", "mkdirat"),
		opens("open", 1, 2), opens("openat", 2, 3), node("mknod", 1), node("mknodat", 2),
	}
}

// socketConditions leave Unix sockets, TCP, UDP, and the netlink protocol that lists interfaces.
func socketConditions() []Rule {
	eperm := Errno(unix.EPERM)
	family := func(v ...uint32) Test { return Test{0, "domain", every, v} }
	kind := func(v ...uint32) Test { return Test{1, "type", socketType, v} }
	protocol := func(v ...uint32) Test { return Test{2, "protocol", every, v} }
	return []Rule{
		{"Unix sockets, TCP, UDP, route netlink", []string{"socket"}, []Clause{
			{[]Test{family(unix.AF_UNIX)}, Allow},
			{[]Test{family(unix.AF_INET, unix.AF_INET6), kind(unix.SOCK_STREAM, unix.SOCK_DGRAM),
				protocol(0, unix.IPPROTO_TCP, unix.IPPROTO_UDP)}, Allow},
			// What a kernel without MPTCP answers. Go's listeners ask for it before plain TCP.
			{[]Test{family(unix.AF_INET, unix.AF_INET6), kind(unix.SOCK_STREAM), protocol(unix.IPPROTO_MPTCP)},
				Errno(unix.EPROTONOSUPPORT)},
			{[]Test{family(unix.AF_NETLINK), protocol(unix.NETLINK_ROUTE)}, Allow},
		}, eperm},
		{"Unix sockets", []string{"socketpair"}, []Clause{{[]Test{family(unix.AF_UNIX)}, Allow}}, eperm},
	}
}

// initConditions are the two calls of PID 1 whose arguments decide.
func initConditions() []Rule {
	return []Rule{
		{"the terminal's foreground group", []string{"ioctl"}, []Clause{
			{[]Test{{1, "request", every, []uint32{unix.TIOCSPGRP}}}, Allow},
		}, KillProcess},
		{"memory that is not code", []string{"mmap"}, []Clause{
			{[]Test{clear(2, "prot", unix.PROT_EXEC)}, Allow},
		}, KillProcess},
	}
}

// initSockets are those that connections into the box are made of.
func initSockets() Rule {
	const kind = unix.SOCK_STREAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	return Rule{"TCP sockets for the supervisor", []string{"socket"}, []Clause{
		{[]Test{{0, "family", every, []uint32{unix.AF_INET, unix.AF_INET6}}, {1, "type", every, []uint32{kind}}}, Allow},
	}, KillProcess}
}

// clear holds when an argument has none of bits.
func clear(arg int, name string, bits uint32) Test {
	return Test{arg, name, bits, []uint32{0}}
}
