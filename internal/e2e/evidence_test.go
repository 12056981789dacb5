package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"

	"agentbox/internal/boxtest"
)

// A bundle is what a file of evidence holds, by name.
type bundle map[string][]byte

// readBundle reads a bundle and checks that its sums and its manifest are about exactly what is in it.
func readBundle(t *testing.T, data []byte) bundle {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	b := bundle{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(h.Name, "/")
		if b[name], err = io.ReadAll(r); err != nil || h.Mode != 0o600 || h.Typeflag != tar.TypeReg {
			t.Fatalf("%+v: %v", h, err)
		}
	}
	var sums strings.Builder
	var m struct {
		Documents []struct{ Name, SHA256 string }
	}
	b.decode(t, "manifest.json", &m)
	for _, d := range m.Documents {
		fmt.Fprintf(&sums, "%s  %s\n", d.SHA256, d.Name)
	}
	fmt.Fprintf(&sums, "%x  manifest.json\n", sha256.Sum256(b["manifest.json"]))
	if string(b["SHA256SUMS"]) != sums.String() || len(b) != len(m.Documents)+2 {
		t.Errorf("the sums are not those of the manifest:\n%s\n%s", b["SHA256SUMS"], sums.String())
	}
	for _, d := range m.Documents {
		if got := fmt.Sprintf("%x", sha256.Sum256(b[d.Name])); got != d.SHA256 {
			t.Errorf("%s hashes to %s, not to %s", d.Name, got, d.SHA256)
		}
	}
	return b
}

func (b bundle) decode(t *testing.T, name string, into any) {
	t.Helper()
	if err := json.Unmarshal(b[name], into); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, b[name])
	}
}

// missing are the documents that the manifest says are not there.
func (b bundle) missing(t *testing.T) (names []string) {
	t.Helper()
	var m struct{ Missing []struct{ Name string } }
	b.decode(t, "manifest.json", &m)
	for _, one := range m.Missing {
		names = append(names, one.Name)
	}
	return names
}

// seenProcesses is processes.json.
type seenProcesses struct {
	Processes []struct {
		PID    int
		Inside int `json:"pid_in_box"`
		Argv   []string
		State  string
		Files  []struct{ Target string }
	}
	Sockets []struct {
		Protocol, Local, State string
		Inode                  uint64
	}
}

// evidence makes a bundle beside the project and reads it.
func (w *world) evidence(t *testing.T, code int, args ...string) bundle {
	t.Helper()
	name := filepath.Join(w.Home, "evidence.tar.zst")
	os.Remove(name)
	t.Cleanup(func() { os.Remove(name) })
	r := finish(t, w.agentbox(t, append([]string{"evidence", "-o", name}, args...)...))
	if r.code != code {
		t.Fatalf("evidence: %+v", r)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(name); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("it has the mode %v: %v", st.Mode(), err)
	}
	if want := fmt.Sprintf("%x  %s\n", sha256.Sum256(data), name); r.out != want {
		t.Errorf("it said %q, not %q", r.out, want)
	}
	return readBundle(t, data)
}

// logFiles are the account's logs, by name.
func (w *world) logFiles(t *testing.T) map[string]string {
	t.Helper()
	dir := filepath.Join(w.Home, ".local/state/agentbox/audit")
	files := map[string]string{}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(data)
	}
	return files
}

// hostile is a program that has a socket, a file with a name that a terminal obeys, a token among its arguments, and a
// child; it goes on when it is told to.
const hostile = `
import os, socket, subprocess, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
f = open("/tmp/\x1b]0;title\x07", "w")
open("made", "w").write("by the agent")
open(".env", "w").write("short")
child = subprocess.Popen(["sleep", "1000"])
print("ready", s.getsockname()[1], flush=True)
sys.stdin.readline()
child.kill(); child.wait()
print("whole", s.getsockname()[1] > 0 and not f.closed, flush=True)
`

const inOverlay = "[workspace]\nmode = \"overlay\"\n"

// A frozen box is shown as it is, and does not notice.
func TestEvidence(t *testing.T) {
	boxtest.Need(t, boxtest.Python)
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, inOverlay)
			w.WriteFile(t, filepath.Join(w.dir, "agent.py"), hostile, 0o644)
			b := w.start(t, `echo ready; exec python3 agent.py --token=ghp_0123456789abcdefghijABCDEFGHIJ456789`)
			port := strings.TrimPrefix(b.line(t), "ready ")
			var e bundle
			w.freezeAndResume(t, func() {
				before := w.logFiles(t)
				e = w.evidence(t, 0)
				if after := w.logFiles(t); !maps.Equal(before, after) {
					t.Error("it has changed a log")
				}
			})
			w.checkProcesses(t, e, port)
			w.checkChanges(t, e)
			if log := e["log/"+w.sessionOf(t, e)+".jsonl"]; !strings.HasPrefix(slices.Collect(maps.Values(w.logFiles(t)))[0], string(log)) || len(log) == 0 {
				t.Errorf("the log in it is another:\n%s", log)
			}
			fmt.Fprintln(b.stdin)
			if got := b.line(t); got != "whole True" {
				t.Errorf("the agent said %q", got)
			}
			if code := b.end(); code != 0 {
				t.Errorf("it ended with %d", code)
			}
			if missing := w.evidence(t, 0).missing(t); !slices.Equal(missing, []string{"processes.json", "cgroup.json"}) {
				t.Errorf("once it has ended, %q are missing", missing)
			}
		})
	}
}

