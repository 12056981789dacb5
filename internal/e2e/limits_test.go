package e2e

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"agentbox/internal/boxtest"
)

// Limits that an agent runs into, and what it would have done without. The host holds each one: root's by control
// groups, an ordinary user's (whom nobody has given one) by the supervisor's watch and by resource limits.
func limitCases() map[string]struct {
	limit, agent, wider string
	code                int
	says                string
} {
	const memory, wide = `memory = "64MiB"`, `memory = "1GiB"`
	type c = struct {
		limit, agent, wider string
		code                int
		says                string
	}
	return map[string]c{
		"memory of a process": {memory, python(`
x = bytearray(256 << 20)
time.sleep(0.5)`), wide, 137, "memory limit 64MiB reached"},
		"memory of many": {memory, `for i in 1 2 3 4 5 6 7 8; do ` + python(`
x = bytearray(32 << 20)
time.sleep(1)`) + ` & done; wait`, wide, 137, "memory limit 64MiB reached"},
		"memory in a tmpfs": {memory, `head -c 256M /dev/zero >/tmp/x && sleep 0.5`, wide, 137, "memory limit 64MiB reached"},
		"memory in a memfd": {memory, python(`
f = os.memfd_create("x")
for i in range(256): os.write(f, bytes(1 << 20))
time.sleep(1.2)`), wide, 137, "memory limit 64MiB reached"},
		"a fork bomb": {`pids = 40`, python(`
for i in range(100):
    if os.fork() == 0: time.sleep(2); os._exit(0)`), `pids = 400`, 1, "Resource temporarily unavailable"},
		"open files": {`open_files = 20`, python(`
f = [open("/dev/null") for i in range(30)]`), `open_files = 200`, 1, "Too many open files"},
		"a timeout":                   {"timeout = \"1s\"\ngrace = \"100ms\"", `sleep 3`, `timeout = "10s"`, 124, "timeout 1s reached"},
		"a timeout, and no TERM":      {"timeout = \"1s\"\ngrace = \"100ms\"", `trap "" TERM; sleep 3; sleep 3`, `timeout = "20s"`, 124, "timeout 1s reached"},
		"a timeout of a stopped one":  {"timeout = \"1s\"\ngrace = \"100ms\"", `(sleep 2; kill -CONT $$) & kill -STOP $$`, `timeout = "10s"`, 124, "timeout 1s reached"},
		"a tmpfs, in a mount's limit": {"[[mount]]\ntype = 'tmpfs'\ntarget = '/tmp'\nsize = '1MiB'", `head -c 2M /dev/zero >/tmp/x`, "[[mount]]\ntype = 'tmpfs'\ntarget = '/tmp'\nsize = '4MiB'", 1, "No space left"},
	}
}

func TestLimits(t *testing.T) {
	boxtest.Need(t, boxtest.Python)
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			profile := func(limit string) string {
				if strings.HasPrefix(limit, "[[") {
					return limit
				}
				return "[limits]\nenforcement = 'watched'\n" + limit
			}
			for name, tc := range limitCases() {
				t.Run(name, func(t *testing.T) {
					began := time.Now()
					r := w.attempt(t, attempt{script: tc.agent, profile: profile(tc.limit), options: []string{"--result", "result.json"}})
					if r.code != tc.code || !strings.Contains(r.err, tc.says) {
						t.Errorf("ended with %d after %v, not with %d and %q: %s", r.code, time.Since(began), tc.code, tc.says, r.err)
					}
					if said := readResult(t, filepath.Join(w.dir, "result.json")); tc.code > 1 && (said.Cause != "limit" || said.ExitCode != tc.code) {
						t.Errorf("result %+v", said)
					}
					if r := w.attempt(t, attempt{script: tc.agent, profile: profile(tc.wider)}); r.code != 0 {
						t.Errorf("with a wider limit: %+v", r)
					}
				})
			}
		})
	}
}

