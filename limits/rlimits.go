// Package limits turns a profile's limits into values for the kernel: resource limits of setrlimit(2). Pure.
package limits

import (
	"golang.org/x/sys/unix"

	"github.com/opencontainers/runc/libcontainer/configs"
)

// Rlimits are the resource limits of every process in the box. No core file: it would hold what the agent read. A
// kernel.core_pattern that names a program is not held by this limit (core(5)); doctor says when the host has one.
func Rlimits() []configs.Rlimit {
	return []configs.Rlimit{{Type: unix.RLIMIT_CORE, Hard: 0, Soft: 0}}
}
