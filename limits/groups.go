package limits

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
)

// Groups are the control groups of this host below which the caller may make one; see cgroups(7).
type Groups struct {
	Version int               `json:"version"`           // 1 or 2; 0: none
	Parents map[string]string `json:"parents,omitempty"` // controller → the group's directory
	Scope   bool              `json:"scope,omitempty"`   // version 2: below a unit that systemd makes when it is asked
	Aside   bool              `json:"aside,omitempty"`   // version 2: in the caller's own group, which it leaves for one below
	Why     string            `json:"why,omitempty"`     // why there is none, or which controller is missing
}

// Has reports whether there is a group for a controller.
func (g Groups) Has(controller string) bool { return g.Parents[controller] != "" }

func (g Groups) why(limit string) string {
	if g.Why != "" {
		return g.Why
	}
	return "there is no controller for " + limit + " in its control group"
}

// A Group is the control group of one box: one directory on version 2, one for each hierarchy on version 1.
type Group struct {
	Version int    `json:"version"`
	Scope   bool   `json:"scope,omitempty"`
	Aside   bool   `json:"aside,omitempty"`
	Parts   []Part `json:"parts"`
}

// A Part is a directory to make and what to write there, in order.
type Part struct {
	Parent      string    `json:"parent"`
	Controllers []string  `json:"controllers"`
	Settings    []Setting `json:"settings,omitempty"`
}

// A Setting is one file of a control group.
type Setting struct {
	File     string `json:"file"`
	Value    string `json:"value"`
	Optional bool   `json:"optional,omitempty"` // a kernel may lack the file
}

func (g *Group) name() string { return fmt.Sprintf("cgroup v%d", g.Version) }

// part is where a controller's settings go: hierarchies of version 1 may hold several controllers.
func (g *Group) part(h Groups, controller string) *Part {
	parent := h.Parents[controller]
	i := slices.IndexFunc(g.Parts, func(p Part) bool { return p.Parent == parent })
	if i < 0 {
		g.Parts = append(g.Parts, Part{Parent: parent})
		i = len(g.Parts) - 1
	}
	if !slices.Contains(g.Parts[i].Controllers, controller) {
		g.Parts[i].Controllers = append(g.Parts[i].Controllers, controller)
	}
	return &g.Parts[i]
}

func (p *Part) set(file, value string) {
	p.Settings = append(p.Settings, Setting{File: file, Value: value})
}

func (p *Part) try(file, value string) {
	p.Settings = append(p.Settings, Setting{File: file, Value: value, Optional: true})
}

// memory counts what processes, their tmpfs files and their memfds hold. Swap is off: it would hide the limit, and
// slow the host down.
func (g *Group) memory(h Groups, bytes uint64) {
	p, value := g.part(h, "memory"), strconv.FormatUint(bytes, 10)
	if g.Version == 1 {
		p.set("memory.limit_in_bytes", value)
		p.try("memory.memsw.limit_in_bytes", value)
		p.try("memory.swappiness", "0")
		return
	}
	p.set("memory.max", value)
	p.try("memory.swap.max", "0")
	p.try("memory.oom.group", "1") // the box as a whole, not the process that happens to ask
}

// period is the kernel's default, in microseconds: shorter ones cost time, longer ones make programs stutter.
const period = 100_000

func (g *Group) cpus(h Groups, n float64) {
	p, quota := g.part(h, "cpu"), strconv.FormatInt(int64(n*period), 10)
	if g.Version == 1 {
		p.set("cpu.cfs_period_us", strconv.Itoa(period))
		p.set("cpu.cfs_quota_us", quota)
		return
	}
	p.set("cpu.max", quota+" "+strconv.Itoa(period))
}

func (g *Group) pids(h Groups, n uint64) {
	g.part(h, "pids").set("pids.max", strconv.FormatUint(n, 10))
}

// finish adds what a group serves for beside its limits: to count, and to freeze.
func (g *Group) finish(h Groups) {
	if g.Version != 1 {
		return
	}
	for _, c := range []string{"cpuacct", "freezer"} {
		if h.Has(c) {
			g.part(h, c)
		}
	}
}

// Dir is where the group called name has a controller's files, or "".
func (g *Group) Dir(name, controller string) string {
	if g == nil {
		return ""
	}
	for _, p := range g.Parts {
		if slices.Contains(p.Controllers, controller) {
			return filepath.Join(p.Parent, name)
		}
	}
	return ""
}
