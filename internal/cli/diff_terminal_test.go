package cli

import (
	"fmt"
	"strings"
	"testing"
)

func TestDiffOnATerminal(t *testing.T) {
	term, _ := shell(t, map[string]string{"long": strings.Repeat("line\n", 200), "pager": "#!/bin/sh\necho owned\n"})
	term.Type("chmod 755 pager; agentbox run -- sh -c 'sed -i s/line/other/ long; echo all: >Makefile; chmod u+x Makefile; printf \"\\033[2J\\n\" >\"$(printf \"a\\033[2J\")\"'\n")
	term.WaitFor("[r/a/K/d]", limit)
	term.Type("k\n")
	term.WaitFor("decide", limit)
	for i, step := range []struct {
		line string
		want []string
		but  string
		key  string // what ends the pager
	}{
		{line: "agentbox diff", want: []string{"3 changes: 2 added, 1 modified", "Makefile  runs when you next build", `+++ "b/a\033[2J"`, `+\x1b[2J`}, key: "q"},
		{line: "agentbox diff --stat", want: []string{` Makefile |   1 +  (hand-off)`, ` a\x1b[2J |   1 +`, "(-)", `agentbox: hint: "agentbox apply `}},
		{line: "agentbox diff --name-only", want: []string{"Makefile  (hand-off)\n", `a\x1b[2J` + "\n", "long\n"}},
		{line: "AGENTBOX_PAGER='head -1' agentbox diff", want: []string{"3 changes"}, but: "Hand-off"},
		{line: "PAGER=$PWD/pager agentbox diff Makefile", want: []string{"PAGER names no program outside the project", "+all:"}, but: "owned"},
		{line: "PATH=$PWD:$PATH PAGER=pager agentbox diff Makefile", want: []string{"PAGER names no program outside the project", "+all:"}, but: "owned"},
	} {
		end := fmt.Sprintf("step %d: ", i)
		term.Type("clear; " + step.line + "; echo '" + end + "'$?\n")
		screen := ""
		if step.key != "" {
			screen = term.WaitFor("\n:", limit)
			term.Send(step.key)
			term.WaitFor(end+"0", limit)
		} else {
			screen = term.WaitFor(end+"0", limit)
		}
		for _, want := range step.want {
			if !strings.Contains(screen, want) {
				t.Errorf("%s does not show %q:\n%s", step.line, want, screen)
			}
		}
		if step.but != "" && strings.Contains(screen, step.but) {
			t.Errorf("%s shows %q:\n%s", step.line, step.but, screen)
		}
	}
}
