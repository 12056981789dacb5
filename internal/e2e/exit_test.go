package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
)

func TestExitCodesPassThrough(t *testing.T) {
	every := map[string]int{"root": 1, "user": 17, "bare user": 51} // each n-th code, 0 and 255 among them
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			for code := 0; code < 256; code += every[account] {
				if r := w.sh(t, fmt.Sprintf("exit %d", code)); r.code != code || r.out+r.err != "" {
					t.Errorf("exit %d: %+v", code, r)
				}
			}
		})
	}
}

// Every cause of an end, with its exit code and what --result says of it.
func TestResults(t *testing.T) {
	agent := func(script string) []string { return []string{"--", "sh", "-c", script} }
	signalled := func(name string) []string { return agent("kill -" + name + " $$") }
	type end struct {
		cause, signal string
		code          int
		layer         string
	}
	table := map[string]struct {
		args []string
		want end
	}{
		"the agent succeeds":                {agent("true"), end{"exited", "", 0, ""}},
		"the agent fails":                   {agent("exit 3"), end{"exited", "", 3, ""}},
		"the agent's own 64":                {agent("exit 64"), end{"exited", "", 64, ""}},
		"the agent's own 69":                {agent("exit 69"), end{"exited", "", 69, ""}},
		"the agent's own 125":               {agent("exit 125"), end{"exited", "", 125, ""}},
		"the agent's own 127":               {agent("no-such-program"), end{"exited", "", 127, ""}},
		"TERM":                              {signalled("TERM"), end{"signaled", "SIGTERM", 143, ""}},
		"KILL":                              {signalled("KILL"), end{"signaled", "SIGKILL", 137, ""}},
		"INT":                               {signalled("INT"), end{"signaled", "SIGINT", 130, ""}},
		"SEGV":                              {signalled("SEGV"), end{"signaled", "SIGSEGV", 139, ""}},
		"a wrong value of a profile's flag": {append([]string{"--mode", "none"}, agent("true")...), end{"usage", "", 64, ""}},
		"no command":                        {nil, end{"usage", "", 64, ""}},
		"a wrong profile":                   {append([]string{"--profile", "./wrong.toml"}, agent("true")...), end{"profile", "", 65, ""}},
		"a layer is missing":                {append([]string{"--profile", "ci"}, agent("true")...), end{"host", "", 69, "landlock"}},
		"what cannot be executed":           {[]string{"--", "./wrong.toml"}, end{"not-started", "", 126, ""}},
		"what is not there":                 {[]string{"--", "./nothing"}, end{"not-started", "", 127, ""}},
	}
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			w.WriteFile(t, filepath.Join(w.dir, "wrong.toml"), "colour = 'red'\n", 0o644)
			for name, tc := range table {
				t.Run(name, func(t *testing.T) {
					cmd := w.agentbox(t, slices.Concat([]string{"run", "--result", "result.json"}, tc.args)...)
					if tc.want.layer != "" {
						cmd = boxtest.DenyCmd(t, cmd, deny(unix.SYS_LANDLOCK_CREATE_RULESET, unix.ENOSYS)...)
					}
					r := finish(t, cmd)
					said := readResult(t, filepath.Join(w.dir, "result.json"))
					if got := (end{said.Cause, said.Signal, said.ExitCode, said.Layer}); r.code != tc.want.code || got != tc.want {
						t.Errorf("ended with %d, result %+v, not %+v\n%s", r.code, got, tc.want, r.err)
					}
					ours := said.Cause != "exited" && said.Cause != "signaled"
					if ours != strings.HasPrefix(r.err, "agentbox: error: ") && tc.want.code != 127 || ours != (said.Error != "") {
						t.Errorf("messages %q and %q", r.err, said.Error)
					}
				})
			}
		})
	}
}

// 125 is a start that failed for no fault of the host, the profile or the command.
func TestNotStarted(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			cmd := w.agentbox(t, "run", "--result", "result.json", "--", "touch", "RAN")
			r := finish(t, boxtest.DenyCmd(t, cmd, deny(unix.SYS_MEMFD_CREATE, unix.EMFILE)...)) // out of descriptors
			if said := readResult(t, filepath.Join(w.dir, "result.json")); r.code != 125 || said.Cause != "not-started" || said.ExitCode != 125 || w.exists("RAN") {
				t.Errorf("%+v, result %+v", r, said)
			}
		})
	}
}
