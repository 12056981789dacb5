package session

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// StartTicks returns when a process started, in clock ticks since boot. With the
// PID it names a process for good: a later process with the same PID started
// later.
func StartTicks(pid int) (uint64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	ticks, err := parseStartTicks(data)
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	return ticks, nil
}

// parseStartTicks reads field 22 of /proc/PID/stat. Fields are counted after the
// last parenthesis, because the second one is a name that may hold anything.
func parseStartTicks(stat []byte) (uint64, error) {
	const afterName = 22 - 3
	_, rest, ok := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	fields := bytes.Fields(rest)
	if !ok || bytes.IndexByte(stat, ')') < 0 || len(fields) <= afterName {
		return 0, errors.New("its stat file has too few fields")
	}
	return strconv.ParseUint(string(fields[afterName]), 10, 64)
}

// OpenProcess returns a pidfd of the process that had this PID and start time.
// When it has ended, even if another process got its PID, the error wraps
// os.ErrProcessDone.
func OpenProcess(pid int, ticks uint64) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
	}
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	// The descriptor pins the process, so what is read now is about it or about
	// nobody.
	found, err := StartTicks(pid)
	if err == nil && found == ticks {
		return os.NewFile(uintptr(fd), fmt.Sprintf("pidfd of %d", pid)), nil
	}
	unix.Close(fd)
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
		return nil, err
	}
	return nil, fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
}

// hasEnded says whether a process is known to have ended, be it that its parent has not waited for it yet.
func hasEnded(pid int, ticks uint64) bool {
	f, err := OpenProcess(pid, ticks)
	if err != nil {
		return errors.Is(err, os.ErrProcessDone)
	}
	defer f.Close()
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}
