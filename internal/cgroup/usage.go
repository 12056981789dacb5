package cgroup

import (
	"strconv"
	"strings"
	"time"
)

// Usage is what the processes of a group use now. A number that the group does not count is 0.
type Usage struct {
	Memory     uint64 // bytes, without the page cache that can be dropped
	MemoryPeak uint64
	CPU        time.Duration
	Pids       uint64
	OOMKills   uint64 // processes that the kernel ended at the memory limit
	Refused    uint64 // forks that the limit of processes refused
}

// Charged is the memory that the group's limit counts now, with all of the page cache: one read, for who asks often.
func (g *Group) Charged() uint64 {
	if g == nil {
		return 0
	}
	file := "memory.current"
	if g.plan.Version == 1 {
		file = "memory.usage_in_bytes"
	}
	return number(read(g.dir("memory"), file))
}

// Usage reads the group's counters.
func (g *Group) Usage() Usage {
	var u Usage
	if g == nil {
		return u
	}
	if g.plan.Version == 2 {
		dir := g.Dirs()[0]
		u.Memory = less(number(read(dir, "memory.current")), field(read(dir, "memory.stat"), "inactive_file"))
		u.MemoryPeak = number(read(dir, "memory.peak"))
		u.CPU = time.Duration(field(read(dir, "cpu.stat"), "usage_usec")) * time.Microsecond
		u.OOMKills = field(read(dir, "memory.events"), "oom_kill")
		u.pids(dir)
		return u
	}
	if dir := g.dir("memory"); dir != "" {
		u.Memory = less(number(read(dir, "memory.usage_in_bytes")), field(read(dir, "memory.stat"), "total_inactive_file"))
		u.MemoryPeak = number(read(dir, "memory.max_usage_in_bytes"))
		u.OOMKills = field(read(dir, "memory.oom_control"), "oom_kill")
	}
	if dir := g.dir("cpuacct"); dir != "" {
		u.CPU = time.Duration(number(read(dir, "cpuacct.usage")))
	}
	if dir := g.dir("pids"); dir != "" {
		u.pids(dir)
	}
	return u
}

func (u *Usage) pids(dir string) {
	u.Pids = number(read(dir, "pids.current"))
	u.Refused = field(read(dir, "pids.events"), "max")
}

func less(a, b uint64) uint64 {
	if b > a {
		return 0
	}
	return a - b
}

func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}

// field finds a number in a file of "name number" lines.
func field(text, name string) uint64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return number(strings.TrimSpace(rest))
		}
	}
	return 0
}
