package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
)

// A box that forks all the time is frozen, shown whole, and goes on; while it runs it can be shown, too.
func TestEvidenceInAForkStorm(t *testing.T) {
	for how, by := range frozenBy() {
		t.Run(how, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, by.find, by.profile)
			b := w.start(t, storm)
			for range 3 {
				w.freezeAndResume(t, func() {
					var seen, again seenProcesses
					w.evidence(t, 0).decode(t, "processes.json", &seen)
					w.evidence(t, 0).decode(t, "processes.json", &again)
					if first, second := fmt.Sprint(seen), fmt.Sprint(again); first != second || len(seen.Processes) < 6 {
						t.Errorf("a frozen box was once\n%s\nand then\n%s", first, second)
					}
				})
				before := w.size("storm")
				until(t, "the storm goes on", func() bool { return w.size("storm") > before })
				w.evidence(t, 0)
			}
			b.end()
		})
	}
}

// What agentbox knows as a secret is in no document, wherever the agent has it; without the credential the very same text
// is there.
func TestEvidenceHasNoSecret(t *testing.T) {
	const secret = "correct-horse-battery-staple"
	const credential = `
[network]
mode = "allowlist"
allow = ["api.example.com"]
[[credential]]
name = "key"
source = "file:~/secret"
hosts = ["api.example.com"]
header = "x-key"
env = "KEY"
`
	for account, find := range rootAndUser() {
		for name, profile := range map[string]string{"a secret": inOverlay + credential, "a text": inOverlay} {
			t.Run(account+"/"+name, func(t *testing.T) {
				w := newWorld(t, find, profile)
				w.WriteFile(t, filepath.Join(w.Home, "secret"), secret, 0o600)
				b := w.start(t, `touch "name-`+strings.Replace(secret, "-", `""-`, 1)+`"; `+idle)
				joined := w.agentbox(t, "exec", "--", "sh", "-c", "echo ready; sleep 1000; : "+secret)
				out, err := joined.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := joined.Start(); err != nil {
					t.Fatal(err)
				}
				if _, err := out.Read(make([]byte, 5)); err != nil {
					t.Fatal(err)
				}
				var found []string
				for name, data := range w.evidence(t, 0) {
					if strings.Contains(string(data), secret) {
						found = append(found, name)
					}
				}
				if (name == "a secret") != (found == nil) {
					t.Errorf("%s is in %q", name, found)
				}
				_ = joined.Process.Kill()
				_ = joined.Wait()
				b.end()
			})
		}
	}
}

// However the command ends, the file is there whole or not at all, and nothing lies beside it.
func TestEvidenceIsWholeOrAbsent(t *testing.T) {
	boxtest.Leftovers(t)
	w := newWorld(t, boxtest.Superuser, inOverlay)
	if r := w.sh(t, "for i in $(seq 300); do echo $i >file$i; done"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	dir := filepath.Join(w.Home, "out")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	w.evidence(t, 0)
	whole, absent := 0, 0
	for took, i := time.Since(began), 0; i < 40; i++ {
		name := filepath.Join(dir, fmt.Sprint(i))
		cmd := w.agentbox(t, "evidence", "-o", name)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stop := time.AfterFunc(took*time.Duration(i)/30, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		stop.Stop()
		if data, err := os.ReadFile(name); err == nil {
			readBundle(t, data)
			whole++
		} else {
			absent++
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != whole || whole == 0 || absent == 0 {
		t.Errorf("%d are whole, %d absent, and in the directory are %v (%v)", whole, absent, list, err)
	}
	if err := json.Unmarshal([]byte(finish(t, w.agentbox(t, "evidence", "--json", "-o", filepath.Join(dir, "json"))).out), new(map[string]any)); err != nil {
		t.Error(err)
	}
	for name, tc := range map[string]struct {
		output, message string
		prepare         func(path string) error
	}{
		"a file that exists":      {"taken", "file already exists", func(p string) error { return os.WriteFile(p, []byte("mine"), 0o644) }},
		"a link that leads away":  {"link", "file already exists", func(p string) error { return os.Symlink("/dev/null", p) }},
		"a directory that is not": {"none/file", "no such file", func(string) error { return nil }},
		"a disk that has no room": {"full/file", "no space left on device", func(p string) error { return mountSmall(t, filepath.Dir(p)) }},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, tc.output)
			if err := tc.prepare(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(path)
			r := finish(t, w.agentbox(t, "evidence", "-o", path))
			after, _ := os.ReadFile(path)
			if r.code == 0 || !strings.Contains(r.err, tc.message) || string(before) != string(after) {
				t.Errorf("%+v", r)
			}
			if list, _ := os.ReadDir(filepath.Dir(path)); filepath.Dir(path) != dir && len(list) != 0 {
				t.Errorf("it left %v", list)
			}
		})
	}
}

// mountSmall makes a directory that holds four kilobytes.
func mountSmall(t *testing.T, dir string) error {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
	return unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4k")
}
