// Command agentbox runs an AI agent in a box that a security profile describes.
package main

import (
	"os"
	"runtime"

	"agentbox/internal/cli"
	"agentbox/launch"
)

func main() {
	if launch.IsInit() {
		launch.Init() // never returns
	}
	// The main goroutine keeps the main thread, the one that /proc/self shows. Others, libcontainer's among them, lock a thread
	// and enter the box's mount namespace with it; on the main thread that would be for good.
	runtime.LockOSThread()
	os.Exit(cli.Main(os.Args, os.Stdin, os.Stdout, os.Stderr))
}