func (w *world) sessionOf(t *testing.T, e bundle) string {
	t.Helper()
	var m struct{ Session string }
	e.decode(t, "manifest.json", &m)
	return m.Session
}

// checkProcesses looks for what the program called hostile does.
func (w *world) checkProcesses(t *testing.T, e bundle, port string) {
	t.Helper()
	var seen seenProcesses
	e.decode(t, "processes.json", &seen)
	var argv [][]string
	var files []string
	for _, p := range seen.Processes {
		if p.Inside != 1 {
			argv = append(argv, p.Argv)
		}
		for _, f := range p.Files {
			files = append(files, f.Target)
		}
	}
	if len(argv) != 2 || !slices.Contains(argv[0], "agent.py") && !slices.Contains(argv[1], "agent.py") {
		t.Errorf("the processes are %q", argv)
	}
	if !slices.Contains(files, "/tmp/\x1b]0;title\x07") {
		t.Errorf("the open files are %q", files)
	}
	listens := false
	for _, s := range seen.Sockets {
		listens = listens || s.Local == "127.0.0.1:"+port && s.State == "listen" && slices.Contains(files, fmt.Sprintf("socket:[%d]", s.Inode))
	}
	if !listens {
		t.Errorf("nobody listens at %s: %+v", port, seen.Sockets)
	}
	if tree := string(e["processes.txt"]); !strings.Contains(tree, "[redacted:github-token]") || !strings.Contains(tree, "sleep 1000") {
		t.Errorf("the tree is\n%s", tree)
	}
	if mounts := string(e["mounts.txt"]); !strings.Contains(mounts, " "+w.dir+" ") {
		t.Errorf("the mounts are\n%s", mounts)
	}
	for name, data := range e {
		if bytes.Contains(data, []byte("ghp_0123456789")) {
			t.Errorf("%s has the token", name)
		}
		if i := bytes.IndexFunc(data, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }); i >= 0 {
			t.Errorf("%s has a control character at %d", name, i)
		}
	}
}

// checkChanges looks for the files of the program called hostile; the one that is masked has no hash.
func (w *world) checkChanges(t *testing.T, e bundle) {
	t.Helper()
	var records []struct {
		Items []struct {
			Path, Masked string
			After        struct{ SHA256 string }
		}
	}
	e.decode(t, "changes.json", &records)
	got := map[string]string{}
	for _, r := range records {
		for _, i := range r.Items {
			got[i.Path] = i.After.SHA256
		}
	}
	if want := map[string]string{"made": fmt.Sprintf("%x", sha256.Sum256([]byte("by the agent"))), ".env": ""}; !maps.Equal(got, want) {
		t.Errorf("the changes are %q", got)
	}
}

// In whatever state a session is, there is a bundle that says so.
func TestEvidenceOfEachState(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, inOverlay)
			b := w.start(t, idle)
			state := func(e bundle) (s string) {
				var m struct{ State string }
				e.decode(t, "manifest.json", &m)
				return m.State
			}
			if e := w.evidence(t, 0); state(e) != "running" || e["processes.json"] == nil {
				t.Errorf("of a box that runs: %s", e["manifest.json"])
			}
			if err := b.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			e := w.evidence(t, 1)
			if e["processes.json"] == nil || !slices.Contains(e.missing(t), "values of credentials") {
				t.Errorf("of a supervisor that is stopped: %s", e["manifest.json"])
			}
			if err := b.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			b.end()
			until(t, "the box has ended", func() bool {
				e = w.evidence(t, 0)
				return e["processes.json"] == nil
			})
			if s := state(e); s != "killed" || !bytes.Contains(e["verification.json"], []byte("unsealed")) {
				t.Errorf("of a supervisor that was killed: %s", e["manifest.json"])
			}
			log := filepath.Join(w.Home, ".local/state/agentbox/audit", w.sessionOf(t, e)+".jsonl")
			data, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			w.WriteFile(t, log, strings.Replace(string(data), `"session.ready"`, `"session.reads"`, 1), 0o600)
			if e = w.evidence(t, 1); !bytes.Contains(e["verification.json"], []byte("broken")) || !bytes.Contains(e["report.txt"], []byte("changed")) {
				t.Errorf("of a log that was changed: %s", e["manifest.json"])
			}
			if err := os.Remove(log); err != nil {
				t.Fatal(err)
			}
			if e = w.evidence(t, 1); !slices.Contains(e.missing(t), "log") {
				t.Errorf("of a log that is gone: %s", e["manifest.json"])
			}
			if r := w.sh(t, "true"); r.code != 0 { // whose start takes away what the killed supervisor left
				t.Errorf("%+v", r)
			}
			if r := finish(t, w.agentbox(t, "prune", "--all", "--changes", "--yes")); r.code != 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}
