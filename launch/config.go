package launch

import (
	"path/filepath"
	"slices"
	"strconv"

	"github.com/opencontainers/cgroups"
	_ "github.com/opencontainers/cgroups/devices" // libcontainer refuses device rules without it
	devices "github.com/opencontainers/cgroups/devices/config"
	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"agentbox/internal/cgroup"
	"agentbox/mounts"
)

// rangeSize is the number of host ids a box of root gets: enough for every id that a program may expect to exist.
const rangeSize = 65536

// idPlan is the outcome of the id mode: what to map, and who the agent is in the box's own user namespace.
type idPlan struct {
	uids, gids         []configs.IDMap
	outerUID, outerGID uint32
	mounts             mounts.IDs
}

// ids works out the mappings; base is the first host id of a range.
func (p Plan) ids(base uint32) idPlan {
	h := p.host
	one := func(box, host uint32) configs.IDMap {
		return configs.IDMap{ContainerID: int64(box), HostID: int64(host), Size: 1}
	}
	var out idPlan
	switch p.IDs {
	case IDRange:
		out.uids = []configs.IDMap{{ContainerID: 0, HostID: int64(base), Size: rangeSize}}
		out.gids = out.uids
		out.outerUID, out.outerGID = p.UID, p.GID
	default:
		// libcontainer can only start a box whose root is the caller. The agent's own namespace, below, maps the
		// caller to an ordinary id and, with newuidmap, its root to a subordinate one.
		out.uids = []configs.IDMap{one(0, uint32(h.EUID))}
		out.gids = []configs.IDMap{one(0, uint32(h.EGID))}
		if p.IDs == IDMapped {
			out.uids = append(out.uids, one(1, h.SubUID))
			out.gids = append(out.gids, one(1, h.SubGID))
		}
	}
	out.mounts = mounts.IDs{
		UID: out.outerUID, GID: out.outerGID, Idmap: p.Idmap, DiskUID: h.CallerUID, DiskGID: h.CallerGID,
		HostUID: base + p.UID, HostGID: base + p.GID, Base: base,
	}
	return out
}

// netCaps let the supervisor set up the box's network over the sockets that PID 1 makes: the kernel asks for the
// capability of who made them, too (netlink_net_capable).
var netCaps = []string{"CAP_NET_ADMIN"}

// initCaps are what PID 1 and an `exec` need, in the box's user namespace, to become the agent; the agent has none.
var initCaps = []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_ADMIN"}

var namespaceTypes = map[string]configs.NamespaceType{
	"user": configs.NEWUSER, "mnt": configs.NEWNS, "pid": configs.NEWPID, "ipc": configs.NEWIPC,
	"uts": configs.NEWUTS, "net": configs.NEWNET, "cgroup": configs.NEWCGROUP,
}

// config is the box in libcontainer's words.
func (p Plan) config(dir string, ids idPlan) *configs.Config {
	caps := initCaps
	if p.online() {
		caps = slices.Concat(initCaps, netCaps)
	}
	c := &configs.Config{
		Rootfs:          filepath.Join(dir, rootDir),
		Readonlyfs:      true,
		RootPropagation: unix.MS_PRIVATE | unix.MS_REC,
		Hostname:        p.Hostname,
		UIDMappings:     ids.uids,
		GIDMappings:     ids.gids,
		RootlessEUID:    p.IDs != IDRange,
		RootlessCgroups: true,
		NoNewKeyring:    !p.Keyring,
		NoNewPrivileges: true,
		Networks:        []*configs.Network{{Type: "loopback"}},
		Cgroups:         &cgroups.Cgroup{Name: engineGroup(filepath.Base(dir)), Rootless: true, Resources: &cgroups.Resources{SkipDevices: true}},
		Capabilities: &configs.Capabilities{
			Bounding: caps, Effective: caps, Permitted: caps,
		},
		Devices: boxDevices(),
	}
	for _, ns := range p.Namespaces {
		c.Namespaces = append(c.Namespaces, configs.Namespace{Type: namespaceTypes[ns]})
	}
	c.Mounts = p.stage()
	return c
}

// engineGroup is the control group that libcontainer would put PID 1 into. It is not the box's, in which PID 1 would be
// frozen and ended with the agent. On version 2 the kernel refuses the name for its line break, and libcontainer goes on
// without a group; on version 1 it would not, so there it may have one that this user can make.
func engineGroup(id string) string {
	name := cgroup.Name(id) + "-engine"
	if cgroups.IsCgroup2UnifiedMode() {
		return name + "\n"
	}
	return name
}

// boxDevices are the only device nodes inside.
func boxDevices() []*devices.Device {
	node := func(name string, major, minor int64) *devices.Device {
		return &devices.Device{
			Path: "/dev/" + name, FileMode: 0o666,
			Rule: devices.Rule{Type: devices.CharDevice, Major: major, Minor: minor, Permissions: "rwm", Allow: true},
		}
	}
	return []*devices.Device{
		node("null", 1, 3), node("zero", 1, 5), node("full", 1, 7), node("random", 1, 8), node("urandom", 1, 9), node("tty", 5, 0),
	}
}

func uidText(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
