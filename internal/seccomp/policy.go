package seccomp

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// To add or move a call: name it in exactly one list below (a test says if it stands in none or in two), run the
// tests with -update, and read the golden file's diff.

// agentHot are the calls with argument tests in the order of how often programs make them. The kernel keeps calls
// that are always allowed in a bitmap (since 5.11) and runs the filter for the others alone, so these come first.
var agentHot = []string{"openat", "ioctl", "clone", "socket", "open"}

// A group is a list of calls with one action and no argument tests.
type group struct{ about, names string }

// agentAllowed is moby's list of what needs no capability, less the cuts in agentRefused and agentAbsent.
var agentAllowed = []group{
	{"files", `access chdir chown close close_range copy_file_range dup dup2 dup3 faccessat faccessat2 fadvise64
		fallocate fchdir fchown fchownat fcntl fdatasync flock fstat fstatfs fsync ftruncate futimesat getcwd getdents
		getdents64 lchown link linkat lseek lstat newfstatat pread64 preadv preadv2 pwrite64 pwritev pwritev2 read
		readahead readlink readlinkat readv rename renameat renameat2 rmdir sendfile splice stat statfs statx symlink
		symlinkat sync sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat utimes vmsplice write
		writev`},
	{"extended attributes", `fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr
		listxattrat llistxattr lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat`},
	{"mounts, to read", `listmount statmount`},
	{"waiting for events", `epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2
		inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
		io_setup io_submit pause poll ppoll pselect6 select signalfd signalfd4`},
	{"memory", `brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2
		mlockall mmap mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect
		process_mrelease remap_file_pages`},
	{"processes and threads", `arch_prctl execve execveat exit exit_group fork futex futex_requeue futex_wait
		futex_waitv futex_wake get_robust_list get_thread_area getcpu getpgid getpgrp getpid getppid getpriority
		getrlimit getrusage getsid gettid ioprio_get ioprio_set kill pidfd_open pidfd_send_signal prctl
		restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
		rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity
		sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr
		sched_setparam sched_setscheduler sched_yield set_robust_list set_thread_area set_tid_address setpgid
		setpriority setrlimit setsid sigaltstack tgkill tkill uname vfork wait4 waitid`},
	{"user ids and capabilities, which can only shrink", `capget capset getegid geteuid getgid getgroups getresgid
		getresuid getuid setfsgid setfsuid setgid setgroups setregid setresgid setresuid setreuid setuid`},
	{"clocks and timers; setting a clock needs a capability", `adjtimex alarm clock_adjtime clock_getres clock_gettime
		clock_nanosleep getitimer gettimeofday nanosleep setitimer time timer_create timer_delete timer_getoverrun
		timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times`},
	{"sockets that exist", `accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg
		recvmsg sendmmsg sendmsg sendto setsockopt shutdown`},
	{"System V and POSIX queues, semaphores and shared memory", `mq_getsetattr mq_notify mq_open mq_timedreceive
		mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop shmat shmctl shmdt shmget`},
	{"sandboxes of the agent's own", `landlock_add_rule landlock_create_ruleset landlock_restrict_self`},
	{"the system", `getrandom pipe pipe2 sysinfo`},
	// Only the kernel's own trampolines call these; new kernels let them past any filter.
	{"probes that the host set", `uprobe uretprobe`},
}

