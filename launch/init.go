package launch

import (
	"os"
	"runtime/debug"

	"github.com/opencontainers/runc/libcontainer"
	_ "github.com/opencontainers/runc/libcontainer/nsenter" // enters the namespaces before the Go runtime starts
)

// IsInit reports whether libcontainer started this process to become the first of a box. The variable is
// libcontainer's own and reaches no agent.
func IsInit() bool {
	return len(os.Args) > 1 && os.Args[1] == "init" && os.Getenv("_LIBCONTAINER_INITPIPE") != ""
}

// Init sets up the box from inside and executes its PID 1; it does not return.
func Init() {
	debug.SetGCPercent(-1) // it lives for milliseconds
	libcontainer.Init()
}