// The share of a processor is measured inside, by the agent's own clock.
func TestProcessorShare(t *testing.T) {
	boxtest.Need(t, boxtest.Python, boxtest.Root)
	const burn = `
def burn():
    end = time.time() + 2
    while time.time() < end: pass
for i in range(3):
    if os.fork() == 0: burn(); os._exit(0)
for i in range(3): os.wait()
t = os.times()
print((t.children_user + t.children_system) / 2)`
	w := newWorld(t, boxtest.Superuser, "")
	for cpus, limit := range map[float64]string{0.4: "cpus = 0.4", 1: "cpus = 1"} {
		r := w.attempt(t, attempt{script: python(burn), profile: "[limits]\n" + limit})
		share, err := strconv.ParseFloat(strings.TrimSpace(r.out), 64)
		// A busy machine gives less than the limit, and never more; still more than the other limit would let through.
		if err != nil || share < cpus*0.6 || share > cpus*1.1 {
			t.Errorf("%s gave %v processors (%v): %+v", limit, share, err, r)
		}
	}
}

// An ordinary user's share is a number of processors, and the agent cannot choose more.
func TestProcessorsThatAreOnlyWatched(t *testing.T) {
	boxtest.Need(t, boxtest.Python)
	const ask = `
try: os.sched_setaffinity(0, range(os.cpu_count()))
except PermissionError as e: print(e)
print(len(os.sched_getaffinity(0)))`
	w := newWorld(t, mappedUser, "")
	r := w.attempt(t, attempt{script: python(ask), profile: "[limits]\ncpus = 1\nenforcement = 'watched'"})
	if want := "[Errno 1] Operation not permitted\n1\n"; r.out != want {
		t.Errorf("with one processor: %+v", r)
	}
	if r := w.attempt(t, attempt{script: python(ask)}); strings.Contains(r.out, "not permitted") {
		t.Errorf("without a limit: %+v", r)
	}
}

// A profile that asks for the kernel gets the kernel or nothing.
func TestLimitsThatOnlyTheKernelMayHold(t *testing.T) {
	w := newWorld(t, mappedUser, "")
	for limit, layer := range map[string]string{"memory = '1GiB'": "memory limit", "cpus = 1": "cpus limit"} {
		t.Run(limit, func(t *testing.T) {
			run := func(enforcement string) result {
				return w.attempt(t, attempt{script: "touch RAN", options: []string{"-v"},
					profile: fmt.Sprintf("[limits]\nenforcement = %q\n%s", enforcement, limit)})
			}
			if r := run("kernel"); r.code != 69 || !strings.Contains(r.err, "cannot set up the layer "+layer+": ") || w.exists("RAN") {
				t.Errorf("%+v", r)
			}
			if r := run("watched"); r.code != 0 || !w.exists("RAN") || !strings.Contains(r.err, "watched, not enforced: ") {
				t.Errorf("%+v", r)
			}
		})
	}
}

// Commands that join are limited together with the agent, and nothing of the limits is the agent's to change.
func TestLimitsHoldForFurtherCommands(t *testing.T) {
	boxtest.Leftovers(t)
	w := newWorld(t, boxtest.Superuser, "[limits]\nmemory = '64MiB'\npids = 50\nopen_files = 99")
	b := w.start(t, idle)
	const where = `grep -cE ':(memory|pids|freezer):.*/agentbox-' /proc/self/cgroup; ulimit -n`
	if r := finish(t, w.agentbox(t, "exec", "--", "sh", "-c", where)); r.out != "3\n99\n" {
		t.Errorf("%+v", r)
	}
	hog := finish(t, w.agentbox(t, "exec", "--", "sh", "-c", python(`x = bytearray(256 << 20)`)))
	if code := b.end(); hog.code == 0 || code != 137 {
		t.Errorf("the command: %+v, the agent: %d", hog, code)
	}
}
