package cli

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/audit"
	"agentbox/launch"
	"agentbox/mounts"
	"agentbox/profile"
)

// ended makes the log of a session that is over, and a profile with an archive.
func ended(t *testing.T, archive string) (*audit.Log, audit.Upkeep, policy) {
	t.Helper()
	home := t.TempDir()
	dir := filepath.Join(home, "audit")
	log, err := audit.Create(dir, audit.Options{Session: "1ryn6z2q1j1n"})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	p := policy{host: launch.Host{Files: mounts.Host{Home: home}}}
	p.effective = &profile.Effective{Profile: profile.Profile{Audit: profile.Audit{Archive: archive}}}
	return log, audit.Upkeep{Dir: dir, Prompt: true}, p
}

// Two runs that end at a time both have their logs in the archive: who finds the other one at it waits.
func TestTendingWaits(t *testing.T) {
	archive := t.TempDir()
	log, u, p := ended(t, archive)
	ledger := filepath.Join(u.Dir, "shipped")
	if err := errors.Join(os.Mkdir(ledger, 0o700), os.WriteFile(filepath.Join(ledger, ".lock"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for i, path := range []string{u.Dir, filepath.Join(ledger, ".lock")} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(3+3*i)*busyPause, func() { f.Close() })
	}
	said := written(t, 0, func(v *voice) {
		(&recorder{c: &caller{voice: v}, log: log, policy: p, upkeep: u}).tend()
	})
	if _, err := os.Stat(filepath.Join(archive, "1ryn6z2q1j1n.000001.jsonl.zst")); err != nil || said != "" {
		t.Errorf("%v %s", err, said)
	}
}

// Who presses Ctrl-C behind the end of the agent does not wait for an archive that does not answer.
func TestTendingIsInterrupted(t *testing.T) {
	asked := make(chan struct{}, 1)
	archive := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(archive.Close)
	log, u, p := ended(t, archive.URL+"/")
	began := time.Now()
	said := written(t, 0, func(v *voice) {
		r := &recorder{c: &caller{voice: v}, log: log, policy: p, upkeep: u}
		go func() {
			<-asked
			_ = unix.Kill(os.Getpid(), unix.SIGINT)
		}()
		r.tend()
	})
	if took := time.Since(began); took > shippingTime/2 {
		t.Errorf("it took %v", took)
	}
	if !strings.Contains(said, "1 closed log is not in "+archive.URL) || !strings.Contains(said, "interrupted by SIGINT") {
		t.Error(said)
	}
}
