package launch

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"agentbox/limits"
)

// Usage is what a box uses now.
type Usage struct {
	Memory uint64        // bytes
	Peak   uint64        // the most there was, where a control group counts it
	CPU    time.Duration // of processor time, since the start; without a control group, of the processes that still run
	Pids   uint64        // processes and threads
	Held   []limits.Held // how each limit is held
}

// Usage asks the control group, and where there is none, each process.
func (b *Box) Usage() Usage {
	u := Usage{Held: b.plan.Limits.Held}
	if b.group != nil {
		g := b.group.Usage()
		u.Memory, u.Peak, u.CPU, u.Pids = g.Memory, g.MemoryPeak, g.CPU, g.Pids
	}
	if u.Memory > 0 && u.Pids > 0 && u.CPU > 0 {
		return u
	}
	list := b.processes()
	if u.Memory == 0 {
		h := b.memory(list)
		u.Memory = h.processes + h.files
	}
	if u.Pids == 0 {
		u.Pids = uint64(b.tasks(list))
	}
	if u.CPU == 0 {
		for _, pid := range list {
			u.CPU += cpuTime(pid)
		}
	}
	return u
}

// ticks are USER_HZ, which is 100 on every machine that Go knows; see time(7).
const ticks = time.Second / 100

// cpuTime is what a process and those of its children that it has waited for took; see proc_pid_stat(5).
func cpuTime(pid int) time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	i := strings.LastIndexByte(string(data), ')')
	if err != nil || i < 0 {
		return 0
	}
	fields := strings.Fields(string(data)[i+1:])
	var sum time.Duration
	for _, n := range []int{11, 12, 13, 14} { // utime, stime, cutime, cstime
		if n < len(fields) {
			v, _ := strconv.ParseInt(fields[n], 10, 64)
			sum += time.Duration(v) * ticks
		}
	}
	return sum
}
