package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/systemd"

	"agentbox/limits"
)

// A scope is a unit that the user's systemd makes and gives away ("Delegate="): an ordinary user may not move a
// process out of a login session's group otherwise. See systemd.scope(5) and systemd's CGROUP_DELEGATION.
type scope struct{ manager *systemd.UnifiedManager }

// lookScope reports whether the user's systemd can be asked, and for which controllers.
func lookScope(point string) (limits.Groups, bool) {
	if os.Geteuid() == 0 || !systemd.IsRunningSystemd() {
		return limits.Groups{}, false
	}
	if address, err := systemd.DetectUserDbusSessionBusAddress(); err != nil || !busExists(address) {
		return limits.Groups{}, false
	}
	uid := os.Getuid()
	dir := filepath.Join(point, fmt.Sprintf("user.slice/user-%d.slice/user@%d.service", uid, uid))
	given := strings.Fields(read(dir, controllersFile))
	g := limits.Groups{Version: 2, Scope: true, Parents: map[string]string{}}
	for _, c := range wanted {
		if slices.Contains(given, c) {
			g.Parents[c] = dir
		}
	}
	if len(g.Parents) < len(wanted) {
		g.Why = "the user's systemd has only the controllers " + strings.Join(given, ", ") + "; see Delegate= in systemd.resource-control(5)"
	}
	return g, len(g.Parents) > 0
}

func busExists(address string) bool {
	for _, a := range strings.Split(address, ";") {
		path, ok := strings.CutPrefix(a, "unix:path=")
		if !ok {
			continue
		}
		path, _, _ = strings.Cut(path, ",")
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
}

func (g *Group) attachScope(pid int) error {
	if g.scope != nil {
		return errors.New("the box has its scope already")
	}
	m, err := systemd.NewUnifiedManager(&cgroups.Cgroup{
		Name: strings.TrimPrefix(g.name, Name("")), ScopePrefix: strings.TrimSuffix(Name(""), "-"),
		Systemd: true, Rootless: true, Resources: &cgroups.Resources{SkipDevices: true},
	}, "")
	if err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	if err := m.Apply(pid); err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	g.scope = &scope{m}
	dir := m.Path("")
	for i, p := range g.plan.Parts {
		if err := set(dir, p.Settings); err != nil {
			return errors.Join(err, g.scope.stop())
		}
		g.plan.Parts[i].Parent = filepath.Dir(dir)
	}
	g.name = filepath.Base(dir)
	return nil
}

func (s *scope) stop() error { return s.manager.Destroy() }
