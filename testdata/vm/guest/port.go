package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest/vm/wire"
)

// A port is the guest's end of the serial port to the tests.
type port struct{ *os.File }

// openPort finds the port by its name, which the kernel knows a moment after it
// has loaded the driver.
func openPort() (port, error) {
	const class = "/sys/class/virtio-ports"
	var path string
	found := eventually(func() bool {
		entries, _ := os.ReadDir(class)
		for _, e := range entries {
			name, err := os.ReadFile(filepath.Join(class, e.Name(), "name"))
			if err == nil && strings.TrimSpace(string(name)) == wire.PortName {
				path = filepath.Join("/dev", e.Name())
				return true
			}
		}
		return false
	})
	if !found {
		return port{}, errors.New("the machine has no port to the tests")
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	return port{f}, err
}

// Read waits for the host to open its end, which the kernel shows as an end of
// file that passes.
func (p port) Read(b []byte) (n int, err error) {
	eventually(func() bool {
		n, err = p.File.Read(b)
		return !errors.Is(err, io.EOF)
	})
	return n, err
}

func sendReady(to io.Writer) error {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return err
	}
	return wire.Send(to, wire.Reply{Ready: unix.ByteSliceToString(name.Release[:])})
}

// eventually waits for what the kernel does beside this process, and of which it
// sends no event.
func eventually(done func() bool) bool {
	for range 500 {
		if done() {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}
