// Package limits decides how a profile's limits are held on a host: by control groups, by resource limits of
// setrlimit(2), or by the supervisor's watch. Pure.
//
// A limit that the kernel holds cannot be passed. One that is watched can, for as long as the watch's period; it needs
// the profile's consent (limits.enforcement = "watched") and is announced.
package limits

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/profile"
)

// Names of limits, as their keys in the profile end.
const (
	Memory    = "memory"
	CPUs      = "cpus"
	Pids      = "pids"
	Disk      = "disk"
	OpenFiles = "open_files"
	Timeout   = "timeout"
	Execs     = "execs"
)

// A State says who holds a limit.
type State string

// The states. The zero value is none of them.
const (
	Enforced State = "enforced" // by the kernel
	Watched  State = "watched"  // by the supervisor, or only roughly by the kernel
)

// A Held limit is one that the profile sets, and how this host holds it.
type Held struct {
	Name  string `json:"name"`
	Value string `json:"value"` // for people: "2 GiB"
	State State  `json:"state"`
	By    string `json:"by"` // "cgroup v1", "RLIMIT_NPROC", "affinity to 2 processors"
}

// An Rlimit is a resource limit of every process in the box, soft and hard.
type Rlimit struct {
	Resource int    `json:"resource"` // RLIMIT_ number
	Value    uint64 `json:"value"`
}

// A Plan is how the limits of one box are held.
type Plan struct {
	Held     []Held        `json:"held"`
	Group    *Group        `json:"cgroup,omitempty"` // nil: the box stays in its caller's
	Rlimits  []Rlimit      `json:"rlimits"`
	Affinity []int         `json:"affinity,omitempty"` // the only processors of the box; none: those of its caller
	Bytes    uint64        `json:"memory,omitempty"`   // that the group allows
	Watch    Watch         `json:"watch"`
	Writes   *Writes       `json:"writes,omitempty"`  // nil: in the session's directory without a limit, or no overlay
	Timeout  time.Duration `json:"timeout,omitempty"` // nanoseconds
	Grace    time.Duration `json:"grace,omitempty"`   // between the timeout's SIGTERM and SIGKILL
}

// Watch is what the supervisor looks after; zero is nothing.
type Watch struct {
	Memory uint64 `json:"memory,omitempty"` // bytes; the box ends above
	Pids   uint64 `json:"pids,omitempty"`   // for the message alone: RLIMIT_NPROC holds it
}

// Host is what the decision depends on.
type Host struct {
	Groups     Groups `json:"groups"`
	Processors []int  `json:"processors"` // those that the caller may run on
	OpenFiles  uint64 `json:"open_files"` // the caller's own hard limit
	Tasks      uint64 `json:"tasks"`      // the caller's own hard limit of processes and threads, 0 for none
	Seed       uint32 `json:"-"`          // spreads boxes over the processors
	DiskHost
}

// An UnheldError says that the kernel cannot hold a limit for this caller, and that the profile asks for just that.
type UnheldError struct {
	Name string
	Why  string
}

func (e *UnheldError) Error() string {
	return fmt.Sprintf("the kernel cannot hold limits.%s for this caller: %s", e.Name, e.Why)
}

// NeedsGroup reports whether the limits are held by a control group where there can be one.
func NeedsGroup(l profile.Limits) bool { return l.Memory > 0 || l.CPUs > 0 }

