package processes

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"agentbox/internal/audit"
	"agentbox/internal/escape"
)

// Texts are all that the processes themselves chose, to be replaced where a secret is in them.
func (v *View) Texts() []*audit.Text {
	list := []*audit.Text{}
	for i := range v.Mounts {
		list = append(list, &v.Mounts[i])
	}
	for i := range v.Processes {
		p := &v.Processes[i]
		list = append(list, &p.Name, &p.Program, &p.Dir, &p.Root)
		for k := range p.Argv {
			list = append(list, &p.Argv[k])
		}
		for k := range p.Variables {
			list = append(list, &p.Variables[k])
		}
		for k := range p.Files {
			list = append(list, &p.Files[k].Target)
		}
	}
	for i := range v.Sockets {
		list = append(list, &v.Sockets[i].Local)
	}
	return list
}

// Tree shows the processes for a person: each below its parent, with what it runs. Everything is escaped.
func (v *View) Tree() string {
	children, known := map[int][]Process{}, map[int]bool{}
	for _, p := range v.Processes {
		known[p.PID] = true
	}
	for _, p := range v.Processes {
		parent := p.Parent
		if !known[parent] {
			parent = 0 // it joined the box, or is its first
		}
		children[parent] = append(children[parent], p)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%8s %8s  %s %8s %10s  %s\n", "PID", "IN BOX", "S", "CPU", "MEMORY", "COMMAND")
	var show func(parent, depth int)
	show = func(parent, depth int) {
		for _, p := range children[parent] {
			fmt.Fprintf(&b, "%8d %8d  %1s %8s %10s  %s%s\n", p.PID, p.Inside, escape.Text(p.State), fmt.Sprintf("%.1fs", p.CPU), humanize.IBytes(p.Resident),
				strings.Repeat("  ", min(depth, 40)), p.command())
			show(p.PID, depth+1)
		}
	}
	show(0, 0)
	if v.Omitted > 0 {
		fmt.Fprintf(&b, "and %d more\n", v.Omitted)
	}
	return b.String()
}

// command is what it runs, as ps(1) shows it.
func (p Process) command() string {
	if len(p.Argv) == 0 {
		return "[" + escape.Text(string(p.Name)) + "]"
	}
	words := make([]string, len(p.Argv))
	for i, a := range p.Argv {
		words[i] = string(a)
	}
	return escape.Shorten(escape.Line(words), 400)
}

// MountTable is the mounts, a line each, escaped.
func (v *View) MountTable() string {
	var b strings.Builder
	for _, line := range v.Mounts {
		b.WriteString(escape.Text(string(line)) + "\n")
	}
	return b.String()
}
