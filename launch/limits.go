package launch

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxinit"
	"agentbox/internal/cgroup"
	"agentbox/internal/session"
	"agentbox/limits"
	"agentbox/profile"
)

// lookLimits reads what a decision about limits depends on; control groups only for a profile that needs them.
func (h *Host) lookLimits(p profile.Profile) error {
	l := p.Limits
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return fmt.Errorf("the processors: %w", err)
	}
	h.Limits.Processors = nil
	for n, left := 0, set.Count(); left > 0; n++ {
		if set.IsSet(n) {
			h.Limits.Processors = append(h.Limits.Processors, n)
			left--
		}
	}
	for what, to := range map[int]*uint64{unix.RLIMIT_NOFILE: &h.Limits.OpenFiles, unix.RLIMIT_NPROC: &h.Limits.Tasks} {
		var own unix.Rlimit
		if err := unix.Getrlimit(what, &own); err != nil {
			return fmt.Errorf("the caller's own limits: %w", err)
		}
		*to = own.Max
	}
	if limits.NeedsGroup(l) {
		h.Limits.Groups = cgroup.Look()
	}
	h.lookDisk(p)
	seed := fnv.New32()
	fmt.Fprint(seed, os.Getpid(), time.Now().UnixNano())
	h.Limits.Seed = seed.Sum32()
	return nil
}

// decideLimits turns what this caller's kernel cannot hold into the layer that is missing.
func decideLimits(p profile.Profile, h Host) (limits.Plan, error) {
	plan, err := limits.Decide(p.Limits, p.Workspace, h.Limits)
	var unheld *limits.UnheldError
	var misused *limits.MisusedError
	switch {
	case errors.As(err, &unheld):
		return plan, &MissingError{Layer: unheld.Name + " limit", Err: errors.New(unheld.Why), Remedy: unheldRemedy(unheld.Name, h)}
	case errors.As(err, &misused):
		return plan, profile.Findings{{Key: "limits." + misused.Name, Message: misused.Why}}
	case err == nil && plan.Writes != nil && plan.Writes.Medium == limits.OnTmpfs && h.Limits.NoTmpfs != "":
		err = &MissingError{Layer: "overlay", Err: errors.New(h.Limits.NoTmpfs), Remedy: `workspace.upper = "disk" needs no tmpfs`}
	}
	return plan, err
}

func unheldRemedy(name string, h Host) string {
	const watched = `limits.enforcement = "watched" lets the supervisor hold it, some times a second`
	switch {
	case name == limits.Disk:
		return `workspace.upper = "tmpfs" keeps what the agent writes in memory of that size, or ` + watched
	case h.EUID == 0:
		return watched
	}
	return `start agentbox in a control group of your own ("systemd-run --user --scope -p Delegate=yes", on cgroup v2), or ` + watched
}

// makeGroup makes the box's control group and hands its doors to the box's side.
func (b *Box) makeGroup(f *boxFiles, in *boxinit.Instructions) error {
	plan := b.plan.Limits.Group
	if plan == nil {
		return nil
	}
	var err error
	b.group, err = cgroup.Make(plan, b.session.ID(), func(dirs []string) error {
		return b.session.Update(func(i *session.Info) { i.Cgroups = dirs })
	})
	if err != nil {
		return &MissingError{Layer: "control group", Err: err}
	}
	return f.takeTasks(b.group, in, b.plan.ownCount())
}

// takeTasks passes on the files by which the agent joins its group, behind the detached mounts.
func (f *boxFiles) takeTasks(g *cgroup.Group, in *boxinit.Instructions, before int) error {
	var err error
	if f.tasks, err = g.Tasks(); err != nil {
		return &MissingError{Layer: "control group", Err: err}
	}
	for i := range f.tasks {
		in.Groups = append(in.Groups, uint32(boxinit.FirstMount+before+i))
	}
	return nil
}

// ownCount is the number of detached mounts that the box's side gets.
func (p Plan) ownCount() int {
	n := 0
	for _, m := range p.layered() {
		if p.idmapped(m) {
			n++
		}
	}
	return n
}

// takeLimits adds the limits that a process takes upon itself.
func (p Plan) takeLimits(in *boxinit.Instructions) {
	for _, l := range p.Limits.Rlimits {
		in.Limits = append(in.Limits, boxinit.Limit{Resource: l.Resource, Value: l.Value})
	}
	in.Affinity = p.Limits.Affinity
}

// release lets the agent to be go, which waits for its limits and for what its caller does before.
func (b *Box) release() error {
	if b.group.Attaches() {
		if err := b.attach(); err != nil {
			return err
		}
	}
	if err := <-b.before; err != nil {
		return err
	}
	if err := <-b.networked; err != nil {
		return err
	}
	if err := b.takeWrites(); err != nil {
		return err
	}
	if err := b.control.Release(); !errors.Is(err, unix.EPIPE) {
		return err
	}
	return nil // PID 1 has ended, and has said why
}

// attach puts it into its group: PID 1 stays outside, so that it is neither frozen nor ended with the rest.
func (b *Box) attach() error {
	first, err := b.process.Pid()
	if err != nil {
		return err
	}
	pid, err := onlyChild(first)
	if err == nil {
		err = b.group.Attach(pid)
	}
	if err != nil {
		return &MissingError{Layer: "control group", Err: err}
	}
	return nil
}

func onlyChild(pid int) (int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data))
	if len(fields) != 1 {
		return 0, fmt.Errorf("process %d has %d children, not one", pid, len(fields))
	}
	return strconv.Atoi(fields[0])
}

// group finds the control group of a box that a command joins.
func (p Plan) group(id string, first int) (*cgroup.Group, error) {
	if p.Limits.Group == nil {
		return nil, nil
	}
	agent := 0
	if p.Limits.Group.Scope {
		var err error
		if agent, err = firstChild(first); err != nil {
			return nil, err
		}
	}
	return cgroup.Of(p.Limits.Group, id, agent)
}

// firstChild is the agent: PID 1 adopts others, but later.
func firstChild(pid int) (int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(data), " ")
	return strconv.Atoi(first)
}
