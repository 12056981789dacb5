package cli

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
	"agentbox/profile"
)

const archiveToken = "tok-3kq9Zx7Lm2VbN8sW"

// A store is a server for logs, behind TLS of an authority of its own. before may answer a request in its place.
type store struct {
	mu     sync.Mutex
	data   map[string]string
	counts map[string]int
	before func(w http.ResponseWriter, r *http.Request) bool
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.before != nil && s.before(w, r) {
		return
	}
	body, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	have, there := s.data[r.URL.Path]
	switch {
	case r.Header.Get("Authorization") != "Bearer "+archiveToken:
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodPut && err == nil && !there:
		s.data[r.URL.Path] = string(body)
		s.counts[r.URL.Path]++
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPut:
		w.WriteHeader(http.StatusPreconditionFailed)
	case !there:
		w.WriteHeader(http.StatusNotFound)
	default:
		fmt.Fprint(w, have)
	}
}

// archiving is a person with three closed logs, and a server for them.
func archiving(t *testing.T) (*store, func() *exec.Cmd) {
	t.Helper()
	s := &store{data: map[string]string{}, counts: map[string]int{}}
	server := httptest.NewTLSServer(s)
	t.Cleanup(server.Close)
	binary, home := boxtest.Binary(t), t.TempDir()
	config, logs, project := filepath.Join(home, ".config", "agentbox"), filepath.Join(home, "logs"), filepath.Join(home, "project")
	if err := errors.Join(os.MkdirAll(config, 0o700), os.Mkdir(logs, 0o700), os.Mkdir(project, 0o700)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		filepath.Join(config, "profile.toml"):      fmt.Sprintf("[audit]\ndir = '~/logs'\narchive = '%s/logs/'\narchive_token = 'file:~/.config/agentbox/token'\n[network]\nextra_ca = ['~/ca.pem']\n", server.URL),
		filepath.Join(config, "token"):             archiveToken + "\n",
		filepath.Join(home, "ca.pem"):              string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})),
		filepath.Join(logs, "s1.000001.jsonl.zst"): strings.Repeat("a", 200_000),
		filepath.Join(logs, "s1.000002.jsonl.zst"): "b",
		filepath.Join(logs, "s2.000001.jsonl.zst"): strings.Repeat("c", 100_000),
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s, func() *exec.Cmd {
		cmd := exec.Command(binary, "log", "archive")
		cmd.Dir, cmd.Env = project, []string{"HOME=" + home, "PATH=" + systemPath, "LANG=C.UTF-8"}
		return cmd
	}
}

// runs runs a command that ends with a code, and returns what it says, in which no token is.
func runs(t *testing.T, cmd *exec.Cmd, code int) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("it ended with %d, %v:\n%s", got, err, out)
	}
	if bytes.Contains(out, []byte(archiveToken)) {
		t.Errorf("it says the token:\n%s", out)
	}
	return string(out)
}

func (s *store) whole(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.data) != 3 || s.data["/logs/s1.000001.jsonl.zst"] != strings.Repeat("a", 200_000) || s.counts["/logs/s1.000001.jsonl.zst"] != 1 {
		t.Errorf("the server has %d files, %v", len(s.data), s.counts)
	}
}

// The profile's server gets each closed log once, whatever ends the pass before.
func TestLogArchiveGoesOn(t *testing.T) {
	for name, tc := range map[string]struct {
		signal unix.Signal
		code   int
		says   string
	}{
		"Ctrl-C":  {unix.SIGINT, 130, "3 are here alone, and the next pass goes on with them"},
		"SIGTERM": {unix.SIGTERM, 143, "3 are here alone, and the next pass goes on with them"},
		"kill -9": {unix.SIGKILL, -1, ""},
		"nothing": {0, 0, "3 closed logs were copied to https://"},
	} {
		t.Run(name, func(t *testing.T) {
			s, archive := archiving(t)
			cmd := archive()
			s.before = func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPut || tc.signal == 0 {
					return false
				}
				_ = cmd.Process.Signal(tc.signal)
				<-t.Context().Done()
				return true
			}
			if out := runs(t, cmd, tc.code); !strings.Contains(out, tc.says) {
				t.Error(out)
			}
			if tc.signal != 0 {
				tc.signal = 0
				runs(t, archive(), 0)
			}
			s.whole(t)
			if out := runs(t, archive(), 0); !strings.Contains(out, "which had 3 before") {
				t.Error(out)
			}
			s.whole(t)
		})
	}
}

// A failure says what, which file, what to do and what is left.
func TestLogArchiveSaysWhatIsWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		answer int
		want   []string
	}{
		"a token that is not good": {401, []string{"error: s1.000001.jsonl.zst: 127.0.0.1:", "HEAD is answered with 401 Unauthorized", "hint: look at audit.archive_token", "3 are here alone"}},
		"a redirect":               {307, []string{"307 Temporary Redirect", "hint: no redirect is followed"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, archive := archiving(t)
			s.before = func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Location", "https://127.0.0.1:1/?"+r.Header.Get("Authorization"))
				w.WriteHeader(tc.answer)
				fmt.Fprint(w, r.Header.Get("Authorization"))
				return true
			}
			out := runs(t, archive(), exitFailure)
			for _, want := range tc.want {
				if !strings.Contains(out, want) {
					t.Errorf("it does not say %q:\n%s", want, out)
				}
			}
		})
	}
}

// What may be removed is what the profile's archive has.
func TestShippedIsAboutTheProfilesArchive(t *testing.T) {
	_, archive := archiving(t)
	cmd := archive()
	runs(t, cmd, 0)
	home := filepath.Dir(cmd.Dir)
	written, err := os.ReadFile(filepath.Join(home, ".config", "agentbox", "profile.toml"))
	if err != nil {
		t.Fatal(err)
	}
	url := strings.Split(string(written), "'")[3]
	for to, want := range map[string]bool{url: true, "https://127.0.0.1:1/logs/": false, "~/archive": false} {
		has, err := shipped(filepath.Join(home, "logs"), profile.Audit{Archive: to}, home)
		if err != nil || has("s1.000001.jsonl.zst") != want || has("s3.000001.jsonl.zst") {
			t.Errorf("%s: %v", to, err)
		}
	}
	if has, err := shipped(home, profile.Audit{}, home); has != nil || err != nil {
		t.Errorf("no archive: %v", err)
	}
}
