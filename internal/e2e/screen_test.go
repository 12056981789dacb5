package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A screen is a terminal of which the test holds the person's side: it types, and
// it sees every byte that arrives.
type screen struct {
	t             *testing.T
	master, slave *os.File
	mu            sync.Mutex
	seen          []byte
}

func newScreen(t *testing.T, rows, columns uint16) *screen {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, master: os.NewFile(uintptr(fd), "ptmx")}
	t.Cleanup(func() { s.master.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if s.slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.slave.Close() })
	s.resize(rows, columns)
	go s.watch()
	return s
}

func (s *screen) watch() {
	buf := make([]byte, 32<<10)
	for {
		n, err := s.master.Read(buf)
		s.mu.Lock()
		s.seen = append(s.seen, buf[:n]...)
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *screen) resize(rows, columns uint16) {
	s.t.Helper()
	raw, err := s.master.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			if err := unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
				s.t.Error(err)
			}
		})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// modes are the terminal's settings, raw mode among them.
func (s *screen) modes() unix.Termios {
	s.t.Helper()
	modes, err := unix.IoctlGetTermios(int(s.slave.Fd()), unix.TCGETS)
	if err != nil {
		s.t.Fatal(err)
	}
	return *modes
}

func (s *screen) isRaw() bool {
	return s.modes().Lflag&(unix.ICANON|unix.ECHO|unix.ISIG|unix.IEXTEN) == 0
}

func (s *screen) send(keys string) {
	s.t.Helper()
	if _, err := s.master.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.seen)
}

// shows waits until a text has arrived, as often as it should.
func (s *screen) shows(text string, times int) {
	s.t.Helper()
	until(s.t, fmt.Sprintf("the terminal shows %q %d times", text, times), func() bool {
		return strings.Count(s.text(), text) >= times
	})
}

// all is what has arrived when the last program has ended.
func (s *screen) all() string {
	s.t.Helper()
	const end = "<end of the test>"
	if _, err := s.slave.WriteString(end); err != nil {
		s.t.Fatal(err)
	}
	s.shows(end, 1)
	text, _, _ := strings.Cut(s.text(), end)
	return text
}

// on gives the command this terminal as its input, its output and its controlling
// one.
func (s *screen) on(cmd *exec.Cmd) *exec.Cmd {
	cmd.Stdin, cmd.Stdout = s.slave, s.slave
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	return cmd
}

// begin starts a command here and returns a function that waits for its end.
func (s *screen) begin(cmd *exec.Cmd) (wait func() int) {
	s.t.Helper()
	s.on(cmd)
	var diag bytes.Buffer
	cmd.Stderr = &diag
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	wait = sync.OnceValue(func() int {
		defer time.AfterFunc(patience, func() { cmd.Process.Kill() }).Stop()
		cmd.Wait()
		if diag.Len() > 0 {
			s.t.Logf("stderr: %s", &diag)
		}
		return cmd.ProcessState.ExitCode()
	})
	s.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			wait()
		}
	})
	return wait
}
