package cli

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/audit"
	"agentbox/internal/secret"
	"agentbox/launch"
	"agentbox/profile"
)

// usagePeriod is how often the record says what the box uses.
const usagePeriod = 10 * time.Second

// A recorder writes a session's log. The zero value of its log is a log that the profile lets go.
type recorder struct {
	log      *audit.Log
	goesOn   bool // when the log cannot be written
	freezes  bool // the box then, so that a person can look
	c        *caller
	start    audit.Start
	mu       sync.Mutex
	box      *launch.Box
	full     *fullness // freezes the box
	failure  error
	told     string // a limit that was reached and is recorded already
	sampling context.CancelFunc
	sampled  sync.WaitGroup
	secrets  audit.Redactor
	upkeep   audit.Upkeep
	policy   policy
}

// hide keeps a secret out of every record from here on.
func (r *recorder) hide(v secret.Value) { r.secrets.Add(v.Reveal()) }

// record opens the session's log. Nothing of the box exists yet.
func (c *caller) record(id string, p policy) (*recorder, error) {
	a := p.effective.Profile.Audit
	r := &recorder{c: c, policy: p, goesOn: a.OnFailure == "continue", freezes: a.OnFailure == "freeze"}
	effective, err := json.Marshal(p.effective.Profile)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(effective)
	r.start = audit.Start{
		Agentbox: audit.Text(version), Kernel: audit.Text(p.host.Kernel), UID: os.Getuid(), PID: os.Getpid(), IDs: audit.Text(p.plan.IDs),
		Workspace: audit.Text(p.plan.Workspace), Mode: audit.Text(p.effective.Profile.Workspace.Mode), Profile: audit.Text(p.name),
		Layers: layerNames(p.effective), Policy: effective, PolicySHA256: hex.EncodeToString(sum[:]), Argv: audit.Texts(p.plan.Command),
		Dir: audit.Text(p.plan.Dir), Network: audit.Text(p.effective.Profile.Network.Mode), Limits: []audit.Limit{}, Degraded: []audit.Degraded{},
	}
	for _, l := range p.plan.Limits.Held {
		r.start.Limits = append(r.start.Limits, audit.Limit{Name: audit.Text(l.Name), Value: audit.Text(l.Value), State: audit.Text(l.State), By: audit.Text(l.By)})
	}
	for _, d := range p.plan.Degraded {
		r.start.Degraded = append(r.start.Degraded, audit.Degraded{Layer: audit.Text(d.Layer), Why: audit.Text(d.Why)})
	}
	key, err := signingKey(a.Key, p.host.Files.Home)
	if err == nil {
		r.upkeep = upkeep(a, auditDir(a.Dir, p.host.Files.Home), p.host.Files.Home, key)
		r.log, err = audit.Create(r.upkeep.Dir, audit.Options{Session: id, Key: key, Secrets: &r.secrets, Rotate: int64(a.Rotate), Failed: r.failed})
	}
	if err != nil && !r.goesOn {
		return nil, &launch.MissingError{Layer: "audit log", Err: err, Remedy: `name a directory that you may write as audit.dir, or let the log go: audit.on_failure = "continue"`}
	}
	if err != nil {
		c.voice.warnf("this session is not recorded: %s", err)
	}
	return r, nil
}

// defaultAuditDir is the schema's. Where a person keeps their state elsewhere, so do the logs.
const defaultAuditDir = "~/.local/state/agentbox/audit"

func auditDir(dir, home string) string {
	if dir == defaultAuditDir {
		return filepath.Join(stateDir(os.Getenv, home), "audit")
	}
	return expandHome(dir, home, home)
}

// layerNames are the layers that decided something, in no order that matters.
func layerNames(e *profile.Effective) []audit.Text {
	seen := map[string]bool{}
	names := []audit.Text{}
	for _, key := range slices.Sorted(maps.Keys(e.Origins)) {
		if name := e.Origins[key].Layer; !seen[name] {
			seen[name] = true
			names = append(names, audit.Text(name))
		}
	}
	return names
}

// signingKey reads an ed25519 key as `openssl genpkey -algorithm ed25519` writes it.
func signingKey(path, home string) (ed25519.PrivateKey, error) {
	if path == "" {
		return nil, nil
	}
	data, err := readKey(expandHome(path, home, home))
	if err != nil {
		return nil, fmt.Errorf("audit.key: %w", err)
	}
	der, err := pemBytes(data, "PRIVATE KEY", privatePrefix, ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("audit.key: %s: %w", path, err)
	}
	return ed25519.NewKeyFromSeed(der), nil
}

