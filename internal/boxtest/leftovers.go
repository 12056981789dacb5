package boxtest

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The kernel ends the processes of a namespace and frees its mounts and cgroups
// after the process that waited has gone on.
const (
	settleTime = 3 * time.Second
	settleStep = 10 * time.Millisecond
)

// Leftovers remembers what the machine has now and reports, at the end of the
// test, what is there in addition: processes of agentbox or in another PID
// namespace, mounts, cgroups, files of sessions, temporary files. The accounts'
// session directories are compared too, and so are dirs. Call it first, so that
// the test's other cleanups have run before it looks.
func Leftovers(t testing.TB, dirs ...string) {
	t.Helper()
	look := func() map[string]bool { return snapshot(dirs) }
	before := look()
	process.mu.Lock()
	process.watchers++
	process.mu.Unlock()
	t.Cleanup(func() {
		process.mu.Lock()
		process.watchers--
		process.mu.Unlock()
		for what := range settle(look, before) {
			t.Errorf("left behind: %s", what)
		}
	})
}

// settle returns what look finds beyond before, after giving it time to go.
func settle(look func() map[string]bool, before map[string]bool) map[string]bool {
	process.mu.Lock()
	limit := cmp.Or(process.settle, settleTime)
	process.mu.Unlock()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	step := time.NewTicker(settleStep)
	defer step.Stop()
	for {
		extra := map[string]bool{}
		for what := range look() {
			if !before[what] {
				extra[what] = true
			}
		}
		if len(extra) == 0 {
			return nil
		}
		select {
		case <-deadline.C:
			return extra
		case <-step.C:
		}
	}
}

func snapshot(dirs []string) map[string]bool {
	found := runtimeFiles(append([]string{"/run/agentbox"}, dirs...))
	addProcesses(found)
	addMounts(found)
	addCgroups(found)
	for _, pattern := range []string{"/tmp/agentbox*", "/var/tmp/agentbox*", "/dev/shm/agentbox*"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			found["temporary file "+path] = true
		}
	}
	return found
}

// runtimeFiles lists what lies in session directories. Slots of ID ranges stay by
// design: they are locks that somebody may be waiting to take.
func runtimeFiles(roots []string) map[string]bool {
	found := map[string]bool{}
	for _, root := range roots {
		filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || path == root {
				return nil
			}
			if e.Name() == "ids" && filepath.Dir(path) == root {
				return fs.SkipDir
			}
			found["file "+path] = true
			if e.IsDir() && filepath.Dir(path) != root {
				return fs.SkipDir
			}
			return nil
		})
	}
	return found
}

func addProcesses(found map[string]bool) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		found["processes: "+err.Error()] = true
		return
	}
	ownNamespace, _ := os.Readlink("/proc/self/ns/pid")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if text := describeProcess(pid, ownNamespace); text != "" {
			found[text] = true
		}
	}
}

// describeProcess returns "" for a process that is none of ours or has ended.
func describeProcess(pid int, ownNamespace string) string {
	dir := fmt.Sprintf("/proc/%d/", pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return ""
	}
	name, rest, ok := bytes.Cut(stat[bytes.IndexByte(stat, '(')+1:], []byte(") "))
	fields := bytes.Fields(rest)
	if !ok || len(fields) < 20 || fields[0][0] == 'Z' || fields[0][0] == 'X' {
		return ""
	}
	exe, _ := os.Readlink(dir + "exe")
	cmdline, _ := os.ReadFile(dir + "cmdline")
	argv0, _, _ := bytes.Cut(cmdline, []byte{0})
	namespace, _ := os.Readlink(dir + "ns/pid")
	ours := strings.HasPrefix(string(name), "agentbox") ||
		strings.HasPrefix(filepath.Base(string(argv0)), "agentbox") ||
		strings.HasPrefix(exe, "/memfd:") || isBinary(exe) ||
		namespace != "" && namespace != ownNamespace
	if !ours {
		return ""
	}
	command := string(bytes.ReplaceAll(bytes.TrimRight(cmdline, "\x00"), []byte{0}, []byte{' '}))
	return fmt.Sprintf("process %d (%s, exe %q, command %q, started at tick %s)", pid, name, exe, command, fields[19])
}

func isBinary(exe string) bool {
	if exe == "" {
		return false
	}
	exe = strings.TrimSuffix(exe, " (deleted)")
	if exe == os.Getenv(binaryEnv) {
		return true
	}
	process.mu.Lock()
	defer process.mu.Unlock()
	return exe == process.built["."].path
}

func addMounts(found map[string]bool) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		found["mounts: "+err.Error()] = true
		return
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 4 {
			found[fmt.Sprintf("mount %s on %s", f[0], f[4])] = true
		}
	}
}

// addCgroups lists groups down to the third level. The slices in which the
// system's own services come and go count only where the name is ours.
func addCgroups(found map[string]bool) {
	const top, depth = "/sys/fs/cgroup", 3
	filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() || path == top {
			return nil
		}
		rel, _ := filepath.Rel(top, path)
		foreign := strings.Contains(rel, "system.slice/") || strings.Contains(rel, "user.slice/")
		if !foreign || strings.Contains(rel, "agentbox") {
			found["cgroup "+path] = true
		}
		if strings.Count(rel, "/") >= depth-1 {
			return fs.SkipDir
		}
		return nil
	})
}
