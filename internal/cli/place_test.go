package cli

import (
	"strings"
	"testing"

	"agentbox/launch"
	"agentbox/mounts"
	"agentbox/profile"
)

// No agent gets at the sockets of sessions, which its user may use: not by a place that is only to be read either.
func TestOwnPlacesThatTheProfileShows(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/1000")
	const state, holds, lies = "/home/me/.local/state/agentbox", " holds ", " lies in "
	for name, test := range map[string]struct{ why, source, options, want string }{
		"another directory":                     {"rootfs.expose[0]", "/home/me/.nvm", "ro", ""},
		"its neighbour":                         {"rootfs.expose[0]", "/home/me/.local/state/agentbox2", "ro", ""},
		"a profile, to be read":                 {"rootfs.expose[0]", "/home/me/.config", "ro", ""},
		"a profile, to be written":              {"mount[0]", "/home/me/.config", "rw", holds},
		"exposed with others":                   {"rootfs.expose[0]", "/home/me/.local", "ro", holds},
		"exposed":                               {"rootfs.expose[0]", state, "ro", holds},
		"what runs":                             {"rootfs.expose[0]", state + "/run", "ro", holds},
		"one session":                           {"rootfs.expose[0]", state + "/run/1shf68krgg28", "ro", lies},
		"one session in the runtime directory":  {"mount[0]", "/run/user/1000/agentbox/1shf68krgg28", "ro", lies},
		"the runtime directory, as a mount":     {"mount[0]", "/run/user/1000", "ro", holds},
		"sessions of root":                      {"mount[0]", "/run", "ro", holds},
		"logs that a person wants to have read": {"rootfs.expose[0]", state + "/audit", "ro", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := policy{loaded: loaded{effective: &profile.Effective{}}, plan: launch.Plan{Files: mounts.Layout{
				Mounts: []mounts.Mount{{Type: "bind", Source: test.source, Target: "/x", Why: test.why, Options: []string{test.options}}}}}}
			p.host.Files.Workspace.Path = "/home/me/project"
			found := p.ownPlaces(&loader{state: state, config: "/home/me/.config/agentbox", system: "/etc/agentbox"})
			switch {
			case test.want == "" && len(found) > 0, test.want != "" && (len(found) != 1 || !strings.Contains(found[0].Message, test.want)):
				t.Errorf("%+v", found)
			case len(found) > 0 && !strings.HasPrefix(found[0].Key, test.why):
				t.Errorf("it is about %s", found[0].Key)
			}
		})
	}
}
