package vm_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentbox/internal/boxtest/vm"
)

func TestMain(m *testing.M) { os.Exit(vm.Main(m)) }

var (
	root = vm.Login{Account: vm.Root}
	user = vm.Login{Account: vm.User}
	bare = vm.Login{Account: vm.Bare}
)

func start(t *testing.T) *vm.Machine { return vm.Start(t, vm.Options{}) }

func TestCommandsComeBackWhole(t *testing.T) {
	m := start(t)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	tests := map[string]struct {
		command vm.Command
		want    vm.Result
	}{
		"output and errors are apart":         {vm.Command{As: root, Script: "echo out; echo err >&2"}, vm.Result{Stdout: "out\n", Stderr: "err\n"}},
		"the exit code is the script's":       {vm.Command{As: root, Script: "exit 42"}, vm.Result{Code: 42}},
		"a signal is 128 and its number":      {vm.Command{As: root, Script: "kill -9 $$"}, vm.Result{Code: 137}},
		"every byte goes in and comes out":    {vm.Command{As: root, Script: "cat", Stdin: string(every)}, vm.Result{Stdout: string(every)}},
		"more than a port's buffer":           {vm.Command{As: root, Script: "head -c 300000 /dev/zero"}, vm.Result{Stdout: strings.Repeat("\x00", 300000)}},
		"the project is where it starts":      {vm.Command{As: user, Script: "pwd; echo $HOME $USER"}, vm.Result{Stdout: "/home/user/project\n/home/user user\n"}},
		"no group comes along":                {vm.Command{As: user, Script: "id"}, vm.Result{Stdout: "uid=1000(user) gid=1000(user)\n"}},
		"the runtime directory is private":    {vm.Command{As: user, Script: "stat -c '%a %U' $XDG_RUNTIME_DIR"}, vm.Result{Stdout: "700 user\n"}},
		"orphans are collected":               {vm.Command{As: root, Script: "(true & ) ; (sleep 0.01 & ) ; sleep 0.1; ps -o stat | grep -c Z"}, vm.Result{Stdout: "0\n", Code: 1}},
		"the only network is the loopback":    {vm.Command{As: root, Script: "ls /sys/class/net; ping -c 1 -q 127.0.0.1 >/dev/null"}, vm.Result{Stdout: "lo\n"}},
		"the guest program is not to be seen": {vm.Command{As: root, Script: "ls / | grep guest"}, vm.Result{Code: 1}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := m.Do(t, test.command)
			got.Took = 0
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCommandsRunAtTheSameTime(t *testing.T) {
	m := start(t)
	m.Run(t, root, "rm -f /tmp/both; mkfifo -m 666 /tmp/both")
	var wg sync.WaitGroup
	wg.Go(func() { m.Run(t, root, "echo met >/tmp/both") })
	if got := m.Run(t, user, "cat /tmp/both").Stdout; got != "met\n" {
		t.Errorf("read %q from the other command", got)
	}
	wg.Wait()
}

func TestTheUnifiedHierarchyIsTheOnlyOne(t *testing.T) {
	m := start(t)
	if got := m.Run(t, root, "grep -c cgroup /proc/mounts; stat -f -c %T /sys/fs/cgroup").Stdout; !strings.HasPrefix(got, "1\n") {
		t.Errorf("cgroup mounts: %s", got)
	}
	have := strings.Fields(m.Run(t, user, "cat /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/cgroup.controllers").Stdout)
	for _, controller := range []string{"cpu", "cpuset", "io", "memory", "pids"} {
		if !slices.Contains(have, controller) {
			t.Errorf("a login has the controllers %v, without %s", have, controller)
		}
	}
}

func TestLoginsHaveTheCgroupsOfTheirDelegation(t *testing.T) {
	m := start(t)
	const script = `here=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)
mkdir $here/leaf 2>/dev/null && echo $$ >$here/leaf/cgroup.procs && echo +memory +pids >$here/cgroup.subtree_control && echo own
mkdir $here/../beside.$$ 2>/dev/null && rmdir $here/../beside.$$ && echo above
echo 1 2>/dev/null >$here/pids.max && echo limits`
	tests := map[string]struct {
		login vm.Login
		want  string
	}{
		"none":                   {user, ""},
		"its own":                {vm.Login{Account: vm.User, Cgroup: vm.Scope}, "own\n"},
		"its own and one above":  {vm.Login{Account: vm.User, Cgroup: vm.Tree}, "own\nabove\n"},
		"the same, another user": {vm.Login{Account: vm.Bare, Cgroup: vm.Tree}, "own\nabove\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, m.Run(t, test.login, script).Stdout); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Without this no test of limits in a machine would mean anything.
func TestAUserLimitsMemoryInADelegatedCgroup(t *testing.T) {
	m := start(t)
	const script = `here=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)
mkdir $here/me $here/box && echo $$ >$here/me/cgroup.procs && echo +memory >$here/cgroup.subtree_control || exit 99
echo %s >$here/box/memory.max
sh -c "echo \$\$ >$here/box/cgroup.procs; exec dd if=/dev/zero of=/dev/null bs=32M count=1 2>/dev/null"
echo $? $(grep -w oom_kill $here/box/memory.events)
rmdir $here/box`
	for limit, want := range map[string]string{"16M": "137 oom_kill 1\n", "64M": "0 oom_kill 0\n"} {
		t.Run(limit, func(t *testing.T) {
			got := m.Run(t, vm.Login{Account: vm.User, Cgroup: vm.Scope}, fmt.Sprintf(script, limit))
			if got.Stdout != want {
				t.Errorf("got %q, want %q\n%s", got.Stdout, want, got.Stderr)
			}
		})
	}
}

func TestAgentboxRuns(t *testing.T) {
	boxed := []string{"uid=1000(agent) gid=1000(agent)", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"}
	commands := map[string]struct {
		script string
		want   []string
	}{
		"version":      {"agentbox version", []string{"landlock ABI"}},
		"doctor":       {"agentbox doctor", []string{"ok       seccomp", " cgroups: "}},
		"a command":    {"agentbox run -- /bin/true && echo it ended", []string{"it ended"}},
		"in its box":   {"agentbox run -- sh -c 'id; cat /proc/self/status'", boxed},
		"its own code": {"agentbox run -- sh -c 'exit 7'; echo code=$?", []string{"code=7"}},
	}
	for _, login := range []vm.Login{root, user, bare, {Account: vm.User, Cgroup: vm.Scope}} {
		for name, test := range commands {
			t.Run(login.String()+"/"+name, func(t *testing.T) {
				got := start(t).Run(t, login, test.script)
				if got.Code != 0 {
					t.Fatalf("exit code %d\n%s%s", got.Code, got.Stdout, got.Stderr)
				}
				for _, want := range test.want {
					if !strings.Contains(got.Stdout, want) {
						t.Errorf("no %q in\n%s%s", want, got.Stdout, got.Stderr)
					}
				}
			})
		}
	}
}

func TestUsersMapIDsAsTheirSubordinateIDsAllow(t *testing.T) {
	m := start(t)
	for _, test := range []struct {
		login vm.Login
		want  string
	}{{user, "newuidmap and newgidmap mapped subordinate ids"}, {bare, "no subordinate ids"}} {
		if got := m.Run(t, test.login, "agentbox doctor").Stdout; !strings.Contains(got, test.want) {
			t.Errorf("%v: no %q in\n%s", test.login, test.want, got)
		}
	}
}
