package limits

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"agentbox/profile"
)

// The hosts: control groups of both versions, of which some lack a controller, and none at all.
var (
	unified = Groups{Version: 2, Parents: map[string]string{"memory": "/cg", "cpu": "/cg", "pids": "/cg"}}
	legacy  = Groups{Version: 1, Parents: map[string]string{"memory": "/cg/memory", "cpu": "/cg/cpu,cpuacct", "cpuacct": "/cg/cpu,cpuacct",
		"pids": "/cg/pids", "freezer": "/cg/freezer"}}
	onlyPids = Groups{Version: 2, Parents: map[string]string{"pids": "/cg"}}
	none     = Groups{Why: "there is no delegated group"}
)

// written lists what a plan writes into control groups: directory, file and value, "?" for a file that may be missing.
func written(p Plan) (list []string) {
	if p.Group == nil {
		return nil
	}
	for _, part := range p.Group.Parts {
		if len(part.Settings) == 0 {
			list = append(list, part.Parent)
		}
		for _, s := range part.Settings {
			optional := map[bool]string{true: "?"}[s.Optional]
			list = append(list, fmt.Sprintf("%s/%s%s %s", part.Parent, s.File, optional, s.Value))
		}
	}
	return list
}

func TestLimitsByTheKernel(t *testing.T) {
	for name, tc := range map[string]struct {
		limits profile.Limits
		groups Groups
		want   []string
	}{
		"no limit needs no group":                {profile.Limits{}, unified, nil},
		"pids alone need none":                   {profile.Limits{Pids: 7}, unified, nil},
		"memory counts without swap":             {profile.Limits{Memory: 1 << 20}, unified, []string{"/cg/memory.max 1048576", "/cg/memory.swap.max? 0", "/cg/memory.oom.group? 1"}},
		"a share of a processor":                 {profile.Limits{CPUs: 0.5}, unified, []string{"/cg/cpu.max 50000 100000"}},
		"pids go into the group that is there":   {profile.Limits{CPUs: 2, Pids: 7}, unified, []string{"/cg/cpu.max 200000 100000", "/cg/pids.max 7"}},
		"version 1 has a directory for each":     {profile.Limits{CPUs: 1, Pids: 7}, legacy, []string{"/cg/cpu,cpuacct/cpu.cfs_period_us 100000", "/cg/cpu,cpuacct/cpu.cfs_quota_us 100000", "/cg/pids/pids.max 7", "/cg/freezer"}},
		"memory of version 1 counts without too": {profile.Limits{Memory: 4096}, legacy, []string{"/cg/memory/memory.limit_in_bytes 4096", "/cg/memory/memory.memsw.limit_in_bytes? 4096", "/cg/memory/memory.swappiness? 0", "/cg/cpu,cpuacct", "/cg/freezer"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Decide(tc.limits, profile.Workspace{}, Host{Groups: tc.groups})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, written(p)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if names := p.Watched(); len(names) > 0 {
				t.Errorf("%q are only watched", names)
			}
		})
	}
}

// What the kernel cannot hold is refused, unless the profile says that it may be watched, and then it is.
func TestLimitsThatTheKernelCannotHold(t *testing.T) {
	for name, tc := range map[string]struct {
		limits profile.Limits
		groups Groups
		limit  string
		why    string
	}{
		"memory without a group":           {profile.Limits{Memory: 1 << 30}, none, Memory, "no delegated group"},
		"cpus without a group":             {profile.Limits{CPUs: 2}, none, CPUs, "no delegated group"},
		"memory without its controller":    {profile.Limits{Memory: 1 << 30, Pids: 9}, onlyPids, Memory, "no controller for memory"},
		"the first of two is named":        {profile.Limits{Memory: 1 << 30, CPUs: 2}, none, Memory, "no delegated group"},
		"enforcement of a word nobody has": {profile.Limits{CPUs: 2, Enforcement: "x"}, none, CPUs, "no delegated group"},
	} {
		t.Run(name, func(t *testing.T) {
			h := Host{Groups: tc.groups, Processors: []int{0, 1, 2, 3}}
			p, err := Decide(tc.limits, profile.Workspace{}, h)
			var unheld *UnheldError
			if !errors.As(err, &unheld) || unheld.Name != tc.limit || !strings.Contains(unheld.Why, tc.why) || !cmp.Equal(p, Plan{}) {
				t.Errorf("%v, want one about %s: %s", err, tc.limit, tc.why)
			}
			tc.limits.Enforcement = "watched"
			p, err = Decide(tc.limits, profile.Workspace{}, h)
			if err != nil || !slices.Contains(p.Watched(), tc.limit) {
				t.Errorf("with consent: %v, watched %q", err, p.Watched())
			}
			if tc.limits.Memory > 0 && p.Watch.Memory != uint64(tc.limits.Memory) {
				t.Errorf("the watch ends the box above %d", p.Watch.Memory)
			}
			if tc.limits.CPUs > 0 && len(p.Affinity) != 2 {
				t.Errorf("the box has the processors %v", p.Affinity)
			}
		})
	}
}

