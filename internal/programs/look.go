package programs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of what is read of one call.
const (
	maxPath = unix.PathMax
	maxArgs = 512
	maxText = 16 << 10
	chunk   = 256 // first read of each argument: most are shorter
	page    = 4 << 10
)

// look reads what a call is about.
func look(n notif) (s Start, err error) {
	s = Start{PID: int(n.pid), At: time.Now()}
	path, argv := n.args[0], n.args[1]
	at := unix.AT_FDCWD
	flags := uint64(0)
	if int(n.nr) == unix.SYS_EXECVEAT {
		at, path, argv, flags = int(int32(n.args[0])), n.args[1], n.args[2], n.args[4]
	}
	m := memory{pid: int(n.pid)}
	if s.Path, err = m.text(path, maxPath); err != nil {
		return s, err
	}
	s.Argv, s.Cut = m.list(argv)
	if err := s.process(); err != nil {
		return s, err
	}
	if s.Path == "" && flags&unix.AT_EMPTY_PATH != 0 {
		s.Path, err = os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.pid, at))
		return s, err
	}
	s.Missing = s.missing(int(n.pid), at)
	return s, nil
}

// process reads what the kernel knows of the process. The number that came is that of a thread.
func (s *Start) process() error {
	dir := fmt.Sprintf("/proc/%d/", s.PID)
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return err
	}
	for line := range bytes.Lines(status) {
		key, value, _ := bytes.Cut(line, []byte(":\t"))
		first, _, _ := bytes.Cut(bytes.TrimSpace(value), []byte("\t"))
		number, _ := strconv.Atoi(string(first))
		switch string(key) {
		case "Tgid":
			s.PID = number
		case "PPid":
			s.Parent = number
		case "Uid":
			s.UID = number
		}
	}
	s.Dir, err = os.Readlink(dir + "cwd")
	return err
}

// missing reports that a call will fail because there is no such file. Where that cannot be told it is taken to be there:
// the links of /proc lead elsewhere for everybody who follows them.
func (s Start) missing(pid, at int) bool {
	name := s.Path
	switch {
	case name == "":
		return true
	case name[0] == '/':
	case at == unix.AT_FDCWD:
		name = s.Dir + "/" + name
	default:
		dir, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, at))
		if err != nil {
			return false
		}
		name = dir + "/" + name
	}
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(root)
	fd, err := unix.Openat2(root, name, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)) && !strings.Contains(name, "/proc/") && !strings.Contains(name, "/dev/")
	}
	unix.Close(fd)
	return false
}

// A memory is that of another process.
type memory struct{ pid int }

func (m memory) read(into []byte, from uint64) (int, error) {
	return unix.ProcessVMReadv(m.pid, []unix.Iovec{{Base: &into[0], Len: uint64(len(into))}},
		[]unix.RemoteIovec{{Base: uintptr(from), Len: len(into)}}, 0)
}

// text reads a string to its NUL.
func (m memory) text(from uint64, most int) (string, error) {
	var out []byte
	for len(out) < most {
		b := make([]byte, min(page-int(from%page), most-len(out))) // the next page may not be there
		n, err := m.read(b, from)
		if err != nil {
			return "", err
		}
		if i := bytes.IndexByte(b[:n], 0); i >= 0 {
			return string(append(out, b[:i]...)), nil
		}
		out, from = append(out, b[:n]...), from+uint64(n)
	}
	return string(out), nil
}

// list reads the strings of a NULL-terminated array of pointers.
func (m memory) list(from uint64) (list []string, cut bool) {
	left := maxText
	b := make([]byte, page)
	for from != 0 && len(list) < maxArgs {
		n, err := m.read(b[:page-int(from%page)], from)
		if err != nil || n < 8 {
			return list, true
		}
		for i := 0; i+8 <= n; i += 8 {
			at := binary.NativeEndian.Uint64(b[i:])
			if at == 0 {
				return list, false
			}
			if left <= 0 || len(list) == maxArgs {
				return list, true
			}
			text, err := m.text(at, left)
			if err != nil {
				return list, true
			}
			left -= len(text) + 1
			list = append(list, text)
		}
		from += uint64(n) &^ 7
	}
	return list, from != 0
}
