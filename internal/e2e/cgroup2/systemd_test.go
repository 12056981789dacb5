package cgroup2

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentbox/internal/boxtest/vm"
)

// systemctl is how the login reaches the systemd that starts its units.
func systemctl(login vm.Login, args string) string {
	if login.Account == vm.Root {
		return "systemctl " + args
	}
	return "systemctl --user " + args
}

// Systemd makes a scope for the box when it is asked, and forgets it when the box has ended. What it writes into its
// units when it reloads is not the box's limits.
func TestScope(t *testing.T) {
	m := machine(t, true)
	const units = "list-units --all --plain --no-legend 'agentbox-*' | cut -d' ' -f3"
	for how, tc := range map[string]struct {
		login vm.Login
		stop  string
	}{
		"of root that is ended":               {root, "agentbox kill --now"},
		"of a user that is ended":             {user, "agentbox kill --now"},
		"of a user, whose supervisor is lost": {user, "kill -9 $SUPERVISOR"},
	} {
		t.Run(how, func(t *testing.T) {
			script := everyLimit + begin + systemctl(tc.login, "daemon-reload\n") + membership + freezing + systemctl(tc.login, units+"\n") +
				tc.stop + end + "[ -d /proc/$AGENT ] && echo the agent runs\n" + systemctl(tc.login, units+"\n")
			r := m.Run(t, tc.login, script)
			if diff := cmp.Diff(wantMembership+wantFreezing+"active\ncode 137\n", r.Stdout); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, r.Stderr)
			}
		})
	}
}

// Only systemd can move a command from another login into the box's group.
func TestExecFromAnotherLogin(t *testing.T) {
	m := machine(t, true)
	const id = "ID=$(agentbox ps | tail -n +2 | cut -d' ' -f1)\n"
	if r := m.Run(t, user, everyLimit+"agentbox run --detach -p p.toml -- sleep 300"); r.Code != 0 {
		t.Fatalf("%+v", r)
	}
	r := m.Run(t, user, id+"grep -o 'session-.*scope' /proc/self/cgroup; agentbox exec $ID -- cat /proc/self/cgroup")
	if r.Code != 0 || !strings.HasPrefix(r.Stdout, "session-") || strings.Count(r.Stdout, "agentbox-") != 2 {
		t.Errorf("%+v", r)
	}
	r = m.Run(t, user, id+"agentbox exec $ID -- hog memory 100; agentbox ps --all | grep $ID"+left)
	if !strings.Contains(r.Stdout, " 137 ") {
		t.Errorf("what the command took did not end the box: %+v", r)
	}
}

// The kernel ends a box in a scope as it does in any group. Which process was the largest is seen a moment before or after.
func TestMemoryInAScope(t *testing.T) {
	m := machine(t, true)
	for _, login := range []vm.Login{root, user} {
		r := m.Run(t, login, everyLimit+"agentbox run -p p.toml -- sh -c 'hog memory 100; echo survived'")
		if r.Code != 137 || r.Stdout != "" || !strings.Contains(r.Stderr, "memory limit 64MiB reached; largest process ") {
			t.Errorf("%v: %+v", login, r)
		}
	}
}
