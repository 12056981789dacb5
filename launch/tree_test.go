package launch

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"agentbox/profile"
)

// plant makes files below dir. "a/b" is a file, "a/" a directory, "a -> b" a symbolic link, "a = b" a second name of b,
// "a |" a FIFO, "a (" a socket that nobody holds, "a ((" one that a process holds, "a/ 000" a directory with that mode.
func plant(t *testing.T, dir string, list ...string) {
	t.Helper()
	for _, line := range list {
		name, rest, _ := strings.Cut(line, " ")
		kind, to, _ := strings.Cut(rest, " ")
		full := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		switch {
		case kind == "->":
			must(t, os.Symlink(strings.ReplaceAll(to, "%", dir), full))
		case kind == "=":
			must(t, os.Link(filepath.Join(dir, to), full))
		case kind == "|":
			must(t, unix.Mkfifo(full, 0o600))
		case strings.HasPrefix(kind, "("):
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: full})
			must(t, err)
			l.SetUnlinkOnClose(false)
			if kind == "(" {
				must(t, l.Close())
			} else {
				t.Cleanup(func() { l.Close() })
			}
		case strings.HasSuffix(name, "/"):
			must(t, os.MkdirAll(full, 0o755))
			if kind == "000" {
				must(t, os.Chmod(full, 0))
				t.Cleanup(func() { os.Chmod(full, 0o755) })
			}
		default:
			must(t, os.WriteFile(full, []byte(name), 0o644))
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// scratchDir is a directory without symbolic links in its path and short enough for a socket's.
func scratchDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agentbox-test-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	dir, err = filepath.EvalSymlinks(dir)
	must(t, err)
	return dir
}

// asOrdinaryUser gives up root's rights over files, for this test's thread: root can look everywhere.
func asOrdinaryUser(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	const nobody = 65534
	runtime.LockOSThread()
	_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0) // setfsuid(2) reports no errors
	t.Cleanup(func() {
		_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, 0, 0, 0)
		runtime.UnlockOSThread()
	})
}

// person is a host with a home and a project that a test has made.
func person(base string) Host {
	h := Host{EUID: 1000, EGID: 1000, CallerUID: 1000, CallerGID: 1000, Dir: filepath.Join(base, "home/project")}
	h.Files.Home, h.Files.User = filepath.Join(base, "home"), "me"
	return h
}

// bare is a profile with nothing but a workspace.
func bare(mode string) profile.Profile {
	return profile.Profile{Workspace: profile.Workspace{Path: ".", Mode: mode}}
}
