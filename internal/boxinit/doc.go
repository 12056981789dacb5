// Package boxinit is what runs inside the box before the agent and beside it: PID 1, and the last steps that turn
// a process of the box's root into the agent. It is C, because it starts before the Go runtime and stays single
// threaded, so that fork(2) is safe and an idle box costs kilobytes; see docs/decisions. The Go half encodes its
// instructions and decodes its messages.
//
// libcontainer starts the binary at Path inside the box with the control socket as descriptor 3 and the
// instructions as descriptor 4. Every step fails closed: it reports itself and its errno, and the agent is never
// executed. PID 1 is not dumpable, keeps CAP_KILL alone, filters itself, and ends the box when the supervisor's
// end of the control socket closes.
package boxinit

// #cgo CFLAGS: -O2 -Wall -Wextra -fstack-protector-strong
import "C"
