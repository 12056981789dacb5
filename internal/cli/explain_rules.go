package cli

import (
	"strings"
)

// explainRules says what holds each tool rule. Those that no layer below the agent holds are marked: they are answers to
// a text that the agent chose.
func (c *caller) explainRules(p policy) {
	if len(p.rules.Rows) == 0 {
		return
	}
	c.voice.heading("tool rules")
	var rows [][]string
	for _, r := range p.rules.Rows {
		list, _, _ := strings.Cut(strings.TrimPrefix(r.Key, "permissions."), "[")
		var held []string
		for _, e := range r.Layers {
			held = append(held, string(e.Layer)+": "+e.What)
		}
		text := strings.Join(held, " · ")
		switch {
		case r.Widens:
			text += " · widens: " + r.Why
		case r.Advisory && list != "allow":
			text += " · advisory: " + r.Why
		case r.Why != "":
			text += " · " + r.Why
		}
		rows = append(rows, []string{"  " + list, r.Rule, text})
	}
	c.voice.table(false, rows)
	c.voice.printf("\n")
}
