package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"agentbox/internal/cgroup"
	"agentbox/internal/session"
)

// Sweep removes what supervisors that were killed have left: a first process that never came to run the agent,
// libcontainer's state, and the session's directory. Boxes that ran have ended by themselves.
func Sweep() error {
	root, err := session.Root()
	if err != nil {
		return err
	}
	stale, err := session.Stale(root)
	if err != nil {
		return err
	}
	var all []error
	for _, id := range stale {
		if err := sweep(root, id); err != nil {
			all = append(all, fmt.Errorf("what session %s left: %w", id, err))
		}
	}
	return errors.Join(all...)
}

func sweep(root, id string) error {
	s, err := session.Claim(root, id)
	if errors.Is(err, session.ErrRunning) || errors.Is(err, session.ErrNotFound) {
		return nil // another start is at it, or was
	}
	if err != nil {
		return err
	}
	engines := endLeftover(filepath.Join(s.Dir(), stateDir))
	return errors.Join(cgroup.Remove(s.Info().Cgroups), cgroup.Remove(engines), s.Close())
}

// engineState is what libcontainer's state.json says about a box's first process.
type engineState struct {
	PID    int               `json:"init_process_pid"`
	Start  uint64            `json:"init_process_start"`
	Groups map[string]string `json:"cgroup_paths"`
}

// endLeftover kills a box whose supervisor died between libcontainer's set-up and PID 1's first instruction. The
// start time keeps a reused pid safe. libcontainer itself is not asked: it would look at the host's cgroups and
// remember them for the start that follows (see privateMounts). It returns the control groups that libcontainer may
// have made.
func endLeftover(state string) []string {
	e, err := readState(state)
	if err != nil {
		return nil
	}
	groups := slices.Compact(slices.Sorted(maps.Values(e.Groups)))
	pidfd, err := session.OpenProcess(e.PID, e.Start)
	if err != nil {
		return groups
	}
	defer pidfd.Close()
	_ = unix.PidfdSendSignal(int(pidfd.Fd()), unix.SIGKILL, nil, 0)
	return groups
}

func readState(dir string) (engineState, error) {
	var e engineState
	data, err := os.ReadFile(filepath.Join(dir, boxName, "state.json"))
	if err == nil {
		err = json.Unmarshal(data, &e)
	}
	if err == nil && e.PID <= 1 {
		err = errors.New("the box has no first process")
	}
	return e, err
}

// firstProcess is the pid of a box's PID 1 on the host.
func firstProcess(state string) (int, error) {
	e, err := readState(state)
	return e.PID, err
}
