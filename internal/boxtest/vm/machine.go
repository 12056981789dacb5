package vm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest/vm/wire"
)

// bootLimit is when a machine that has not answered is given up.
const bootLimit = 2 * time.Minute

// A Machine is a virtual machine that runs.
type Machine struct {
	Kernel   string        // the release of its kernel
	BootTime time.Duration // from the start of the emulator until the machine served commands

	emulator *exec.Cmd
	gone     chan struct{} // closed when the emulator has ended
	console  console
	ready    chan string

	mu     sync.Mutex
	port   io.Writer
	last   int
	asked  map[int]*answer
	broken error
}

// An answer is what came back for one request.
type answer struct {
	stdout, stderr bytes.Buffer
	outcome        wire.Outcome
	err            error
	done           chan struct{}
}

// boot starts the emulator, fills the machine's disk, and waits until it serves.
func boot(o Options, binary string) (*Machine, error) {
	hw, err := newHardware(o)
	if err != nil {
		return nil, err
	}
	defer hw.close()
	trees, init, err := software(o, binary)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	m := &Machine{gone: make(chan struct{}), ready: make(chan string, 1), asked: map[int]*answer{}}
	if err := m.startEmulator(hw); err != nil {
		return nil, err
	}
	if err := m.fill(trees, init); err != nil {
		m.kill()
		return nil, fmt.Errorf("%w\n%s", err, m.console.tail())
	}
	m.BootTime = time.Since(start)
	return m, nil
}

// fill sends a machine its files and starts what serves commands.
func (m *Machine) fill(trees [][]byte, init string) error {
	if err := m.awaitReady(); err != nil {
		return err
	}
	for _, tree := range trees {
		if _, err := m.ask(wire.Request{Tree: tree}); err != nil {
			return fmt.Errorf("the files of the machine: %w", err)
		}
	}
	m.mu.Lock()
	err := wire.Send(m.port, wire.Request{Boot: &wire.Boot{Init: init}})
	m.mu.Unlock()
	if err != nil {
		return err
	}
	return m.awaitReady()
}

func (m *Machine) awaitReady() error {
	select {
	case m.Kernel = <-m.ready:
		return nil
	case <-m.gone:
		return errors.New("the machine ended while it booted")
	case <-time.After(bootLimit):
		return fmt.Errorf("the machine did not boot in %v", bootLimit)
	}
}

// startEmulator starts qemu with a socket as the machine's port. The emulator
// dies with the thread that starts it, so that thread waits for its end and does
// nothing else.
func (m *Machine) startEmulator(hw *hardware) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(pair[0], true); err != nil {
		return err
	}
	here, there := os.NewFile(uintptr(pair[0]), "port"), os.NewFile(uintptr(pair[1]), "port")
	defer there.Close()
	cmd := exec.Command(emulator, hw.args()...)
	cmd.ExtraFiles = append([]*os.File{there}, hw.inherited()...)
	cmd.Stdout, cmd.Stderr = &m.console, &m.console
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	m.emulator = cmd
	m.port = here
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
			close(m.gone)
		}
		here.Close()
	}()
	if err := <-started; err != nil {
		return err
	}
	go m.listen(here)
	return nil
}

// listen hands the replies to those who asked, until the machine is gone.
func (m *Machine) listen(port io.Reader) {
	for {
		r, err := wire.Receive[wire.Reply](port)
		if err != nil {
			m.fail(err)
			return
		}
		if r.Ready != "" {
			m.ready <- r.Ready
			continue
		}
		m.mu.Lock()
		if a := m.asked[r.ID]; a != nil {
			a.take(r)
			if r.Done != nil {
				delete(m.asked, r.ID)
			}
		}
		m.mu.Unlock()
	}
}

func (a *answer) take(r wire.Reply) {
	a.stdout.Write(r.Stdout)
	a.stderr.Write(r.Stderr)
	if r.Done == nil {
		return
	}
	a.outcome = *r.Done
	if r.Done.Problem != "" {
		a.err = errors.New(r.Done.Problem)
	}
	close(a.done)
}

// fail ends every request: the machine will not answer any more.
func (m *Machine) fail(cause error) {
	m.kill()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = fmt.Errorf("the machine ended (%w):\n%s", cause, m.console.tail())
	for id, a := range m.asked {
		a.err = m.broken
		close(a.done)
		delete(m.asked, id)
	}
}

// ask sends a request and waits for its outcome.
func (m *Machine) ask(r wire.Request) (*answer, error) {
	a := &answer{done: make(chan struct{})}
	m.mu.Lock()
	if m.broken != nil {
		m.mu.Unlock()
		return a, m.broken
	}
	m.last++
	r.ID = m.last
	m.asked[r.ID] = a
	err := wire.Send(m.port, r)
	m.mu.Unlock()
	if err != nil {
		return a, fmt.Errorf("ask the machine: %w", err)
	}
	<-a.done
	return a, a.err
}

func (m *Machine) runs() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.broken == nil
}

// kill ends the emulator and waits until it has ended. A machine has nothing to
// save.
func (m *Machine) kill() {
	m.emulator.Process.Kill()
	<-m.gone
}

// A console keeps the last of what the machine's kernel and the emulator say.
type console struct {
	mu   sync.Mutex
	text []byte
}

const consoleKept = 8 << 10

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, p...)
	if extra := len(c.text) - consoleKept; extra > 0 {
		c.text = c.text[extra:]
	}
	return len(p), nil
}

// tail is printable: firmware and kernel clear screens and move cursors.
func (c *console) tail() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return -1
	}, string(c.text))
}
