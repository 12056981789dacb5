// Package doctor says which features of this host a box needs are there, what each missing one costs, and how to get
// it.
//
// A check tries what it speaks about (it makes the namespace, loads a filter, mounts a filesystem) and judges by the
// kernel's answer, not by a version number; what cannot be tried without changing the host is read from the file
// that decides it. Nothing that a check makes outlives it. A check never guesses: what it could not find out is
// said in its text.
//
// Doctor looks at the host, not at a profile: a layer that the profile lets go by name is still reported as missing.
package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"agentbox/internal/cgroup"
	"agentbox/launch"
	"agentbox/limits"
)

// A State is the outcome of a check. The zero value is none of the constants and counts as Missing.
type State string

// The outcomes.
const (
	OK       State = "ok"       // there, and tried
	Missing  State = "missing"  // no box starts, unless the profile lets the layer go by name
	Degraded State = "degraded" // boxes start, and are weaker or slower than they could be
	Note     State = "note"     // worth knowing; nothing of this version depends on it
)

// A Check is one feature of the host.
type Check struct {
	Name   string `json:"name"`
	State  State  `json:"state"`
	What   string `json:"what"`             // what was found
	Cost   string `json:"cost,omitempty"`   // what its absence means for a box
	Remedy string `json:"remedy,omitempty"` // what to do about it; an indented line is there to be pasted
}

// Ready reports whether a box of the default profile can start on this host.
func Ready(checks []Check) bool {
	for _, c := range checks {
		switch c.State {
		case OK, Degraded, Note:
		default:
			return false
		}
	}
	return len(checks) > 0
}

// Run tries every feature. It takes about a tenth of a second; a context that ends stops it between two checks, and
// what was not tried is then missing.
func Run(ctx context.Context) []Check {
	facts, err := launch.Probe()
	if err != nil {
		return []Check{{Name: "host", State: Missing, What: err.Error(), Cost: "nothing can be planned"}}
	}
	exe, err := os.Executable()
	if err != nil {
		exe = ""
	}
	h := host{Host: facts, binary: exe, env: os.Getenv, try: launch.TryNamespace, groups: cgroup.Look}
	return run(ctx, h, checks)
}

func run(ctx context.Context, h host, list []func(host) Check) []Check {
	var out []Check
	for _, check := range list {
		if err := ctx.Err(); err != nil {
			return append(out, Check{Name: "doctor", State: Missing, What: "interrupted before every feature was tried"})
		}
		if c := check(h); c.Name != "" {
			out = append(out, c)
		}
	}
	return out
}

// checks run in this order: what a person has to fix first stands first. A check whose subject does not exist on
// this host returns the zero Check and is left out.
var checks = []func(host) Check{
	outerContainer,
	namespaceSwitches,
	appArmor,
	namespace("user", "it is what lets an ordinary user make the others, and keeps the agent's ids apart from the host's"),
	namespace("mnt", "the box's own file tree"),
	namespace("pid", "without it the agent would see the host's processes, and its own would outlive it"),
	namespace("net", "without it the agent would be on the host's network"),
	namespace("ipc", "without it the agent would share System V memory and queues with the host"),
	namespace("uts", "without it the box would have the host's name"),
	namespace("cgroup", "without it the agent would read the host's cgroup paths"),
	freshProc,
	seccompFilter,
	programRecord,
	landlockRules,
	sessionKeyring,
	idmappedMounts,
	idMapping,
	noNewPrivileges,
	supplementaryGroups,
	binaryReadable,
	sessionDirectory,
	terminalPresent,
	terminalInjection,
	corePattern,
	controlGroups,
	overlayWorkspace,
	networkCapture,
}

// host is what the checks look at.
type host struct {
	launch.Host
	root   string // stands for / ; empty outside tests
	binary string
	env    func(string) string
	try    func(namespace string) error
	groups func() limits.Groups
}

// read gives a one-line file of /proc or /sys without its newline.
func (h host) read(path string) (string, bool) {
	data, err := os.ReadFile(filepath.Join(h.root, path))
	return strings.TrimSpace(string(data)), err == nil
}

func (h host) exists(path string) bool {
	_, err := os.Lstat(filepath.Join(h.root, path))
	return err == nil
}

func (h host) privileged() bool { return h.EUID == 0 }

func ok(name, what string) Check { return Check{Name: name, State: OK, What: what} }
