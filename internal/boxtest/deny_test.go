package boxtest

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestDenyCmd(t *testing.T) {
	newnet := DenyRule{Syscall: unix.SYS_UNSHARE, Errno: unix.ENOSPC, Mask: unix.CLONE_NEWNET}
	for name, tc := range map[string]struct {
		rules []DenyRule
		argv  []string
		want  string // "" for success
	}{
		"a flag that the call has":     {[]DenyRule{newnet}, []string{"unshare", "-U", "-n", "true"}, "No space left on device"},
		"a flag that the call has not": {[]DenyRule{newnet}, []string{"unshare", "-U", "true"}, ""},
		"the whole call":               {[]DenyRule{{Syscall: unix.SYS_UNSHARE, Errno: unix.EPERM}}, []string{"unshare", "-U", "true"}, "Operation not permitted"},
		"the first rule that fits": {[]DenyRule{newnet, {Syscall: unix.SYS_UNSHARE, Errno: unix.EUSERS}},
			[]string{"unshare", "-U", "true"}, "Too many users"},
		"an exact argument": {[]DenyRule{{Syscall: unix.SYS_UNSHARE, Errno: unix.EMFILE, Mask: unix.CLONE_NEWUSER, Exact: true}},
			[]string{"unshare", "-U", "true"}, "Too many open files"},
		"another exact argument": {[]DenyRule{{Syscall: unix.SYS_UNSHARE, Errno: unix.EMFILE, Mask: unix.CLONE_NEWUTS, Exact: true}},
			[]string{"unshare", "-U", "true"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			Need(t, Userns, Seccomp)
			a := BareUser(t)
			out, err := DenyCmd(t, a.Command(t, "/", tc.argv...), tc.rules...).CombinedOutput()
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(string(out), tc.want)) {
				t.Errorf("%v: %s; want %q", err, out, tc.want)
			}
		})
	}
}

func TestDenyCmdChangesNothingElse(t *testing.T) {
	Need(t, Seccomp)
	a := User(t)
	const script = whoami + `; ulimit -n; grep -E 'Cap|SigIgn|SigBlk' /proc/self/status`
	plain, err1 := a.Command(t, "/", "sh", "-c", script).CombinedOutput()
	denied, err2 := DenyCmd(t, a.Command(t, "/", "sh", "-c", script),
		DenyRule{Syscall: unix.SYS_ACCT, Errno: unix.ENOSYS}).CombinedOutput()
	want := string(plain)
	if os.Geteuid() != 0 {
		want = strings.Replace(want, "NoNewPrivs:\t0", "NoNewPrivs:\t1", 1)
	}
	if diff := cmp.Diff(want, string(denied)); err1 != nil || err2 != nil || diff != "" {
		t.Errorf("%v, %v\n%s", err1, err2, diff)
	}
	cmd := DenyCmd(t, a.Command(t, "/", "sh", "-c", "exit 7"), DenyRule{Syscall: unix.SYS_ACCT, Errno: unix.ENOSYS})
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("exit code: %v", err)
	}
}

func TestDenyCmdKeepsSetuidPrograms(t *testing.T) {
	Need(t, Root, Newuidmap)
	a := User(t)
	cmd := a.Command(t, "/", "unshare", "--user", "--map-root-user", "--map-auto", "true")
	if out, err := DenyCmd(t, cmd, DenyRule{Syscall: unix.SYS_ACCT, Errno: unix.ENOSYS}).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestRulesThatCannotWork(t *testing.T) {
	for name, r := range map[string]DenyRule{
		"no errno":          {Syscall: unix.SYS_UNSHARE},
		"argument too high": {Syscall: unix.SYS_UNSHARE, Errno: unix.EPERM, Arg: 6, Mask: 1},
		"execve":            {Syscall: unix.SYS_EXECVE, Errno: unix.EPERM},
	} {
		if _, err := assemble([]DenyRule{r}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
