package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"agentbox/internal/boxtest"
	internet "agentbox/internal/boxtest/world"
)

// streams serves testdata/load.
func streams(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		first, err := r.ReadByte()
		if err != nil {
			return
		}
		if first == 'e' {
			if _, err := c.Write([]byte{first}); err != nil {
				return
			}
			continue
		}
		line, _ := r.ReadString('\n')
		n, _ := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		_, _ = io.CopyN(c, zeroes{}, n)
		return
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { return len(p), nil }

// A supervisor is looked at from outside: its memory in MiB, its descriptors, its processor time in seconds.
type supervisor struct{ memory, files, cpu int }

func lookAt(t *testing.T, pid int) (s supervisor) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); f[0] == "VmRSS:" {
			kib, _ := strconv.Atoi(f[1])
			s.memory = kib >> 10
		}
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	s.files = len(fds)
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	s.cpu = (user + system) / 100 // of USER_HZ
	return s
}

// Under load every connection is served, memory stays flat, and afterwards nothing is left open.
func TestLoadOnTheWayOut(t *testing.T) {
	long := os.Getenv("AGENTBOX_TEST_LONG") != ""
	stream, short := 1<<10, 1000
	if long {
		stream, short = 10<<10, 5000
	}
	world := internet.New(t)
	world.Name("load.test", "203.0.113.30")
	server := world.TCP("203.0.113.30:9000", streams)
	w := online(t, boxtest.Superuser, world, `network.allow = ["load.test:9000"]`)
	boxtest.Load(t, w.dir)
	const at = " load.test:9000 "
	b := w.start(t, fmt.Sprintf(`echo ready
		./load open%[1]s1000 && echo closed
		./load short%[1]s%[2]d; ./load stream%[1]s%[3]d; ./load stall%[1]s100; cat >/dev/null`, at, short, stream))
	pid := b.cmd.Process.Pid
	idle := lookAt(t, pid)
	expect := func(want string) supervisor {
		t.Helper()
		if got := b.line(t); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
		s := lookAt(t, pid)
		t.Logf("%-10s %3d MiB, %4d descriptors, %d s of processor time", want, s.memory, s.files, s.cpu)
		return s
	}
	t.Logf("idle       %3d MiB, %4d descriptors", idle.memory, idle.files)
	busy := expect("1000 open")
	fmt.Fprintln(b.stdin)
	expect("closed")
	expect(fmt.Sprint(short, " short"))
	expect(fmt.Sprint(stream, " MiB"))
	expect("10 short")
	expect("stalled")
	after := lookAt(t, pid)
	for deadline := time.Now().Add(patience); after.files > idle.files+20 && time.Now().Before(deadline); after = lookAt(t, pid) {
		runtime.Gosched() // the hundred that stalled are going; what splice(2) needs is kept a while
	}
	t.Logf("after      %3d MiB, %4d descriptors", after.memory, after.files)
	if busy.memory > idle.memory+80 || after.memory > idle.memory+80 {
		t.Errorf("memory: %d MiB idle, %d busy, %d after", idle.memory, busy.memory, after.memory)
	}
	if after.files > idle.files+20 {
		t.Errorf("descriptors: %d before, %d after", idle.files, after.files)
	}
	if n := server.Connections(); n < 1000+short+1+110 {
		t.Errorf("%d connections arrived", n)
	}
	b.end()
}
