package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// errNoOwner says that a socket's program is not to be found.
var errNoOwner = errors.New("no process of the box holds the socket")

// maxArgv is how much of a command line is kept of a program that is only named.
const maxArgv = 4 << 10

// Owner finds the process of the box that holds a socket, by the number that sock_diag(7) has for it.
func (b *Box) Owner(inode uint32) (pid int, argv []string, err error) {
	want := fmt.Sprintf("socket:[%d]", inode)
	// Most connections are of the program that made the last one.
	if last := int(b.lastOwner.Load()); last != 0 && holds(last, want) {
		return last, commandLine(last), nil
	}
	for _, pid := range b.processes() {
		if holds(pid, want) {
			b.lastOwner.Store(int64(pid))
			return pid, commandLine(pid), nil
		}
	}
	return 0, nil, errNoOwner
}

func holds(pid int, want string) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return false
	}
	for _, name := range names {
		if target, err := os.Readlink(filepath.Join(dir, name)); err == nil && target == want {
			return true
		}
	}
	return false
}

func commandLine(pid int) []string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(data) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(data[:min(len(data), maxArgv)]), "\x00"), "\x00")
}
