package launch

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	subids "github.com/moby/sys/user"
	"golang.org/x/sys/unix"

	"agentbox/limits"
	"agentbox/mounts"
)

// An IDMode says how ids of the box map to ids of the host.
type IDMode string

// The ways to map ids; see user_namespaces(7).
const (
	// IDRange is root's way: 65536 host ids that nobody else has.
	IDRange IDMode = "range"
	// IDMapped is an ordinary user's way with newuidmap(1): the agent is the caller, its root a subordinate id, and
	// supplementary groups are dropped.
	IDMapped IDMode = "newuidmap"
	// IDNested is an ordinary user's way without: the agent is the caller and the only id there is.
	IDNested IDMode = "nested"
)

// Host is what a plan needs to know of the machine and the caller, read once.
type Host struct {
	EUID        int    `json:"euid"`
	EGID        int    `json:"egid"`
	CallerUID   uint32 `json:"caller_uid"` // who called: under sudo the person, not root
	CallerGID   uint32 `json:"caller_gid"`
	IDs         IDMode `json:"ids"`
	SubUID      uint32 `json:"subuid,omitempty"` // of IDMapped: the root of the agent's user namespace
	SubGID      uint32 `json:"subgid,omitempty"`
	Groups      int    `json:"supplementary_groups"`
	Kernel      string `json:"kernel"`
	LandlockABI int    `json:"landlock_abi"` // 0: the kernel lacks it
	Umask       uint32 `json:"umask"`
	// Missing layers of the kernel and why, by the names of the profile's degrade list.
	Missing map[string]string `json:"missing,omitempty"`
	Env     []string          `json:"-"`
	Dir     string            `json:"-"` // the caller's working directory
	Files   mounts.Host       `json:"-"`
	Limits  limits.Host       `json:"limits"`
}

// Probe reads the facts that do not depend on a profile.
func Probe() (Host, error) {
	h := Host{EUID: os.Geteuid(), EGID: os.Getegid(), Env: os.Environ(), LandlockABI: landlockABI()}
	h.CallerUID, h.CallerGID = caller(h.EUID, h.EGID)
	h.Umask = umask()
	h.Missing = missing(h.LandlockABI)
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return h, fmt.Errorf("uname: %w", err)
	}
	h.Kernel = unix.ByteSliceToString(uts.Release[:])
	groups, err := unix.Getgroups()
	if err != nil {
		return h, fmt.Errorf("getgroups: %w", err)
	}
	h.Groups = len(groups)
	if h.Dir, err = os.Getwd(); err != nil {
		return h, fmt.Errorf("the working directory: %w", err)
	}
	if err := h.probeIDs(); err != nil {
		return h, err
	}
	return h, h.probeHome()
}

// caller finds the person behind sudo(8), whose files the agent is to work on.
func caller(euid, egid int) (uint32, uint32) {
	if euid == 0 {
		uid, err := strconv.ParseUint(os.Getenv("SUDO_UID"), 10, 32)
		gid, gerr := strconv.ParseUint(os.Getenv("SUDO_GID"), 10, 32)
		if err == nil && gerr == nil {
			return uint32(uid), uint32(gid)
		}
	}
	return uint32(euid), uint32(egid)
}

// umask reads the process's umask, which umask(2) can only do by setting it: proc(5) has it since Linux 4.7.
func umask() uint32 {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		if _, rest, ok := strings.Cut(string(status), "\nUmask:\t"); ok {
			line, _, _ := strings.Cut(rest, "\n")
			if mask, err := strconv.ParseUint(line, 8, 32); err == nil {
				return uint32(mask)
			}
		}
	}
	return 0o077
}

func landlockABI() int {
	abi, _, errno := syscall.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(abi)
}

func (h *Host) probeIDs() error {
	h.IDs = IDNested
	if h.EUID == 0 {
		whole, err := wholeIDMap()
		if err != nil {
			return err
		}
		if whole {
			h.IDs = IDRange
		}
		return nil
	}
	for _, program := range []string{"newuidmap", "newgidmap"} {
		if _, err := SystemProgram(program); err != nil {
			return nil
		}
	}
	uid, gid := subordinate("/etc/subuid", h.EUID), subordinate("/etc/subgid", h.EUID)
	if uid != 0 && gid != 0 {
		h.IDs, h.SubUID, h.SubGID = IDMapped, uid, gid
	}
	return nil
}

// wholeIDMap reports whether this user namespace maps every id, as the initial one does: only there is a range of
// ids to be had that nobody else uses.
func wholeIDMap() (bool, error) {
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false, fmt.Errorf("the user namespace's ids: %w", err)
	}
	return strings.Join(strings.Fields(string(data)), " ") == "0 0 4294967295", nil
}

// subordinate gives the first subordinate id of a user, or 0; see subuid(5).
func subordinate(file string, uid int) uint32 {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return 0
	}
	ranges, err := subids.ParseSubIDFileFilter(file, func(e subids.SubID) bool {
		return e.Name == u.Username || e.Name == u.Uid
	})
	if err != nil || len(ranges) == 0 || ranges[0].Count < 1 {
		return 0
	}
	return uint32(ranges[0].SubID)
}

var errNoHome = errors.New("the home directory is not known; set HOME")

func (h *Host) probeHome() error {
	home := os.Getenv("HOME")
	name := "user"
	if u, err := user.LookupId(strconv.Itoa(h.EUID)); err == nil {
		name = u.Username
		if home == "" {
			home = u.HomeDir
		}
	}
	if !filepath.IsAbs(home) || home == "/" {
		if home != "/" {
			return errNoHome
		}
		home = "/home/agent" // an account of a daemon, or a container without an account
	}
	if real, err := filepath.EvalSymlinks(home); err == nil {
		home = real
	}
	h.Files.Home, h.Files.User = filepath.Clean(home), name
	return nil
}
