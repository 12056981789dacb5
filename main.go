// Command agentbox runs an AI agent in a box that a security profile describes.
package main

import (
	"os"

	"agentbox/internal/cli"
	"agentbox/launch"
)

func main() {
	if launch.IsInit() {
		launch.Init() // never returns
	}
	os.Exit(cli.Main(os.Args, os.Stdin, os.Stdout, os.Stderr))
}
