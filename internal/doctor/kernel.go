package doctor

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"agentbox/launch"
	"agentbox/profile"
)

func isAbsent(err error) bool { return errors.Is(err, exec.ErrNotFound) }

// seccompFilter loads a filter that allows everything, with the flag that the box uses.
func seccompFilter(host) Check {
	err := launch.TryFilter(false)
	if err == nil {
		return ok("seccomp", "loaded a filter")
	}
	return Check{Name: "seccomp", State: Missing, What: "a filter was refused: " + err.Error(),
		Cost:   "every system call of the kernel is open to the agent",
		Remedy: `a kernel with CONFIG_SECCOMP_FILTER; degrade = ["seccomp"] in [agent] starts boxes without a filter`}
}

// programRecord is about what a start has tried already.
func programRecord(h host) Check {
	why, missing := h.Missing[profile.DegradePrograms]
	if h.Missing[profile.DegradeSeccomp] != "" {
		why, missing = "it needs seccomp", true
	}
	if !missing {
		return ok("programs", "a filter can ask before each program is started")
	}
	return Check{Name: "programs", State: Missing, What: why,
		Cost:   "the record does not have the programs that an agent starts, limits.execs cannot be held, and a hook that is ended before it asks goes unnoticed",
		Remedy: `Linux 5.19 or newer, kernel.yama.ptrace_scope below 3, and an outer container that intercepts no system calls (LXC, Incus: security.syscalls.intercept.*); degrade = ["programs"] in [agent] starts boxes without, as the presets default, claude and codex do`}
}

// landlockAdds says what each ABI of Landlock added; see landlock(7).
var landlockAdds = []string{
	"1: file access by path",
	"2: links and renames between directories",
	"3: truncation",
	"4: TCP ports",
	"5: ioctl on devices",
	"6: abstract sockets and signals of processes outside",
	"7: denials in the audit log",
}

// landlockRules enters an empty domain.
func landlockRules(h host) Check {
	missing := Check{Name: "landlock", State: Missing, Cost: "the mounts alone keep the agent from writing; a second mechanism that repeats their verdict is missing",
		Remedy: `a kernel from 5.13 with CONFIG_SECURITY_LANDLOCK, and "landlock" in its lsm= parameter; degrade = ["landlock"] in [agent] starts boxes without`}
	if h.LandlockABI == 0 {
		missing.What = "the kernel has no Landlock"
		return missing
	}
	err := launch.OnThread(func() error {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("no_new_privs: %w", err)
		}
		attr := unix.LandlockRulesetAttr{Handled_access_fs: unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK}
		fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr.Handled_access_fs), 0)
		if errno != 0 {
			return errno
		}
		defer unix.Close(int(fd))
		if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
			return errno
		}
		return nil
	})
	if err != nil {
		missing.What = "a rule set was refused: " + err.Error()
		return missing
	}
	has := min(h.LandlockABI, len(landlockAdds))
	c := ok("landlock", fmt.Sprintf("entered a domain; ABI %d", h.LandlockABI))
	if h.LandlockABI < 3 {
		c.State, c.Cost = Degraded, "this ABI does not know "+strings.Join(landlockAdds[has:3], ", ")+": for those the mounts decide alone"
		c.Remedy = "a newer kernel"
	}
	return c
}

// sessionKeyring asks for the caller's keyring, as the engine does before it gives the box another one.
func sessionKeyring(h host) Check {
	why, missing := h.Missing[profile.DegradeKeyring]
	if !missing {
		return ok("session keyring", "keyctl(2) answers")
	}
	return Check{Name: "session keyring", State: Missing, What: why,
		Cost:   "the agent would keep the caller's session keyring; the filter refuses every call that could use it",
		Remedy: `let the outer container allow keyctl(2), or degrade = ["keyring"] in [agent]`}
}

// terminalInjection is about TIOCSTI, which pushes keystrokes into a terminal (CVE-2017-5226).
func terminalInjection(h host) Check {
	v, found := h.read("/proc/sys/dev/tty/legacy_tiocsti")
	if found && v == "0" {
		return ok("legacy TIOCSTI", "the kernel refuses it")
	}
	what := "dev.tty.legacy_tiocsti is 1"
	if !found {
		what = "the kernel has no switch for it, so it works"
	}
	return Check{Name: "legacy TIOCSTI", State: Note, What: what,
		Cost:   "none for the host: a box has a terminal of its own, and keystrokes pushed into that one stay in it",
		Remedy: "for programs outside boxes, as root:\n    sysctl -w dev.tty.legacy_tiocsti=0"}
}

// corePattern looks for a handler of crashes, which the kernel starts outside every container.
func corePattern(h host) Check {
	v, found := h.read("/proc/sys/kernel/core_pattern")
	if !found || !strings.HasPrefix(v, "|") {
		return ok("core dumps", "no program outside receives them")
	}
	program, _, _ := strings.Cut(strings.TrimLeft(v, "| "), " ")
	return Check{Name: "core dumps", State: Note, What: "a crash starts " + program + " on the host, as root, with the crashed process's memory as its input",
		Cost:   "that program reads what an agent wrote; agentbox's limit on core files keeps honest crashes from it (core(5))",
		Remedy: "as root:\n    sysctl -w kernel.core_pattern=core"}
}
