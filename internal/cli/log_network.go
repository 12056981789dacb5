package cli

import (
	"fmt"
	"strings"

	humanize "github.com/dustin/go-humanize"

	"agentbox/internal/audit"
)

// networkSummary is that of records about the network, or "".
func networkSummary(e audit.Event) string {
	switch e := e.(type) {
	case *audit.NetworkStart:
		s := "every connection is captured"
		if !e.Captured {
			s = "clients need the proxy: " + string(e.Lacks)
		}
		for _, r := range e.Registries {
			s += ", " + string(r)
		}
		return s
	case *audit.NetworkConnection:
		s := fmt.Sprintf("%s by %s, %s out, %s in, %d ms", where(e.Host, e.Port), e.Via, size(e.BytesOut), size(e.BytesIn), e.Milliseconds)
		if e.Method != "" {
			s = fmt.Sprintf("%s http://%s%s %d by %s, %d ms", e.Method, where(e.Host, e.Port), e.Path, e.Status, e.Via, e.Milliseconds)
		}
		if e.Error != "" {
			s += ": " + string(e.Error)
		}
		return s + program(e.Argv)
	case *audit.NetworkRefused:
		s := fmt.Sprintf("%s by %s: %s", where(e.Host, e.Port), e.Via, e.Reason)
		for _, more := range []audit.Text{e.Rule, e.Detail} {
			if more != "" {
				s += ", " + string(more)
			}
		}
		return s + program(e.Argv)
	}
	return ""
}

func where(host audit.Text, port uint16) string {
	if port == 0 {
		return string(host)
	}
	return fmt.Sprintf("%s:%d", host, port)
}

func size(n int64) string { return strings.Replace(humanize.IBytes(uint64(max(n, 0))), " ", "", 1) }

func program(argv []audit.Text) string {
	if len(argv) == 0 {
		return ""
	}
	return " (" + argvText(argv) + ")"
}
