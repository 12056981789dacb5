// The guest is the first process of a test machine. It is the /init of the
// initial RAM file system: it loads the kernel modules that lie beside it and
// makes the disk the root, so that pivot_root works. There it takes files from the
// tests, and then either serves commands or becomes the init that came with the
// files, of which "guest serve" is a service.
package main

import (
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest/vm/wire"
)

func main() {
	stage := ""
	if len(os.Args) > 1 {
		stage = os.Args[1]
	}
	var err error
	switch stage {
	case "disk":
		err = takeFiles()
	case "serve-alone":
		err = serve(&cgroupLogins{})
	case "serve":
		err = serve(systemdLogins{})
	default:
		err = leaveInitramfs()
	}
	fmt.Fprintln(os.Stderr, "guest:", err) // the console, which the tests show
	if os.Getpid() == 1 {
		powerOff()
	}
	os.Exit(1)
}

func powerOff() {
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// takeFiles fills the disk and starts what the machine is for.
func takeFiles() error {
	port, err := openPort()
	if err != nil {
		return err
	}
	if err := sendReady(port); err != nil {
		return err
	}
	for {
		r, err := wire.Receive[wire.Request](port)
		if err != nil {
			return err
		}
		if r.Boot != nil {
			port.Close() // the port can be open once
			return start(r.Boot.Init)
		}
		if err := wire.Send(port, wire.Reply{ID: r.ID, Done: outcome(unpack(r.Tree))}); err != nil {
			return err
		}
	}
}

func start(init string) error {
	if init != "" {
		return unix.Exec(init, []string{init}, []string{"PATH=" + searchPath})
	}
	if err := mountAll(); err != nil {
		return err
	}
	if err := os.Remove("/guest"); err != nil { // a link to it stays in /proc
		return err
	}
	return superviseServer()
}

// superviseServer is what PID 1 does: it collects the processes that others leave
// to it, and ends the machine with the server.
func superviseServer() error {
	server := exec.Command("/proc/self/exe", "serve-alone")
	server.Stdout, server.Stderr = os.Stdout, os.Stderr
	if err := server.Start(); err != nil {
		return err
	}
	for {
		pid, err := unix.Wait4(-1, nil, 0, nil)
		if pid == server.Process.Pid || err != nil && err != unix.EINTR {
			return fmt.Errorf("the server ended (%v)", err)
		}
	}
}
