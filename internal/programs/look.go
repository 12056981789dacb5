package programs

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/pidfd"
)

// Bounds of what is read of one call.
const (
	maxPath = unix.PathMax
	maxArgs = 512
	maxText = 16 << 10
	chunk   = 128 // first read of each argument: most are shorter
	page    = 4 << 10
)

// A seen is a Start with a descriptor of its process, or -1.
type seen struct {
	Start
	pidfd int
}

func (s *seen) release() {
	if s.pidfd >= 0 {
		unix.Close(s.pidfd)
		s.pidfd = -1
	}
}

// look reads what a call is about.
func (l *listening) look(n notif) (s *seen, err error) {
	s = &seen{Start: Start{PID: int(n.pid), Joined: l.joined, At: time.Now()}, pidfd: -1}
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
		s.Path, err = readlink(fmt.Sprintf("/proc/%d/fd/%d", n.pid, at))
		return s, err
	}
	if at != unix.AT_FDCWD && s.Path != "" && s.Path[0] != '/' { // a directory that only the caller knows
		if dir, err := readlink(fmt.Sprintf("/proc/%d/fd/%d", n.pid, at)); err == nil {
			s.Path = dir + "/" + s.Path
		}
	}
	s.Missing = l.missing(s.Start, int(n.pid))
	return s, nil
}

// process fills in what the kernel knows of the process. The number that came is that of a thread.
func (s *seen) process() (err error) {
	dir := "/proc/" + strconv.Itoa(s.PID)
	known := false
	if s.pidfd, err = unix.PidfdOpen(s.PID, 0); err != nil { // another thread than the first has none
		s.pidfd = -1
	} else {
		s.Parent, s.UID, known = pidfd.Whose(s.pidfd)
	}
	if !known {
		thread := s.PID
		if err := s.status(dir + "/status"); err != nil {
			return err
		}
		if s.pidfd < 0 && s.PID != thread {
			if s.pidfd, err = unix.PidfdOpen(s.PID, 0); err != nil {
				s.pidfd = -1
			}
		}
	}
	s.Dir, err = readlink(dir + "/cwd")
	return err
}

// status reads what proc_pid_status(5) says.
func (s *seen) status(file string) error {
	status, err := os.ReadFile(file)
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
	return nil
}

func readlink(name string) (string, error) {
	var buf [unix.PathMax]byte
	n, err := unix.Readlink(name, buf[:])
	if err != nil {
		return "", &os.PathError{Op: "readlink", Path: name, Err: err}
	}
	return string(buf[:n]), nil
}

// missing reports that a call will fail because there is no such file. Where that cannot be told it is taken to be there: a
// start that is on record as missing is not counted.
func (l *listening) missing(s Start, pid int) bool {
	name := s.Path
	if name == "" {
		return true
	}
	if name[0] != '/' {
		name = s.Dir + "/" + name
	}
	if l.root < 0 {
		var err error
		if l.root, err = unix.Open(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
			l.root = -1
			return false
		}
	}
	fd, err := l.open(name)
	if err == nil {
		unix.Close(fd)
		return false
	}
	return absent(err) && l.lacks(name)
}

func (l *listening) open(name string) (int, error) {
	return unix.Openat2(l.root, name, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
}

func absent(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) }

// lacks looks why a name leads nowhere. The files of /proc are others for everybody who looks, /proc/self for one, and so is
// what a symbolic link into it leads to: only what an ordinary directory does not have at all is not there.
func (l *listening) lacks(name string) bool {
	for {
		name = strings.TrimRight(name, "/")
		slash := strings.LastIndexByte(name, '/')
		if slash < 0 {
			return false
		}
		dir, base := name[:slash], name[slash+1:]
		fd, err := l.open(cmp.Or(dir, "/"))
		if err == nil {
			defer unix.Close(fd)
			var fs unix.Statfs_t
			if unix.Fstatfs(fd, &fs) != nil || fs.Type == unix.PROC_SUPER_MAGIC {
				return false
			}
			var st unix.Stat_t
			return absent(unix.Fstatat(fd, base, &st, unix.AT_SYMLINK_NOFOLLOW))
		}
		if !absent(err) {
			return false
		}
		name = dir
	}
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
	var pointers []uint64
	b := make([]byte, page)
	for more := from != 0; more; {
		n, err := m.read(b[:page-int(from%page)], from)
		if err != nil || n < 8 {
			return m.strings(pointers, true)
		}
		for i := 0; i+8 <= n && more; i += 8 {
			at := binary.NativeEndian.Uint64(b[i:])
			if at != 0 && len(pointers) == maxArgs {
				return m.strings(pointers, true)
			}
			if more = at != 0; more {
				pointers = append(pointers, at)
			}
		}
		from += uint64(n) &^ 7
	}
	return m.strings(pointers, false)
}

// strings reads the texts that the pointers lead to: the beginnings of all of them at once, and the rest of the few that
// are longer one by one.
func (m memory) strings(pointers []uint64, more bool) (list []string, cut bool) {
	heads := m.heads(pointers)
	left := maxText
	for i, at := range pointers {
		if left <= 0 {
			return list, true
		}
		var text string
		if end := bytes.IndexByte(heads[i], 0); end >= 0 && end < left {
			text = string(heads[i][:end])
		} else {
			var err error
			if text, err = m.text(at, left); err != nil {
				return list, true
			}
		}
		left -= len(text) + 1
		list = append(list, text)
	}
	return list, more || left < 0 // the last one may go on
}

// heads reads the beginnings of texts. What could not be read is empty.
func (m memory) heads(pointers []uint64) [][]byte {
	heads := make([][]byte, len(pointers))
	if len(pointers) == 0 {
		return heads
	}
	buf := make([]byte, chunk*len(pointers))
	remote := make([]unix.RemoteIovec, len(pointers))
	total := 0
	for i, at := range pointers {
		n := min(chunk, page-int(at%page)) // the next page may not be there
		remote[i] = unix.RemoteIovec{Base: uintptr(at), Len: n}
		total += n
	}
	n, err := unix.ProcessVMReadv(m.pid, []unix.Iovec{{Base: &buf[0], Len: uint64(total)}}, remote, 0)
	if err != nil {
		return heads
	}
	for i := range remote {
		if n < remote[i].Len {
			break
		}
		heads[i], buf, n = buf[:remote[i].Len], buf[remote[i].Len:], n-remote[i].Len
	}
	return heads
}
