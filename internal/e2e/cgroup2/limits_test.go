package cgroup2

import (
	"strconv"
	"strings"
	"testing"

	"agentbox/internal/boxtest/vm"
)

// Every limit, what the agent takes, and what the caller is told. At the limit of memory the whole box ends.
func limitCases() map[string]struct {
	limit, agent string
	code         int
	says         string
} {
	type c = struct {
		limit, agent string
		code         int
		says         string
	}
	const memory = `memory = "64MiB"`
	return map[string]c{
		"memory of several":       {memory, "for i in 1 2 3 4; do hog memory 25 & done; wait", 137, "memory limit 64MiB reached"},
		"memory in a tmpfs":       {memory, "dd if=/dev/zero of=/tmp/x bs=1M count=100 2>/dev/null; sleep 5", 137, "memory limit 64MiB reached"},
		"memory in a memfd":       {memory, "hog memfd 100", 137, "memory limit 64MiB reached; files in memory (tmpfs, memfd) hold "},
		"memory of a process":     {memory, "hog memory 100; echo survived", 137, "memory limit 64MiB reached; largest process hog, "},
		"a fork bomb":             {"cpus = 2\npids = 30", "hog forks 40", 1, "process limit 30 reached; "},
		"a fork bomb, no group":   {"pids = 30", "hog forks 40", 1, "resource temporarily unavailable"},
		"open files":              {"open_files = 30", "hog files 60", 1, "too many open files"},
		"a timeout without TERM":  {"timeout = \"1s\"\ngrace = \"100ms\"", `trap "" TERM; while :; do sleep 5; done`, 124, "timeout 1s reached"},
		"a tmpfs of its own size": {"[[mount]]\ntype = 'tmpfs'\ntarget = '/tmp'\nsize = '1MiB'", "dd if=/dev/zero of=/tmp/x bs=1M count=2", 1, "No space left"},
	}
}

func TestLimitsByTheKernel(t *testing.T) {
	m := machine(t, false)
	for _, login := range []vm.Login{root, userTree} {
		for name, tc := range limitCases() {
			t.Run(login.String()+"/"+name, func(t *testing.T) {
				t.Parallel()
				r := m.Run(t, login, profile(kernel, tc.limit)+"exec agentbox run -p p.toml -- sh -c '"+tc.agent+"'")
				if r.Code != tc.code || !strings.Contains(r.Stderr, tc.says) || strings.Contains(r.Stdout, "survived") {
					t.Errorf("ended with %d after %v, not with %d and %q:\n%s%s", r.Code, r.Took, tc.code, tc.says, r.Stdout, r.Stderr)
				}
			})
		}
	}
}

// The same agents end well where the limits are wider.
func TestWiderLimits(t *testing.T) {
	m := machine(t, false)
	script := profile(kernel, `memory = "512MiB"`, "pids = 999", "open_files = 200", `timeout = "60s"`) +
		"exec agentbox run -p p.toml -- sh -c 'hog memory 90 & hog memfd 90 & hog forks 40 && hog files 60 && wait %1 && wait %2 && echo survived'"
	if r := m.Run(t, userTree, script); r.Code != 0 || r.Stdout != "survived\n" {
		t.Errorf("%+v", r)
	}
	if r := m.Run(t, root, left); r.Stdout != "" {
		t.Errorf("groups are left:\n%s", r.Stdout)
	}
}

// A share is measured inside, by processes that want more.
func TestProcessorShare(t *testing.T) {
	m := machine(t, false)
	for cpus, login := range map[float64]vm.Login{0.5: userTree, 1: root} {
		r := m.Run(t, login, profile(kernel, "cpus = "+strconv.FormatFloat(cpus, 'g', -1, 64))+"exec agentbox run -p p.toml -- hog burn 3")
		share, err := strconv.ParseFloat(strings.TrimSpace(r.Stdout), 64)
		// A busy machine gives less than the limit, and never more; still more than the other limit would let through.
		if err != nil || share < cpus*0.6 || share > cpus*1.1 {
			t.Errorf("%v processors were %v (%v): %+v", cpus, share, err, r)
		}
	}
}

// Whom nobody has delegated a group is watched, or refused.
func TestLimitsWithoutDelegation(t *testing.T) {
	m := machine(t, false)
	const none, others = "no control group above it is delegated to this user", "its own control group has other processes in it"
	for name, tc := range map[string]struct {
		login  vm.Login
		limits string
		code   int
		says   string
	}{
		"memory is refused":                    {user, kernel + "\nmemory = '64MiB'", 69, "cannot set up the layer memory limit: " + none},
		"processors are refused":               {user, kernel + "\ncpus = 1", 69, "cannot set up the layer cpus limit: " + none},
		"in a group with others it is refused": {userLeaf, kernel + "\nmemory = '64MiB'", 69, others},
		"memory is watched":                    {user, "enforcement = 'watched'\nmemory = '64MiB'", 137, "memory limit 64MiB reached; largest process hog, "},
	} {
		t.Run(name, func(t *testing.T) {
			r := m.Run(t, tc.login, profile(tc.limits)+"agentbox run -v -p p.toml -- hog memory 200; exit $?")
			if r.Code != tc.code || !strings.Contains(r.Stderr, tc.says) {
				t.Errorf("ended with %d, not with %d and %q:\n%s%s", r.Code, tc.code, tc.says, r.Stdout, r.Stderr)
			}
		})
	}
}

// A supervisor that is alone in a delegated group steps aside in it, and leaves it as it was.
func TestAloneInADelegatedGroup(t *testing.T) {
	m := machine(t, false)
	for name, tc := range map[string]struct {
		agent string
		code  int
		says  string
	}{
		"its limits are the kernel's": {"hog memory 100", 137, "memory limit 64MiB reached"},
		"it ends well":                {"true", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := m.Run(t, userLeaf, profile(kernel, `memory = "64MiB"`, "cpus = 1")+"exec agentbox run -p p.toml -- "+tc.agent)
			if r.Code != tc.code || !strings.Contains(r.Stderr, tc.says) {
				t.Errorf("ended with %d, not with %d and %q:\n%s%s", r.Code, tc.code, tc.says, r.Stdout, r.Stderr)
			}
		})
	}
	// The group is a directory that goes when it is empty, with the login.
	if r := m.Run(t, root, "ls -d /sys/fs/cgroup/services/*/"); r.Stdout != "" {
		t.Errorf("left below the group: %s", r.Stdout)
	}
}
