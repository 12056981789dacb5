package launch

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"agentbox/profile"
)

// A MissingError says which layer of the box could not be set up. Nothing of the agent ran.
type MissingError struct {
	Layer  string // "net namespace", "seccomp", or a name of the profile's degrade list
	Err    error
	Remedy string
}

func (e *MissingError) Error() string {
	return "cannot set up the layer " + e.Layer + ": " + e.Err.Error()
}

func (e *MissingError) Unwrap() error { return e.Err }

// missing asks the kernel for the layers that some kernels and some outer containers lack. The answer is what the
// system call says, not what a version promises.
func missing(landlock int) map[string]string {
	m := map[string]string{}
	if landlock == 0 {
		m[profile.DegradeLandlock] = "the kernel has no Landlock"
	}
	action := uint32(unix.SECCOMP_RET_ERRNO)
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action))); errno != 0 {
		m[profile.DegradeSeccomp] = "the kernel has no seccomp filters: " + errno.Error()
	}
	if m[profile.DegradeSeccomp] == "" { // the one cause is enough, and programs go with it
		if why := programsMissing(); why != "" {
			m[profile.DegradePrograms] = why
		}
	}
	if _, err := os.Stat("/proc/self/ns/cgroup"); err != nil {
		m[profile.DegradeCgroupNamespace] = "the kernel has no cgroup namespaces"
	}
	_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		m[profile.DegradeKeyring] = "keyctl(2) is refused here: " + err.Error()
	}
	if len(m) == 0 {
		return nil
	}
	return m
}