// readKey reads a file that nobody else may read: whoever has the key can sign another log.
func readKey(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o077 != 0 || int(st.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%s must be a file of yours that nobody else may read: chmod 600", path)
	}
	return io.ReadAll(io.LimitReader(f, maxProfile))
}

// What stands before the key itself in PKCS #8 and in SubjectPublicKeyInfo; see RFC 8410, section 7 and 4.
var (
	privatePrefix = []byte{0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20}
	publicPrefix  = []byte{0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00}
)

func pemBytes(data []byte, kind string, prefix []byte, size int) ([]byte, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("it holds no PEM block %q", kind)
	}
	key, ok := bytes.CutPrefix(block.Bytes, prefix)
	if !ok || len(key) != size {
		return nil, errors.New("it is not an ed25519 key")
	}
	return key, nil
}

// commit writes a record that must be on disk before what it is about happens.
func (r *recorder) commit(e audit.Event) error {
	if r.log == nil {
		return nil
	}
	if err := r.log.Commit(e); err != nil && !r.goesOn {
		return err
	}
	return nil
}

// started is asked while the box is being made; the agent does not run before it answers.
func (r *recorder) started() error {
	if err := r.commit(&r.start); err != nil {
		return &launch.MissingError{Layer: "audit log", Err: err, Remedy: `make room, or let the log go: audit.on_failure = "continue"`}
	}
	return nil
}

// ready goes on recording while the box runs.
func (r *recorder) ready(box *launch.Box) {
	r.mu.Lock()
	r.box = box
	failed := r.failure != nil && !r.goesOn
	r.mu.Unlock()
	if failed {
		_ = box.Kill()
	}
	if r.log == nil {
		return
	}
	_ = r.log.Append(&audit.Ready{BoxPID: box.PID()})
	ctx, cancel := context.WithCancel(context.Background())
	r.sampling = cancel
	r.sampled.Go(func() {
		tick := time.NewTicker(usagePeriod)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = r.log.Append(usageRecord(box.Usage()))
			}
		}
	})
}

func usageRecord(u launch.Usage) *audit.Usage {
	return &audit.Usage{MemoryBytes: u.Memory, CPUSeconds: u.CPU.Seconds(), Pids: u.Pids}
}

// failed ends or freezes the box whose log cannot be written, unless the profile lets it go on. A frozen one that wakes itself
// ends.
func (r *recorder) failed(err error) {
	r.mu.Lock()
	r.failure = err
	box, full := r.box, r.full
	r.mu.Unlock()
	if box == nil || r.goesOn {
		return
	}
	unrecorded := func() error { return nil }
	if r.freezes && full != nil && full.freeze(context.Background(), unrecorded, err.Error(), lostHint) {
		box.HoldFrozen()
		return
	}
	_ = box.Kill()
}

// lostHint is for a box that is frozen because nobody could say what it does next: it never goes on.
const lostHint = `"agentbox evidence -o FILE %[1]s" keeps what there is, "agentbox kill %[1]s" ends it; it cannot go on without its record`

// lost reports that the log cannot be written and the box must not go on.
func (r *recorder) lost() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failure != nil && !r.goesOn
}

// end records how the session ended.
func (r *recorder) end(res *result, end launch.Result) {
	if r == nil || r.log == nil {
		return
	}
	if r.sampling != nil {
		r.sampling()
		r.sampled.Wait()
	}
	for _, l := range end.Reached {
		if l.Name == r.told && !l.Ended {
			continue
		}
		_ = r.log.Append(&audit.LimitReached{Name: audit.Text(l.Name), Value: audit.Text(l.Value), Detail: audit.Text(l.Detail), Ended: l.Ended})
	}
	_ = r.log.Append(&audit.End{
		Cause: audit.Text(res.Cause), ExitCode: res.ExitCode, Signal: audit.Text(res.Signal), Limit: audit.Text(res.Limit), Error: audit.Text(res.Error),
		Seconds: res.Ended.Sub(res.Started).Seconds(), PeakBytes: end.PeakMemory, CPUSeconds: end.CPU.Seconds(),
	})
}

// close seals the log and says what became of it.
func (r *recorder) close() {
	if r == nil || r.log == nil {
		return
	}
	err := r.log.Close()
	switch {
	case err == nil:
	case r.goesOn:
		r.c.voice.warnf("%s", err)
	case r.freezes:
		r.c.voice.failf("%s: the box was frozen, and has ended (audit.on_failure = %q)", err, "freeze")
	default:
		r.c.voice.failf("%s: the box was ended (audit.on_failure = %q)", err, "stop")
	}
}
