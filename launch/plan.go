package launch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"path"
	"runtime"
	"slices"
	"strings"

	"agentbox/internal/seccomp"
	"agentbox/limits"
	"agentbox/mounts"
	"agentbox/profile"
)

// A Request is what one `run` adds to the profile.
type Request struct {
	Command  []string
	Terminal bool   // give the agent a terminal
	Dir      string // working directory inside; the caller's if the box shows it, else the workspace
}

// A Plan is everything that decides what the box will be. It is a value: it can be printed and compared.
type Plan struct {
	Command    []string      `json:"command"`
	Dir        string        `json:"dir"`
	Env        []string      `json:"env"`
	Terminal   bool          `json:"terminal"`
	Hostname   string        `json:"hostname"`
	UID        uint32        `json:"uid"` // of the agent, as it sees itself
	GID        uint32        `json:"gid"`
	IDs        IDMode        `json:"ids"`
	Namespaces []string      `json:"namespaces"`
	Files      mounts.Layout `json:"files"`
	Landlock   int           `json:"landlock_abi"` // 0: not used
	Seccomp    bool          `json:"seccomp"`
	Idmap      bool          `json:"idmap"`
	Keyring    bool          `json:"keyring"`
	Degraded   []Degraded    `json:"degraded,omitempty"`
	Allow      []string      `json:"terminal_allow,omitempty"` // control-sequence classes
	Workspace  string        `json:"workspace"`
	Limits     limits.Plan   `json:"limits"`
	Network    NetworkPlan   `json:"network"`
	Hook       bool          `json:"hook,omitempty"` // the agent's tool calls are answered by the supervisor
	Programs   bool          `json:"programs"`       // each is on the record before it runs

	host   Host
	seeds  []Seed
	base   uint32        // of a box that runs; see store.go
	writes string        // of a box that starts: the directory that keeps what the agent writes
	medium limits.Medium // and what they lie on

	degrade []string // the layers that the profile lets go
}

// Degraded is a layer that this box lacks because the profile lets it go, and why.
type Degraded struct {
	Layer string `json:"layer"`
	Why   string `json:"why"`
}

// namespaces in the words of lsns(8).
var namespaces = []string{"user", "mnt", "pid", "ipc", "uts", "net", "cgroup"}

// NewPlan decides what the box will be. It returns profile.Findings for what the profile must change and a
// *MissingError for what the host lacks.
func NewPlan(p profile.Profile, h Host, r Request) (Plan, error) {
	h.Files.Hostname = "agentbox"
	sum := sha256.Sum256([]byte(h.Files.Workspace.Path))
	h.Files.MachineID = hex.EncodeToString(sum[:16])
	layout, findings := mounts.Build(p, h.Files)
	if len(findings.Fatal()) > 0 {
		return Plan{}, findings
	}
	uid, gid := p.Agent.IDs()
	plan := Plan{
		Command: r.Command, Terminal: r.Terminal, Hostname: h.Files.Hostname, UID: uint32(uid), GID: uint32(gid),
		IDs: h.IDs, Namespaces: slices.Clone(namespaces), Files: layout, Seccomp: true, Keyring: true,
		Allow: p.Agent.Terminal, Workspace: h.Files.Workspace.Path, host: h,
		Network: networkPlan(p), Hook: p.Agent.Kind == "claude", degrade: p.Agent.Degrade,
	}
	if len(plan.Command) == 0 {
		plan.Command = p.Agent.Command
	}
	if err := plan.layers(p, h); err != nil {
		return Plan{}, err
	}
	var err error
	if plan.Limits, err = decideLimits(p, h); err != nil {
		return Plan{}, err
	}
	plan.Dir = workingDir(r.Dir, h, layout)
	plan.Env = environment(p, h, plan)
	return plan, nil
}

// layers settles which of the layers that a kernel may lack the box has.
func (p *Plan) layers(prof profile.Profile, h Host) error {
	for _, layer := range slices.Sorted(maps.Keys(h.Missing)) {
		if layer == profile.DegradePrograms && !prof.Audit.Exec {
			continue
		}
		if !slices.Contains(prof.Agent.Degrade, layer) {
			return &MissingError{Layer: layer, Err: errors.New(h.Missing[layer])}
		}
		p.Degraded = append(p.Degraded, Degraded{layer, h.Missing[layer]})
	}
	has := func(layer string) bool { return h.Missing[layer] == "" }
	p.Landlock, p.Seccomp, p.Keyring = h.LandlockABI, has(profile.DegradeSeccomp), has(profile.DegradeKeyring)
	p.Idmap = h.IDs == IDRange && has(profile.DegradeIdmap)
	if !has(profile.DegradeCgroupNamespace) {
		p.Namespaces = slices.DeleteFunc(p.Namespaces, func(ns string) bool { return ns == "cgroup" })
	}
	if err := p.programs(prof, h); err != nil {
		return err
	}
	if len(p.Files.Late) > 0 {
		p.Degraded = append(p.Degraded, Degraded{profile.DegradeLateMasks,
			"what appears after the start is not covered by " + strings.Join(p.Files.Late, " ")})
	}
	return nil
}

// workingDir is the caller's own directory where the box shows it.
func workingDir(asked string, h Host, l mounts.Layout) string {
	for _, dir := range []string{asked, h.Dir} {
		if dir != "" && (mounts.Below(dir, h.Files.Workspace.Path) || asked == dir && showsDir(l, dir)) {
			return path.Clean(dir)
		}
	}
	return h.Files.Workspace.Path
}

func showsDir(l mounts.Layout, dir string) bool {
	return slices.ContainsFunc(l.Mounts, func(m mounts.Mount) bool { return mounts.Below(dir, m.Target) })
}

// Policy is the system call policy of the agent, for people to read.
func (p Plan) Policy() seccomp.Policy { return seccomp.Describe(p.filter()) }

func (p Plan) filter() seccomp.Options {
	return seccomp.Options{Arch: runtime.GOARCH, Pinned: len(p.Limits.Affinity) > 0, Programs: p.Programs}
}
