package cli

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// past is a deadline that is over.
func past() time.Time { return time.Unix(1, 0) }

// The size of a detached session's window before somebody attaches.
const (
	defaultRows    = 24
	defaultColumns = 80
)

// openPTY makes the terminal that a detached session has instead of its caller's. Opening it does not make it this
// process's controlling terminal.
func openPTY() (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("a terminal for the session: %w", err)
	}
	master = os.NewFile(uintptr(fd), "terminal of the session")
	err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	n, nerr := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err = errors.Join(err, nerr); err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err == nil {
		err = setSize(master, defaultRows, defaultColumns)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("a terminal for the session: %w", errors.Join(err, master.Close()))
	}
	return master, slave, nil
}

// setSize changes the size of a terminal's window.
func setSize(f *os.File, rows, columns uint16) error {
	raw, err := f.SyscallConn() // Fd would make the file blocking
	if err != nil {
		return err
	}
	var serr error
	err = raw.Control(func(fd uintptr) {
		serr = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	})
	return errors.Join(err, serr)
}