func TestLimitsOfEveryProcess(t *testing.T) {
	const noCore = unix.RLIMIT_CORE
	for name, tc := range map[string]struct {
		limits profile.Limits
		files  uint64
		want   []Rlimit
	}{
		"no core file, ever":                  {profile.Limits{}, 1024, []Rlimit{{noCore, 0}}},
		"processes, without a group":          {profile.Limits{Pids: 5}, 1024, []Rlimit{{noCore, 0}, {unix.RLIMIT_NPROC, 5}}},
		"open files":                          {profile.Limits{OpenFiles: 64}, 1024, []Rlimit{{noCore, 0}, {unix.RLIMIT_NOFILE, 64}}},
		"no more open files than caller's":    {profile.Limits{OpenFiles: 4096}, 1024, []Rlimit{{noCore, 0}, {unix.RLIMIT_NOFILE, 1024}}},
		"a limit below zero is not a big one": {profile.Limits{Pids: -1, OpenFiles: -1}, 1024, []Rlimit{{noCore, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Decide(tc.limits, profile.Workspace{}, Host{Groups: none, OpenFiles: tc.files})
			if diff := cmp.Diff(tc.want, p.Rlimits); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// People are told of every limit that is set, and by whom it is held.
func TestHeldLimitsAreTold(t *testing.T) {
	l := profile.Limits{Memory: 2 << 30, CPUs: 1.5, Pids: 512, OpenFiles: 4096, Timeout: profile.Duration(4 * time.Hour)}
	p, err := Decide(l, profile.Workspace{}, Host{Groups: unified, OpenFiles: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	want := []Held{{Memory, "2GiB", Enforced, "cgroup v2"}, {CPUs, "1.5", Enforced, "cgroup v2"}, {Pids, "512", Enforced, "cgroup v2"},
		{OpenFiles, "4096", Enforced, "RLIMIT_NOFILE"}, {Timeout, "4h", Enforced, "the supervisor's clock"}}
	if diff := cmp.Diff(want, p.Held); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if p.Value(Pids) != "512" || p.Value("disk") != "" {
		t.Errorf("pids %q, disk %q", p.Value(Pids), p.Value("disk"))
	}
}

// Boxes begin at different processors; each has as many as it was given, and no others than its caller.
func TestAffinity(t *testing.T) {
	processors := []int{1, 3, 8}
	for seed := range uint32(7) {
		for cpus, count := range map[float64]int{0.5: 1, 2: 2, 2.5: 3, 64: 3} {
			p, err := Decide(profile.Limits{CPUs: cpus, Enforcement: "watched"}, profile.Workspace{}, Host{Processors: processors, Seed: 1<<31 + seed})
			got := slices.Compact(slices.Sorted(slices.Values(p.Affinity)))
			if err != nil || len(got) != count || slices.ContainsFunc(got, func(n int) bool { return !slices.Contains(processors, n) }) {
				t.Errorf("%v of %v: %v, %v", cpus, processors, p.Affinity, err)
			}
		}
	}
}

func TestDirOfAController(t *testing.T) {
	p, err := Decide(profile.Limits{CPUs: 1}, profile.Workspace{}, Host{Groups: legacy})
	if err != nil {
		t.Fatal(err)
	}
	for controller, want := range map[string]string{"cpu": "/cg/cpu,cpuacct/box", "cpuacct": "/cg/cpu,cpuacct/box", "freezer": "/cg/freezer/box", "memory": ""} {
		if got := p.Group.Dir("box", controller); got != want {
			t.Errorf("%s is in %q, want %q", controller, got, want)
		}
	}
	if got := (*Group)(nil).Dir("box", "cpu"); got != "" {
		t.Errorf("without a group: %q", got)
	}
}
