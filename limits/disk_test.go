package limits

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"agentbox/profile"
)

func TestDiskLimit(t *testing.T) {
	const gib = 1 << 30
	overlay, memory := profile.Workspace{Mode: "overlay", Upper: "disk"}, profile.Workspace{Mode: "overlay", Upper: "tmpfs"}
	for name, tc := range map[string]struct {
		disk      profile.Size
		workspace profile.Workspace
		host      DiskHost
		writes    *Writes
		state     State
	}{
		"no limit, on disk":                           {0, overlay, DiskHost{}, nil, ""},
		"no limit, in memory":                         {0, memory, DiskHost{NoImage: "x"}, &Writes{Medium: OnTmpfs}, ""},
		"root has a file system of a fixed size":      {gib, overlay, DiskHost{}, &Writes{OnImage, gib, gib >> 14}, Enforced},
		"a user without one is watched":               {gib, overlay, DiskHost{NoImage: "x"}, &Writes{OnDirectory, gib, gib >> 14}, Watched},
		"a user in memory is not":                     {gib, memory, DiskHost{NoImage: "x"}, &Writes{OnTmpfs, gib, gib >> 14}, Enforced},
		"a small limit leaves files enough":           {1 << 20, memory, DiskHost{}, &Writes{OnTmpfs, 1 << 20, 10_000}, Enforced},
		"below zero is no limit":                      {-1, overlay, DiskHost{}, nil, ""},
		"what cannot be written needs no limit":       {gib, profile.Workspace{Mode: "ro", Upper: "tmpfs"}, DiskHost{NoImage: "x"}, nil, Enforced},
		"a workspace that is shown and not limited":   {0, profile.Workspace{Mode: "rw"}, DiskHost{}, nil, ""},
		"one that cannot be written, without a limit": {0, profile.Workspace{Mode: "ro"}, DiskHost{}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Decide(profile.Limits{Disk: tc.disk, Enforcement: "watched"}, tc.workspace, Host{DiskHost: tc.host})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.writes, p.Writes); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			var state State
			if i := slices.IndexFunc(p.Held, func(h Held) bool { return h.Name == Disk }); i >= 0 {
				state = p.Held[i].State
			}
			if state != tc.state {
				t.Errorf("it is %q, want %q", state, tc.state)
			}
			// A process on its own never passes a limit that is only watched.
			floor := slices.Contains(p.Rlimits, Rlimit{unix.RLIMIT_FSIZE, gib})
			if floor != (tc.state == Watched) {
				t.Errorf("the limits of each process are %v", p.Rlimits)
			}
		})
	}
}

// What the kernel cannot hold for this caller is refused, unless the profile says that it may be watched.
func TestDiskLimitThatTheKernelCannotHold(t *testing.T) {
	l, h := profile.Limits{Disk: 1 << 30}, Host{DiskHost: DiskHost{NoImage: "only root mounts one"}}
	_, err := Decide(l, profile.Workspace{Mode: "overlay", Upper: "disk"}, h)
	var unheld *UnheldError
	if !errors.As(err, &unheld) || unheld.Name != Disk || unheld.Why != "only root mounts one" {
		t.Errorf("%v", err)
	}
	if _, err := Decide(l, profile.Workspace{Mode: "overlay", Upper: "tmpfs"}, h); err != nil {
		t.Errorf("in memory: %v", err)
	}
}

// Nobody can hold a limit on a project that others write, too.
func TestDiskLimitOfTheProjectItself(t *testing.T) {
	l := profile.Limits{Disk: 1 << 30, Enforcement: "watched"}
	_, err := Decide(l, profile.Workspace{Mode: "rw"}, Host{})
	var misused *MisusedError
	if !errors.As(err, &misused) || misused.Name != Disk || !strings.Contains(err.Error(), `mode "overlay"`) {
		t.Errorf("%v", err)
	}
	if _, err := Decide(l, profile.Workspace{Mode: "overlay", Upper: "disk"}, Host{}); err != nil {
		t.Errorf("in an overlay: %v", err)
	}
}
