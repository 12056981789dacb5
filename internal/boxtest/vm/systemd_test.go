package vm_test

import (
	"strings"
	"testing"

	"agentbox/internal/boxtest/vm"
)

func TestSystemdDelegatesAScopeToAUser(t *testing.T) {
	m := vm.Start(t, vm.Options{Systemd: true})
	got := m.Run(t, user, `systemd-run --user --scope --quiet -p Delegate=yes sh -ec '
here=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup); echo $here
mkdir $here/leaf; echo $$ >$here/leaf/cgroup.procs
echo +memory +pids +cpu >$here/cgroup.subtree_control; cat $here/cgroup.subtree_control'`)
	if got.Code != 0 || !strings.Contains(got.Stdout, "/user.slice/user-1000.slice/user@1000.service/app.slice/run-") ||
		!strings.HasSuffix(got.Stdout, "\ncpu memory pids\n") {
		t.Errorf("exit code %d\n%s%s", got.Code, got.Stdout, got.Stderr)
	}
}

func TestSystemdKeepsTheCgroupOfALogin(t *testing.T) {
	m := vm.Start(t, vm.Options{Systemd: true})
	got := m.Run(t, user, "here=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup); echo $here; mkdir $here/leaf 2>/dev/null || echo refused")
	if !strings.Contains(got.Stdout, "/user-1000.slice/session-") || !strings.HasSuffix(got.Stdout, "\nrefused\n") {
		t.Errorf("%s%s", got.Stdout, got.Stderr)
	}
}

func TestAgentboxRunsUnderSystemd(t *testing.T) {
	m := vm.Start(t, vm.Options{Systemd: true})
	if got := m.Run(t, root, "systemctl is-system-running --wait").Stdout; got != "running\n" {
		t.Errorf("systemd is %s%s", got, m.Run(t, root, "systemctl --failed").Stdout)
	}
	for _, login := range []vm.Login{root, user, bare} {
		if got := m.Run(t, login, "agentbox run -- id"); got.Code != 0 || !strings.HasPrefix(got.Stdout, "uid=1000(agent) gid=1000(agent)") {
			t.Errorf("%v: exit code %d\n%s%s", login, got.Code, got.Stdout, got.Stderr)
		}
	}
}
