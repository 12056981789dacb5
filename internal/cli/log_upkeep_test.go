package cli

import (
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

// Who presses Ctrl-C behind the end of the agent does not wait for an archive that does not answer.
func TestTendingIsInterrupted(t *testing.T) {
	asked := make(chan struct{}, 1)
	archive := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(archive.Close)
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
	p.effective = &profile.Effective{Profile: profile.Profile{Audit: profile.Audit{Archive: archive.URL + "/"}}}
	began := time.Now()
	said := written(t, 0, func(v *voice) {
		r := &recorder{c: &caller{voice: v}, log: log, policy: p, upkeep: audit.Upkeep{Dir: dir, Prompt: true}}
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
