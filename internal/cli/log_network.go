package cli

import (
	"fmt"
	"strings"

	humanize "github.com/dustin/go-humanize"

	"agentbox/internal/audit"
	"agentbox/internal/egress/meter"
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
	return requestSummary(e)
}

// requestSummary is that of records about requests that were read, and what was found in them.
func requestSummary(e audit.Event) string {
	switch e := e.(type) {
	case *audit.NetworkRequest:
		s := fmt.Sprintf("%s %s://%s%s %d by %s, %d ms", e.Method, e.Scheme, where(e.Host, e.Port), e.Path, e.Status, e.Via, e.Milliseconds)
		for i, c := range e.Credentials {
			s += map[bool]string{true: ", with ", false: " and "}[i == 0] + string(c)
		}
		if e.Model != "" {
			s += fmt.Sprintf(", %s %d tokens in, %d out, %s", e.Model, e.Input+e.CacheRead+e.CacheWrite, e.Output, meter.FromUSD(e.CostUSD))
		}
		if e.Error != "" {
			s += ": " + string(e.Error)
		}
		return s + program(e.Argv)
	case *audit.NetworkTripwire:
		return fmt.Sprintf("the placeholder of %s is in a %s for %s by %s%s", e.Credential, e.Where, where(e.Host, e.Port), e.Via, program(e.Argv))
	case *audit.SecretCut:
		return fmt.Sprintf("%s has sent the secret of %s back in a %s, %s %s%s", where(e.Host, e.Port), e.Credential, e.Where, e.Method, e.Path, program(e.Argv))
	case *audit.CredentialRefresh:
		if e.Error != "" {
			return string(e.Credential) + " could not be read again: " + string(e.Error)
		}
		return string(e.Credential) + " was read again"
	case *audit.BudgetWarning:
		return spentOf(e.SpentUSD, e.LimitUSD, e.Tokens, e.LimitTokens)
	case *audit.BudgetReached:
		return spentOf(e.SpentUSD, e.LimitUSD, e.Tokens, e.LimitTokens) + ": " + string(e.Action)
	}
	return ""
}

func spentOf(usd, limit float64, tokens, most int64) string {
	var parts []string
	if limit > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s", meter.FromUSD(usd), meter.FromUSD(limit)))
	}
	if most > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d tokens", tokens, most))
	}
	return strings.Join(parts, ", ")
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
