// Command agentbox runs an AI agent in a box that a security profile describes.
package main

import (
	"os"
	"runtime"

	"agentbox/internal/cli"
	"agentbox/launch"
)

// init keeps the main goroutine on the main thread, the one that /proc/self shows. Others, libcontainer's among them, lock a
// thread, enter the box's mount namespace with it and let it go; on the main thread that would be for good.
func init() { runtime.LockOSThread() }

func main() {
	if launch.IsInit() {
		launch.Init() // never returns
	}
	os.Exit(cli.Main(os.Args, os.Stdin, os.Stdout, os.Stderr))
}
