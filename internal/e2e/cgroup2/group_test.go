package cgroup2

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentbox/internal/boxtest/vm"
)

// everyLimit is a profile for which there is a group.
var everyLimit = profile(kernel, `memory = "64MiB"`, "cpus = 1.5", "pids = 50")

const settings = `
cd $GROUP; for f in memory.max memory.swap.max memory.oom.group cpu.max pids.max; do [ ! -e $f ] || echo $f $(cat $f); done; cd - >/dev/null
`

// The agent is in its group from its first instruction, with every limit set; what holds the box is outside; commands
// that join are inside.
const membership = everyoneIs + settings + `agentbox exec -- sh -c 'cat /proc/self/cgroup' | grep -c agentbox-$ID`

const everyoneIs = `
sed -n 's/agent .*agentbox-.*/first inside/p' out
echo agent $(inside $AGENT), init $(inside $INIT), supervisor $(inside $SUPERVISOR)
`

// A machine without swap has no file for it.
const wantMembership = "first inside\nagent inside, init outside, supervisor outside\n" +
	"memory.max 67108864\nmemory.swap.max 0\nmemory.oom.group 1\ncpu.max 150000 100000\npids.max 50\n1\n"

// freezing stops the box and lets it go on; what is frozen can be ended.
const freezing = `
frozen() { grep frozen $GROUP/cgroup.events; }
agentbox freeze; frozen; agentbox resume; frozen; agentbox freeze; frozen
`

const wantFreezing = "frozen 1\nfrozen 0\nfrozen 1\n"

func TestGroupOfABox(t *testing.T) {
	m := machine(t, false)
	for _, login := range []vm.Login{root, bareTree} {
		t.Run(login.String(), func(t *testing.T) {
			r := m.Run(t, login, everyLimit+begin+membership+freezing+"agentbox kill --now"+end)
			if diff := cmp.Diff(wantMembership+wantFreezing+"code 137\n", r.Stdout); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, r.Stderr)
			}
		})
	}
}

// What a killed supervisor leaves is an empty group, until the next start.
func TestKilledSupervisor(t *testing.T) {
	m := machine(t, false)
	const script = `
agentbox freeze; kill -9 $SUPERVISOR; wait $SUPERVISOR 2>/dev/null
i=0; while [ -d /proc/$AGENT ] && [ $i -lt 100 ]; do i=$((i+1)); usleep 50000; done; [ ! -d /proc/$AGENT ] && echo the agent is gone
agentbox run -p p.toml -- echo another` + left
	for _, login := range []vm.Login{root, userTree} {
		t.Run(login.String(), func(t *testing.T) {
			r := m.Run(t, login, everyLimit+begin+script)
			if diff := cmp.Diff("the agent is gone\nanother\n", r.Stdout); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, r.Stderr)
			}
		})
	}
}

// A box that no control group limits is in none of its own, and libcontainer makes none for it.
func TestBoxWithoutAGroup(t *testing.T) {
	m := machine(t, false)
	const script = begin + `echo "groups $GROUP"; agentbox kill --now` + end
	for _, login := range []vm.Login{root, userTree} {
		t.Run(login.String(), func(t *testing.T) {
			r := m.Run(t, login, profile("pids = 50")+strings.ReplaceAll(script, "head -n 1 $GROUP", "head -n 1 /proc/self"))
			if diff := cmp.Diff("groups \ncode 137\n", r.Stdout); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, r.Stderr)
			}
		})
	}
}
