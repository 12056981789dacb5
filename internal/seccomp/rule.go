package seccomp

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// An Action is what a filter returns to the kernel. The zero value kills the calling thread.
type Action uint32

// The actions that take no errno.
const (
	Allow       Action = unix.SECCOMP_RET_ALLOW
	KillProcess Action = unix.SECCOMP_RET_KILL_PROCESS
	Notify      Action = unix.SECCOMP_RET_USER_NOTIF // the supervisor decides; seccomp_unotify(2)
)

// Errno returns the action that makes a call fail with e.
func Errno(e unix.Errno) Action {
	return unix.SECCOMP_RET_ERRNO | Action(e)&unix.SECCOMP_RET_DATA
}

// String returns the action in words: "allow", "kill process", or the name of an errno.
func (a Action) String() string {
	switch {
	case a == Allow:
		return "allow"
	case a == KillProcess:
		return "kill process"
	case a == Notify:
		return "ask the supervisor"
	case a == 0:
		return "kill thread"
	case a&unix.SECCOMP_RET_ACTION == unix.SECCOMP_RET_ERRNO:
		return unix.ErrnoName(unix.Errno(a & unix.SECCOMP_RET_DATA))
	}
	return fmt.Sprintf("%#x", uint32(a))
}

// MarshalText returns String.
func (a Action) MarshalText() ([]byte, error) {
	return []byte(a.String()), nil
}

// A Policy is what one filter does with every system call.
type Policy struct {
	Arch    string `json:"arch"`
	Foreign Action `json:"foreign_abi"`   // a call through another architecture's table
	X32     Action `json:"x32,omitempty"` // a number of the x32 table, where there is one
	Unknown Action `json:"unknown"`       // a number no kernel up to now uses
	Default Action `json:"default"`       // a call that no rule names
	Rules   []Rule `json:"rules"`
}

// A Rule says what happens to the calls it names: the first clause that holds decides, else Otherwise does.
type Rule struct {
	About     string   `json:"about"`
	Names     []string `json:"names"`
	Clauses   []Clause `json:"clauses,omitempty"`
	Otherwise Action   `json:"action"`
}

// A Clause holds when all its tests do.
type Clause struct {
	When   []Test `json:"when"`
	Action Action `json:"action"`
}

// A Test holds when the low 32 bits of an argument, masked, are one of Values.
type Test struct {
	Arg    int    // 0 to 5
	Name   string // of the argument, in the manual page
	Mask   uint32
	Values []uint32
}

// every is the mask of a whole int.
const every = 0xffffffff

// String returns the test as an expression: "mode & 0xc00 is 0x0".
func (t Test) String() string {
	var b strings.Builder
	b.WriteString(t.Name)
	if t.Mask != every {
		fmt.Fprintf(&b, " & %#x", t.Mask)
	}
	for i, v := range t.Values {
		sep := " or "
		if i == 0 {
			sep = " is "
		}
		fmt.Fprintf(&b, "%s%#x", sep, v)
	}
	return b.String()
}

// MarshalText returns String.
func (t Test) MarshalText() ([]byte, error) {
	return []byte(t.String()), nil
}
