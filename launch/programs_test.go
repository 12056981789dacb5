package launch

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"agentbox/internal/boxtest"
	"agentbox/profile"
)

// Who lets the record of programs go, and who does not start without.
func TestProgramsThatNobodyCanBeAskedAbout(t *testing.T) {
	lacks := func(layer string) map[string]string { return map[string]string{layer: "it is not there"} }
	for name, tc := range map[string]struct {
		preset, more string
		missing      map[string]string
		starts       bool // otherwise the layer programs is missing
		on, told     bool
	}{
		"the host has it":                        {preset: "strict", starts: true, on: true},
		"strict needs it":                        {preset: "strict", missing: lacks("programs")},
		"so does ci":                             {preset: "ci", missing: lacks("programs")},
		"default does without, and says so":      {preset: "default", missing: lacks("programs"), starts: true, told: true},
		"so does claude":                         {preset: "claude", missing: lacks("programs"), starts: true, told: true},
		"so does codex":                          {preset: "codex", missing: lacks("programs"), starts: true, told: true},
		"a profile may let it go":                {preset: "strict", more: "agent.degrade = ['programs']", missing: lacks("programs"), starts: true, told: true},
		"nobody wants it":                        {preset: "strict", more: "audit.exec = false", missing: lacks("programs"), starts: true},
		"nobody wants it where it is":            {preset: "default", more: "audit.exec = false", starts: true},
		"it goes with the filter":                {preset: "strict", more: "agent.degrade = ['seccomp']", missing: lacks("seccomp"), starts: true, told: true},
		"somebody has to count":                  {preset: "default", more: "limits.execs = 5", missing: lacks("programs")},
		"somebody counts":                        {preset: "default", more: "limits.execs = 5", starts: true, on: true},
		"nobody counts who has no filter either": {preset: "default", more: "limits.execs = 5\nagent.degrade = ['seccomp']", missing: lacks("seccomp")},
	} {
		t.Run(name, func(t *testing.T) {
			h := hosts()["root"]
			h.Missing = tc.missing
			more := tc.more
			if tc.preset != "default" && tc.preset != "claude" && tc.preset != "codex" {
				more += "\nlimits.enforcement = 'watched'"
			}
			plan, err := NewPlan(preset(t, tc.preset, more), h, Request{Command: []string{"x"}})
			if !tc.starts {
				var missing *MissingError
				if !errors.As(err, &missing) || missing.Layer != profile.DegradePrograms {
					t.Errorf("it starts, or %v", err)
				}
				return
			}
			must(t, err)
			told := slices.ContainsFunc(plan.Degraded, func(d Degraded) bool { return d.Layer == profile.DegradePrograms })
			if in, err := plan.instructions(plan.ids(65536)); err != nil || plan.Programs != tc.on || in.Programs != tc.on || told != tc.told {
				t.Errorf("asked %v, told %v; %v", plan.Programs, told, err)
			}
		})
	}
}

// The trial leaves nothing behind: neither a filter nor no_new_privs.
func TestTrialOfAFilter(t *testing.T) {
	boxtest.Need(t, boxtest.Seccomp)
	before := status(t)
	for range 3 {
		if why := programsMissing(); why != "" {
			t.Skip(why)
		}
	}
	if after := status(t); before != after {
		t.Errorf("the process was %q and is %q", before, after)
	}
}

// status is what the kernel says of this process's filters.
func status(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	must(t, err)
	_, rest, _ := strings.Cut(string(data), "NoNewPrivs:")
	filters, _, _ := strings.Cut(rest, "Speculation")
	return filters
}
