package cli

import (
	"fmt"

	"agentbox/internal/audit"
)

// toolSummary is that of records about tool calls, or "".
func toolSummary(e audit.Event) string {
	switch e := e.(type) {
	case *audit.ToolCall:
		s := fmt.Sprintf("%s %s: %s", e.Tool, shorten(string(e.Input), 120), e.Decision)
		for _, more := range []audit.Text{e.Rule, e.Reason} {
			if more != "" {
				s += ", " + string(more)
			}
		}
		return s
	case *audit.ToolResult:
		return fmt.Sprintf("%s, %s, %d ms", e.Tool, size(int64(e.Bytes)), e.Milliseconds)
	case *audit.HookBroken:
		return fmt.Sprintf("%s: %s", e.Why, e.Action)
	case *audit.ProgramStart:
		s := argvText(e.Argv)
		if e.Path != "" && (len(e.Argv) == 0 || e.Argv[0] != e.Path) {
			s = string(e.Path) + ": " + s
		}
		switch {
		case e.Refused != "":
			s += ", refused by " + string(e.Refused)
		case e.Missing:
			s += ", not there"
		}
		if e.Joined > 0 {
			s += fmt.Sprintf(" (command %d that joined)", e.Joined)
		}
		return fmt.Sprintf("%d by %d: %s", e.PID, e.Parent, s)
	case *audit.ProgramEnd:
		s := fmt.Sprintf("%d %s after %.1f ms", e.PID, e.Path, float64(e.Microseconds)/1000)
		switch e.How {
		case "exited":
			s += fmt.Sprintf(" with %d", e.ExitCode)
		case "signaled":
			s += " by " + string(e.Signal)
		}
		return s
	}
	return ""
}