// Decide chooses how each limit is held, or returns an *UnheldError or a *MisusedError.
func Decide(l profile.Limits, w profile.Workspace, h Host) (Plan, error) {
	// No core file: it would hold what the agent read. A kernel.core_pattern that names a program is not held by this
	// limit (core(5)); doctor says when the host has one.
	p := Plan{Held: []Held{}, Rlimits: []Rlimit{{unix.RLIMIT_CORE, 0}}, Timeout: time.Duration(l.Timeout), Grace: time.Duration(l.Grace)}
	group := &Group{Version: h.Groups.Version, Scope: h.Groups.Scope, Aside: h.Groups.Aside}
	var unheld *UnheldError
	consent := func(name, why string) {
		if l.Enforcement != "watched" && unheld == nil {
			unheld = &UnheldError{name, why}
		}
	}
	watched := func(name, value, by string) {
		p.hold(name, value, Watched, by)
		consent(name, h.Groups.why(name))
	}
	if l.Memory > 0 {
		if h.Groups.Has("memory") {
			group.memory(h.Groups, uint64(l.Memory))
			p.Bytes = uint64(l.Memory)
			p.hold(Memory, l.Memory.String(), Enforced, group.name())
		} else {
			p.Watch.Memory = uint64(l.Memory)
			watched(Memory, l.Memory.String(), "the supervisor, some times a second")
		}
	}
	if l.CPUs > 0 {
		if h.Groups.Has("cpu") {
			group.cpus(h.Groups, l.CPUs)
			p.hold(CPUs, cpusText(l.CPUs), Enforced, group.name())
		} else {
			p.Affinity = pick(h.Processors, int(math.Ceil(l.CPUs)), h.Seed)
			watched(CPUs, cpusText(l.CPUs), fmt.Sprintf("affinity to %d of %d processors", len(p.Affinity), len(h.Processors)))
		}
	}
	p.pids(l, h, group)
	why, err := p.disk(l, w, h.DiskHost)
	if err != nil {
		return Plan{}, err
	}
	if why != "" {
		consent(Disk, why)
	}
	if l.OpenFiles > 0 {
		p.Rlimits = append(p.Rlimits, Rlimit{unix.RLIMIT_NOFILE, min(uint64(l.OpenFiles), h.OpenFiles)})
		p.hold(OpenFiles, strconv.FormatInt(l.OpenFiles, 10), Enforced, "RLIMIT_NOFILE")
	}
	if l.Execs > 0 {
		p.hold(Execs, strconv.FormatInt(l.Execs, 10), Enforced, "seccomp, which asks the supervisor")
	}
	if l.Timeout > 0 {
		p.hold(Timeout, l.Timeout.String(), Enforced, "the supervisor's clock")
	}
	if len(group.Parts) > 0 {
		group.finish(h.Groups)
		p.Group = group
	}
	if unheld != nil {
		return Plan{}, unheld
	}
	return p, nil
}

// pids is held by the group where there is one anyway. RLIMIT_NPROC does as well: the kernel counts it by user
// namespace (since Linux 5.14), and the agent's has nobody else in it.
func (p *Plan) pids(l profile.Limits, h Host, group *Group) {
	if l.Pids <= 0 {
		return
	}
	n := uint64(l.Pids)
	if len(group.Parts) > 0 && h.Groups.Has("pids") {
		group.pids(h.Groups, n)
		p.hold(Pids, strconv.FormatUint(n, 10), Enforced, group.name())
		return
	}
	if h.Tasks > 0 {
		n = min(n, h.Tasks) // nobody without privilege raises it
	}
	p.Rlimits = append(p.Rlimits, Rlimit{unix.RLIMIT_NPROC, n})
	p.Watch.Pids = n
	p.hold(Pids, strconv.FormatUint(n, 10), Enforced, "RLIMIT_NPROC")
}

func (p *Plan) hold(name, value string, state State, by string) {
	p.Held = append(p.Held, Held{name, value, state, by})
}

// Value is a limit as people are told it, or "".
func (p Plan) Value(name string) string {
	for _, h := range p.Held {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

func cpusText(n float64) string { return strconv.FormatFloat(n, 'g', -1, 64) }

// pick takes n of the processors, beginning somewhere: boxes that all began at the first would share it.
func pick(from []int, n int, seed uint32) []int {
	n = min(n, len(from))
	var out []int
	for i := range n {
		out = append(out, from[(int(seed%uint32(len(from)))+i)%len(from)])
	}
	return out
}

// Watched are the names of the limits that the kernel does not hold.
func (p Plan) Watched() []string {
	var names []string
	for _, h := range p.Held {
		if h.State != Enforced {
			names = append(names, h.Name)
		}
	}
	return names
}
