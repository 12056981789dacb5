package launch

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"agentbox/internal/boxinit"
	"agentbox/limits"
	"agentbox/profile"
)

// Each refusal says which layer is missing and what else would do; the same profile with that in it is a plan.
func TestPlansOfADiskLimit(t *testing.T) {
	const disk = "mode = 'overlay'\n[limits]\ndisk = '1GiB'\nenforcement = "
	for name, tc := range map[string]struct {
		workspace     string
		change        func(*Host)
		layer, remedy string // of the refusal; none is a plan
		state         limits.State
		finder        string
	}{
		"a user asks for the kernel":     {workspace: disk + "'kernel'", layer: "disk limit", remedy: `workspace.upper = "tmpfs"`},
		"a user is watched":              {workspace: disk + "'watched'", state: limits.Watched},
		"a user has memory":              {workspace: "upper = 'tmpfs'\n" + disk + "'kernel'", state: limits.Enforced},
		"memory without attributes":      {workspace: "upper = 'tmpfs'\n" + disk + "'watched'", change: func(h *Host) { h.Limits.NoTmpfs = "an old kernel" }, layer: "overlay", remedy: `workspace.upper = "disk"`},
		"root has an image":              {workspace: disk + "'kernel'", change: func(h *Host) { h.Limits.NoImage = "" }, state: limits.Enforced},
		"root without loop devices":      {workspace: disk + "'kernel'", change: func(h *Host) { h.Limits.NoImage = "there are no loop devices" }, layer: "disk limit", remedy: `limits.enforcement = "watched"`},
		"a project that can be written":  {workspace: strings.Replace(disk, "overlay", "rw", 1) + "'watched'", finder: "limits.disk"},
		"a project that cannot be":       {workspace: strings.Replace(disk, "overlay", "ro", 1) + "'kernel'", state: limits.Enforced},
		"nothing in memory has no limit": {workspace: "mode = 'overlay'\nupper = 'tmpfs'\n[limits]\nenforcement = 'kernel'"},
	} {
		t.Run(name, func(t *testing.T) {
			h := laptop()
			h.Limits.NoImage = "only root mounts one"
			if tc.change != nil {
				tc.change(&h)
			}
			p, err := NewPlan(preset(t, "default", "[workspace]\n"+tc.workspace), h, Request{Command: []string{"x"}})
			var missing *MissingError
			var found profile.Findings
			switch {
			case tc.layer != "":
				if !errors.As(err, &missing) || missing.Layer != tc.layer || !strings.Contains(missing.Remedy, tc.remedy) {
					t.Errorf("%v", err)
				}
			case tc.finder != "":
				if !errors.As(err, &found) || len(found) != 1 || found[0].Key != tc.finder {
					t.Errorf("%v", err)
				}
			case err != nil:
				t.Error(err)
			case tc.state != "" && p.Limits.Value(limits.Disk) != "1GiB":
				t.Errorf("people are told of %v", p.Limits.Held)
			}
			for _, held := range p.Limits.Held {
				if held.Name == limits.Disk && held.State != tc.state {
					t.Errorf("%+v", held)
				}
			}
		})
	}
}

// An ordinary user's memory is a file system that PID 1 makes and shares; root's, and every directory, is bound as it is.
func TestMountOfTheWrites(t *testing.T) {
	for account, want := range map[string]boxinit.MountKind{"mapped": boxinit.MountShared, "nested": boxinit.MountShared, "root": boxinit.MountFD} {
		h := laptop()
		switch account {
		case "mapped":
			h.IDs = IDMapped
		case "root":
			h.IDs, h.EUID = IDRange, 0
		}
		plan, err := NewPlan(preset(t, "default", "[workspace]\nmode = 'overlay'\nupper = 'tmpfs'\n[limits]\ndisk = '1GiB'"), h, Request{Command: []string{"x"}})
		if err != nil {
			t.Fatal(err)
		}
		kinds := map[limits.Medium]boxinit.MountKind{}
		for _, medium := range []limits.Medium{limits.OnDirectory, limits.OnTmpfs} {
			plan.writes, plan.medium = "/state/workspace", medium
			for _, m := range plan.boxMounts(plan.ids(1 << 20).mounts) {
				if m.Target == boxinit.StageWrites {
					kinds[medium] = m.Kind
					if m.Kind == boxinit.MountShared && !(strings.Contains(m.Data, "size=1073741824") && strings.Contains(m.Data, "nr_inodes=65552")) {
						t.Errorf("%s: %s", account, m.Data)
					}
				}
			}
		}
		direct := boxinit.MountHost
		if account == "root" {
			direct = boxinit.MountFD
		}
		if expected := map[limits.Medium]boxinit.MountKind{limits.OnDirectory: direct, limits.OnTmpfs: want}; !maps.Equal(kinds, expected) {
			t.Errorf("%s: %v, not %v", account, kinds, expected)
		}
	}
}