// agentRefused answers EPERM. Default would do the same; the list is there to be read, and to be complete.
var agentRefused = []group{
	{"namespaces", `setns unshare`},
	{"mounts and the root", `chroot fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree
		open_tree_attr pivot_root umount2`},
	// moby allows ptrace and process_vm_* because the kernel limits them to one's own processes.
	{"other processes", `kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace`},
	// moby allows name_to_handle_at, which is of no use without the other (the "shocker" escape of 2014).
	{"files by handle", `name_to_handle_at open_by_handle_at`},
	{"kernel keyrings, which have no namespace", `add_key keyctl request_key`},
	{"large kernel surfaces", `bpf fanotify_init fanotify_mark lookup_dcookie perf_event_open userfaultfd`},
	{"memory policy", `get_mempolicy mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node`},
	{"security modules", `lsm_get_self_attr lsm_list_modules lsm_set_self_attr`},
	{"the host", `acct clock_settime delete_module finit_module init_module kexec_file_load kexec_load quotactl
		quotactl_fd reboot setdomainname sethostname settimeofday swapoff swapon syslog vhangup`},
	// moby allows modify_ldt: 16-bit segments have no user here but exploits.
	{"x86 hardware", `ioperm iopl modify_ldt`},
	{"retired", `_sysctl afs_syscall create_module epoll_ctl_old epoll_wait_old get_kernel_syms getpmsg nfsservctl
		putpmsg query_module security sysfs tuxcall uselib ustat vserver`},
}

// agentAbsent answers ENOSYS, as a kernel without the call does.
var agentAbsent = []group{
	{"flags or operations in memory, where no filter sees them", `clone3 io_uring_enter io_uring_register
		io_uring_setup openat2`},
	{"too new", `file_getattr file_setattr listns rseq_slice_yield`},
}

// initAllowed is what PID 1 does while it waits: poll, read, reap, signal, report, and what a C library adds.
var initAllowed = []group{
	{"the loop of PID 1", `brk clock_gettime clock_nanosleep close exit exit_group futex getpgid getpid gettid kill
		munmap nanosleep poll ppoll read recvfrom recvmsg restart_syscall rt_sigaction rt_sigpending rt_sigprocmask
		rt_sigreturn rt_sigsuspend rt_sigtimedwait sendmsg sendto tgkill wait4 waitid write`},
}

func agentPolicy(a arch, o Options) Policy {
	p := basePolicy(a, o.Arch)
	p.Default = Errno(unix.EPERM)
	p.Rules = slices.Concat(
		expand(agentAllowed, Allow), agentConditions(), expand(agentRefused, Errno(unix.EPERM)),
		expand(agentAbsent, Errno(unix.ENOSYS)))
	if o.Pinned {
		p.move("the processors, which are a limit", Errno(unix.EPERM), "sched_setaffinity")
	}
	if o.Programs {
		p.move("programs, which go on the record", Notify, "execve", "execveat")
	}
	p.Rules = native(a, p.Rules)
	return p
}

// move takes calls out of the rules that they stand in, and gives them one of their own.
func (p *Policy) move(about string, to Action, names ...string) {
	for i, r := range p.Rules {
		p.Rules[i].Names = slices.DeleteFunc(r.Names, func(n string) bool { return slices.Contains(names, n) })
	}
	p.Rules = append(p.Rules, Rule{About: about, Names: names, Otherwise: to})
}

func initPolicy(a arch, o Options) Policy {
	p := basePolicy(a, o.Arch)
	p.Unknown, p.Default = KillProcess, KillProcess
	if a.x32 {
		p.X32 = KillProcess
	}
	rules := slices.Concat(expand(initAllowed, Allow), initConditions())
	if o.Sockets {
		rules = append(rules, initSockets())
	}
	p.Rules = native(a, rules)
	return p
}

func basePolicy(a arch, name string) Policy {
	p := Policy{Arch: name, Foreign: KillProcess, Unknown: Errno(unix.ENOSYS)}
	if a.x32 {
		p.X32 = Errno(unix.ENOSYS)
	}
	return p
}

func expand(groups []group, act Action) []Rule {
	rules := make([]Rule, len(groups))
	for i, g := range groups {
		rules[i] = Rule{About: g.about, Names: strings.Fields(g.names), Otherwise: act}
	}
	return rules
}

// native drops names that the architecture does not have (arm64 has no open, only openat), then empty rules.
func native(a arch, rules []Rule) []Rule {
	has := make(map[string]bool, len(a.names))
	for _, n := range a.names {
		has[n] = true
	}
	kept := rules[:0]
	for _, r := range rules {
		r.Names = slices.DeleteFunc(r.Names, func(n string) bool { return !has[n] })
		if len(r.Names) > 0 {
			kept = append(kept, r)
		}
	}
	return kept
}
