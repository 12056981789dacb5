// Package pidfd tells of a process by its descriptor what only /proc or its parent would know otherwise.
package pidfd

import (
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// info is struct pidfd_info of linux/pidfd.h, in its first version.
type info struct {
	mask, cgroup     uint64
	pid, tgid, ppid  uint32
	ruid, rgid, euid uint32
	rest             [5]uint32 // further ids
	exit             int32
}

const (
	getInfo  = 3<<30 | unsafe.Sizeof(info{})<<16 | 0xff<<8 | 11 // PIDFD_GET_INFO, Linux 6.13
	infoExit = 1 << 3                                           // PIDFD_INFO_EXIT, Linux 6.15
)

func (i *info) get(pidfd int) bool {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(pidfd), uintptr(getInfo), uintptr(unsafe.Pointer(i)))
	return errno == 0
}

// Whose is a process that lives: its parent and real user, as the caller's namespaces number them; ok is false where the
// kernel does not tell (before Linux 6.13).
func Whose(pidfd int) (parent, uid int, ok bool) {
	i := info{}
	if !i.get(pidfd) {
		return 0, 0, false
	}
	return int(i.ppid), int(i.ruid), true
}

// Exit is how a process has ended that its parent has waited for; ok is false where the kernel does not tell.
func Exit(pidfd int) (status unix.WaitStatus, ok bool) {
	i := info{mask: infoExit}
	if !i.get(pidfd) || i.mask&infoExit == 0 {
		return 0, false
	}
	return unix.WaitStatus(i.exit), true
}

// Told reports a kernel that tells. That cannot be asked for without a process that has ended.
func Told() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	major, rest, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), ".")
	minor, _, _ := strings.Cut(rest, ".")
	ma, err1 := strconv.Atoi(major)
	mi, err2 := strconv.Atoi(strings.TrimRightFunc(minor, func(r rune) bool { return r < '0' || r > '9' }))
	return err1 == nil && err2 == nil && (ma > 6 || ma == 6 && mi >= 15)
}
