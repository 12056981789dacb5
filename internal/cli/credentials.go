package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/agents"
	"agentbox/internal/egress"
	"agentbox/internal/egress/authority"
	"agentbox/internal/egress/credential"
	"agentbox/internal/secret"
	"agentbox/launch"
	"agentbox/profile"
)

// secrets reads what a profile's references lead to.
func (p policy) secrets() secret.Reader {
	return secret.Reader{Env: os.LookupEnv, Home: p.host.Files.Home, Workspace: p.host.Files.Workspace.Path, Path: p.hostPath()}
}

// open reads the secrets of a box, and makes what stands for them inside.
func (n *network) open(ctx context.Context, p policy) ([]credential.Credential, error) {
	rows := p.effective.Profile.Credentials
	if len(rows) == 0 {
		return nil, nil
	}
	if err := guardMemory(); err != nil {
		return nil, err
	}
	n.stand.Placeholders = map[string]string{}
	var list []credential.Credential
	for i, row := range rows {
		if _, taken := n.stand.Placeholders[row.Unless]; taken {
			continue
		}
		source, err := p.secrets().Open(ctx, row.Source)
		if row.Missing == "skip" && errors.Is(err, secret.ErrMissing) {
			continue
		}
		if err != nil {
			return nil, p.located(profile.Findings{{Key: fmt.Sprintf("credential[%d].source", i), Message: err.Error()}})
		}
		n.sources = append(n.sources, source)
		hidden := &hiddenSource{Source: source, record: n.record}
		v, err := hidden.Get(ctx)
		if err != nil {
			return nil, p.located(profile.Findings{{Key: fmt.Sprintf("credential[%d].source", i), Message: err.Error()}})
		}
		if len(v.Reveal()) < shortest {
			n.record.c.voice.warnf("the secret of the credential %s is too short to be found where a server sends it back", row.Name)
		}
		source.OnRefresh(func(err error) { n.gateway.Refreshed(row.Name, err) })
		n.stand.Placeholders[row.Name] = credential.NewPlaceholder(row, v)
		list = append(list, credential.Credential{Row: row, Source: hidden})
	}
	return list, nil
}

// seeds are the settings that the agent finds in its home.
func (p policy) seeds(placeholders map[string]string) []launch.Seed {
	f := agents.Facts{Home: p.plan.Files.Home, Workspace: p.plan.Workspace, Env: map[string]string{}}
	for _, c := range p.plan.Network.Credentials {
		if holder := placeholders[c.Name]; holder != "" && c.Env != "" {
			f.Env[c.Env] = holder
		}
	}
	var list []launch.Seed
	for _, file := range agents.Settings(p.effective.Profile.Agent.Kind, f) {
		list = append(list, launch.Seed{Path: file.Path, Content: file.Content})
	}
	return list
}

// unopened are the profile's credentials, of which no secret is read.
func (p policy) unopened(registries map[string][]egress.Endpoint) (*credential.Set, error) {
	var list []credential.Credential
	for _, row := range p.effective.Profile.Credentials {
		list = append(list, credential.Credential{Row: row})
	}
	return credential.NewSet(list, func(word string) []profile.HostPattern { return egress.Patterns(registries[word]) })
}

// shortest is the length from which on scrub finds a text in every form.
const shortest = 8

// A hiddenSource keeps its secrets out of the record, each before anybody uses it.
type hiddenSource struct {
	*secret.Source
	record *recorder
	mu     sync.Mutex
	known  string
}

// Get returns the secret that is good now.
func (h *hiddenSource) Get(ctx context.Context) (secret.Value, error) {
	v, err := h.Source.Get(ctx)
	if err != nil {
		return v, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known != v.Reveal() {
		h.record.hide(v)
		h.known = v.Reveal()
	}
	return v, nil
}

// guardMemory keeps what this process has in memory out of a core file, also one that the host hands to a program
// (core(5)), and out of reach of other processes of the same user (PR_SET_DUMPABLE, prctl(2)).
func guardMemory() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return os.NewSyscallError("setrlimit", err)
	}
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
}

// unending is how long a session's authority is good whose profile gives it no end.
const unending = 30 * 24 * time.Hour

// authority is the session's own, for the hosts whose TLS is read; nil where there are none.
func (p policy) authority(compiled *egress.Policy) (*authority.Authority, error) {
	names, addrs := compiled.InspectedHosts()
	if len(names)+len(addrs) == 0 {
		return nil, nil
	}
	life := unending
	if l := p.effective.Profile.Limits; l.Timeout > 0 {
		life = min(life, time.Duration(l.Timeout+l.Grace)+time.Hour)
	}
	return authority.New(names, addrs, life)
}
