package cli

import (
	"fmt"
	"strconv"
	"strings"

	"agentbox/launch"
	"agentbox/limits"
	"agentbox/mounts"
)

// explainPlan prints what the box of this host will be.
func (c *caller) explainPlan(p policy) {
	plan := p.plan
	command := commandLine(plan.Command)
	if command == "" {
		command = "(none: run needs one)"
	}
	c.voice.heading("box")
	c.voice.table(false, [][]string{
		{"  command", command},
		{"  directory", plan.Dir},
		{"  terminal", yesNo(plan.Terminal)},
		{"  user", fmt.Sprintf("%d:%d (%s)", plan.UID, plan.GID, idModes[plan.IDs])},
		{"  namespaces", strings.Join(plan.Namespaces, ", ")},
		{"  capabilities", "none"},
		{"  seccomp", yesNo(plan.Seccomp)},
		{"  landlock", landlock(plan.Landlock)},
		{"  programs", recorded(plan.Programs)},
		{"  keyring", yesNo(plan.Keyring)},
		{"  idmap", yesNo(plan.Idmap)},
		{"  home", plan.Files.Home + " (empty, private)"},
	})
	c.voice.printf("\n")
	c.explainDegraded(plan.Degraded)
	c.explainLimits(plan.Limits.Held)
	c.voice.heading("environment")
	for _, kv := range plan.Env {
		c.voice.printf("  %s\n", kv)
	}
	c.voice.printf("\n")
	c.voice.heading("mounts")
	c.voice.table(false, mountRows(plan.Files.Mounts))
	c.voice.printf("\n")
	policy := plan.Policy()
	c.voice.heading("system calls")
	c.voice.printf("  %s, in %s rules; every other one: %s\n", policy.Arch, strconv.Itoa(len(policy.Rules)), fmt.Sprint(policy.Default))
	c.voice.printf("  \"agentbox explain --json\" lists them\n")
}

func (c *caller) explainDegraded(list []launch.Degraded) {
	if len(list) == 0 {
		return
	}
	c.voice.heading("degraded")
	var rows [][]string
	for _, d := range list {
		rows = append(rows, []string{"  " + d.Layer, d.Why})
	}
	c.voice.table(false, rows)
	c.voice.printf("\n")
}

func (c *caller) explainLimits(held []limits.Held) {
	if len(held) == 0 {
		return
	}
	c.voice.heading("limits")
	var rows [][]string
	for _, h := range held {
		rows = append(rows, []string{"  " + h.Name, h.Value, string(h.State), h.By})
	}
	c.voice.table(false, rows)
	c.voice.printf("\n")
}

// idModes say whose files and processes the agent's are on the host.
var idModes = map[launch.IDMode]string{
	launch.IDRange:  "on the host, an id that nobody else has",
	launch.IDMapped: "on the host, you; other ids by newuidmap",
	launch.IDNested: "on the host, you; no other ids",
}

func mountRows(list []mounts.Mount) [][]string {
	var rows [][]string
	for _, m := range list {
		source := m.Source
		if m.Type != "bind" || m.Source == m.Target {
			source = m.Type
		}
		access := "rw"
		if !m.Writes() {
			access = "ro"
		}
		rows = append(rows, []string{"  " + access, m.Target, source, m.Why})
	}
	return rows
}

func landlock(abi int) string {
	if abi == 0 {
		return "no"
	}
	return "ABI " + strconv.Itoa(abi)
}

func recorded(programs bool) string {
	if programs {
		return "each on the record before it runs"
	}
	return "not on the record"
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
