package launch

import (
	"golang.org/x/sys/unix"

	"agentbox/internal/boxinit"
)

// Rights of landlock(7) by the ABI that brought them. Reading and executing are left to the mounts: the box may read
// whatever it shows, and a handled right is looked up along the whole path at every open (reading 1.2 times, with
// TRUNCATE 1.3 times as long as outside).
const (
	landlockWrite = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	landlockDevices = unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK // never given
	landlockRefer   = unix.LANDLOCK_ACCESS_FS_REFER                                          // ABI 2
	landlockIoctl   = unix.LANDLOCK_ACCESS_FS_IOCTL_DEV                                      // ABI 5
)

// landlock repeats the mounts' verdict in a second mechanism: writing only where a mount is writable.
func (p Plan) landlock() *boxinit.Landlock {
	if p.Landlock == 0 {
		return nil
	}
	write, devices := uint64(landlockWrite), uint64(unix.LANDLOCK_ACCESS_FS_WRITE_FILE)
	if p.Landlock >= 2 {
		write |= landlockRefer
	}
	handled := landlockDevices | write
	if p.Landlock >= 5 {
		handled |= landlockIoctl
		devices |= landlockIoctl
	}
	l := &boxinit.Landlock{FS: handled}
	add := func(path string, access uint64) {
		l.Rules = append(l.Rules, boxinit.LandlockRule{Access: access, Path: path})
	}
	add("/dev", devices)
	add("/proc", unix.LANDLOCK_ACCESS_FS_WRITE_FILE)
	for _, w := range p.Files.Writable {
		add(w, write)
	}
	return l
}
