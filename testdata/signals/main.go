// Command signals starts a program many times while it sends itself signals, as Go's own runtime does to preempt.
//
//	signals COUNT PROGRAM [ARGUMENTS]
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	count, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGUSR1)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-done:
				return
			default:
				_ = syscall.Kill(os.Getpid(), syscall.SIGUSR1)
				_ = syscall.Kill(os.Getpid(), syscall.SIGURG)
			}
		}
	}()
	for range count {
		if err := exec.Command(args[1], args[2:]...).Run(); err != nil {
			return err
		}
	}
	return nil
}
