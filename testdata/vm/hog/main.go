// The hog is an agent that takes what a box limits, and says what it got.
//
//	hog memory MIB    touches memory, 100 MiB a second, and keeps it for two seconds
//	hog memfd MIB     the same in a file in memory
//	hog files N       opens files
//	hog forks N       starts processes
//	hog burn N        prints the processors that N busy processes had, for some seconds
package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) != 3 {
		fail(fmt.Errorf("usage: hog WHAT N"))
	}
	n, err := strconv.Atoi(os.Args[2])
	if err == nil {
		err = take(os.Args[1], n)
	}
	fail(err)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "hog:", err)
		os.Exit(1)
	}
}

func take(what string, n int) error {
	switch what {
	case "memory":
		return memory(n)
	case "memfd":
		return memfd(n)
	case "files":
		for range n {
			if _, err := os.Open("/dev/null"); err != nil {
				return err
			}
		}
	case "forks":
		for range n {
			if err := exec.Command("/proc/self/exe", "wait", "5").Start(); err != nil {
				return err
			}
		}
	case "wait":
		time.Sleep(time.Duration(n) * time.Second)
	case "burn":
		return burn(n)
	case "spin":
		for end := time.Now().Add(time.Duration(n) * time.Second); time.Now().Before(end); {
		}
	default:
		return fmt.Errorf("%q is nothing to take", what)
	}
	return nil
}

// A watch that looks ten times a second sees such a hog grow.
const (
	pace = 10 * time.Millisecond
	kept = 2 * time.Second
)

func memory(mib int) error {
	for range mib {
		page, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
		if err != nil {
			return err
		}
		page[0] = 1
		time.Sleep(pace)
	}
	time.Sleep(kept)
	return nil
}

func memfd(mib int) error {
	fd, err := unix.MemfdCreate("hog", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	for range mib {
		if _, err := unix.Write(fd, make([]byte, 1<<20)); err != nil {
			return err
		}
		time.Sleep(pace)
	}
	time.Sleep(kept)
	return nil
}

func burn(n int) error {
	const seconds = 2
	began := time.Now()
	var list []*exec.Cmd
	for range n {
		cmd := exec.Command("/proc/self/exe", "spin", strconv.Itoa(seconds))
		if err := cmd.Start(); err != nil {
			return err
		}
		list = append(list, cmd)
	}
	var spent time.Duration
	for _, cmd := range list {
		if err := cmd.Wait(); err != nil {
			return err
		}
		spent += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	_, err := fmt.Printf("%.3f\n", spent.Seconds()/time.Since(began).Seconds())
	return err
}
