package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentbox/internal/boxtest"
)

// A posture is what testdata/probe prints.
type posture map[string]any

// The whole posture of the agent, and of a further command in its box, is what the
// golden files say. What the caller passes on by design (limits, umask) is
// compared with the posture outside; ids, sizes and the host's own choice of
// files in /etc, /proc and /sys are given names.
func TestPosture(t *testing.T) {
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "workspace.mode = 'overlay'")
			boxtest.Probe(t, w.dir)
			outside := w.probe(t, w.Command(t, w.dir, "./probe", "-ids"))
			run := w.probe(t, w.agentbox(t, "run", "--", "./probe", "-ids"))
			w.start(t, idle)
			further := w.probe(t, w.agentbox(t, "exec", "--", "./probe", "-ids"))
			for how, p := range map[string]posture{"run": run, "exec": further} {
				p.normalise(outside, w)
				name := strings.ReplaceAll(account, " ", "-") + "-" + how + ".json"
				boxtest.Golden(t, filepath.Join("../../testdata/postures", name), p)
			}
			for _, p := range []posture{run, further} {
				delete(p, "processes")
				delete(p, "session_leader") // exec has no PID 1 of its own to lead the session
			}
			if diff := cmp.Diff(run, further); diff != "" {
				t.Errorf("exec has another posture than run (-run +exec):\n%s", diff)
			}
		})
	}
}

func (w *world) probe(t *testing.T, cmd *exec.Cmd) posture {
	t.Helper()
	cmd.Stdin = strings.NewReader("")
	r := finish(t, cmd)
	var p posture
	if err := json.Unmarshal([]byte(r.out), &p); err != nil || r.code != 0 {
		t.Fatalf("probe: %v, exit code %d: %s", err, r.code, r.err)
	}
	return p
}

func (p posture) normalise(outside posture, w *world) {
	own, hosts := p["namespace_ids"].(map[string]any), outside["namespace_ids"].(map[string]any)
	for name, id := range own {
		own[name] = map[bool]string{true: "the host's", false: "its own"}[id == hosts[name]]
	}
	delete(p, "namespaces")
	for _, key := range []string{"umask", "oom_score_adj"} {
		p[key] = asOutside(p[key], outside[key])
	}
	limits, theirs := p["rlimits"].(map[string]any), outside["rlimits"].(map[string]any)
	for name := range limits {
		limits[name] = asOutside(limits[name], theirs[name])
	}
	p["cwd"] = w.name(p["cwd"].(string))
	groups := p["cgroups"].([]any)
	for i, g := range groups {
		groups[i] = g.(string)[strings.LastIndex(g.(string), ":")+1:]
	}
	p["cgroups"] = slices.Compact(groups)
	p.numberProcesses()
	ids := p.nameIDs(w)
	var list []any
	seen := map[string]bool{}
	for _, m := range p["mounts"].([]any) {
		m := normalMount(m.(map[string]any), w, ids)
		if key := fmt.Sprint(m); !seen[key] {
			seen[key] = true
			list = append(list, m)
		}
	}
	p["mounts"] = list
}

func asOutside(in, out any) any {
	if cmp.Equal(in, out) {
		return "as outside"
	}
	return in
}

// numberProcesses leaves only PID 1 its number: threads of the start have some too.
func (p posture) numberProcesses() {
	for _, entry := range p["processes"].([]any) {
		for _, key := range []string{"pid", "ppid"} {
			if e := entry.(map[string]any); e[key].(float64) > 1 {
				e[key] = "N"
			}
		}
	}
}

// nameIDs gives the range of a box that root started a name, and returns names for
// the owners of its filesystems.
func (p posture) nameIDs(w *world) *strings.Replacer {
	var first, base, size uint
	names := []string{fmt.Sprintf("uid=%d", w.UID), "uid=caller"}
	for _, key := range []string{"uid_map", "gid_map"} {
		lines := p[key].([]any)
		if fmt.Sscan(lines[0].(string), &first, &base, &size); size == 65536 {
			lines[0] = fmt.Sprintf("%d BASE %d", first, size)
			names = append(names, fmt.Sprintf("uid=%d", base), "uid=BASE", fmt.Sprintf("uid=%d", base+1000), "uid=BASE+1000")
		}
	}
	return strings.NewReplacer(names...)
}

func normalMount(m map[string]any, w *world, ids *strings.Replacer) map[string]any {
	point := m["point"].(string)
	super, _ := m["super"].([]any)
	for i, o := range super {
		super[i] = ids.Replace(o.(string))
	}
	switch dir, _ := path.Split(point); {
	case m["type"] == "host": // where it lies on the host's filesystem is the host's affair
		delete(m, "root")
	case dir == "/dev/" && m["type"] != "devpts" && m["root"] != "/":
		m["type"] = "device"
		delete(m, "super")
	case m["type"] == "sysfs" || m["type"] == "proc":
		m["root"] = strings.TrimSuffix(point, m["root"].(string)) + "..."
	case strings.HasPrefix(m["root"].(string), "/none"):
		m["root"] = "an empty file or directory"
	}
	m["point"] = w.name(point)
	for _, top := range []string{"/etc/", "/proc/", "/sys/"} {
		if strings.HasPrefix(point, top) {
			m["point"] = top + "..."
		}
	}
	return m
}

// name stands for a path that differs from run to run.
func (w *world) name(p string) string {
	home, err := filepath.EvalSymlinks(w.Home)
	if err != nil {
		home = w.Home
	}
	return strings.NewReplacer(w.dir, "PROJECT", home, "HOME").Replace(p)
}
