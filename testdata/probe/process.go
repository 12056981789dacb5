package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

type ids struct {
	UID    string   `json:"uid"` // real, effective, saved, filesystem
	GID    string   `json:"gid"`
	Groups []string `json:"groups"`
}

func readStatus() map[string]string {
	status := map[string]string{}
	for _, line := range readLines("/proc/self/status") {
		key, value, _ := strings.Cut(line, ":")
		status[key] = strings.TrimSpace(value)
	}
	return status
}

func readIDs(status map[string]string) ids {
	return ids{status["Uid"], status["Gid"], sorted(strings.Fields(status["Groups"]))}
}

func readCapabilities(status map[string]string) map[string]string {
	sets := map[string]string{}
	for name, key := range map[string]string{"inheritable": "CapInh", "permitted": "CapPrm",
		"effective": "CapEff", "bounding": "CapBnd", "ambient": "CapAmb"} {
		sets[name] = status[key]
	}
	return sets
}

func securebits() string { return prctl(unix.PR_GET_SECUREBITS) }

func dumpable() string { return prctl(unix.PR_GET_DUMPABLE) }

func prctl(option int) string {
	n, err := unix.PrctlRetInt(option, 0, 0, 0, 0)
	if err != nil {
		return errText(err)
	}
	return strconv.Itoa(n)
}

// pid1Memory says whether PID 1 keeps its memory from this process, as the first
// process of a box must.
func pid1Memory() string {
	f, err := os.Open("/proc/1/mem")
	if err != nil {
		return "unreadable"
	}
	f.Close()
	return "readable"
}

// sessionKeyring describes the keyring without making one.
func sessionKeyring() string {
	id, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	if err != nil {
		return errText(err)
	}
	text, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, id)
	if err != nil {
		return errText(err)
	}
	return text
}

func cwd() string {
	dir, err := unix.Getwd()
	if err != nil {
		return err.Error()
	}
	return dir
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return err.Error()
	}
	return name
}

func sessionLeader() bool {
	sid, err := unix.Getsid(0)
	return err == nil && sid == os.Getpid()
}

// controllingTerminal reads the device from field 7 of the stat file.
func controllingTerminal() string {
	fields := statFields("self")
	if len(fields) < 5 {
		return "unreadable"
	}
	n, err := strconv.ParseUint(fields[4], 10, 64)
	if err != nil {
		return "unreadable"
	}
	const firstPty, lastPty = 136, 143
	switch major := unix.Major(n); {
	case n == 0:
		return "none"
	case major >= firstPty && major <= lastPty:
		return "pty"
	default:
		return fmt.Sprintf("device %d", major)
	}
}

// statFields returns the fields of /proc/PID/stat from the third.
func statFields(pid string) []string {
	data, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return nil
	}
	text := string(data)
	return strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
}

type process struct {
	PID  int    `json:"pid"`
	PPID int    `json:"ppid"`
	UID  string `json:"uid"`
	Comm string `json:"comm"`
}

func processes() []process {
	list := []process{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return list
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		p := process{PID: pid, Comm: readLine("/proc/" + e.Name() + "/comm")}
		for _, line := range readLines("/proc/" + e.Name() + "/status") {
			f := strings.Fields(line)
			if len(f) > 1 && f[0] == "PPid:" {
				p.PPID, _ = strconv.Atoi(f[1])
			}
			if len(f) > 1 && f[0] == "Uid:" {
				p.UID = f[1]
			}
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b process) int { return a.PID - b.PID })
	return list
}

// namespaces compares this process's namespaces with those of PID 1, and returns
// their numbers beside.
func namespaces() (compared, numbers map[string]string) {
	compared, numbers = map[string]string{}, map[string]string{}
	entries, err := os.ReadDir("/proc/self/ns")
	if err != nil {
		return compared, numbers
	}
	for _, e := range entries {
		own, _ := os.Readlink("/proc/self/ns/" + e.Name())
		first, err := os.Readlink("/proc/1/ns/" + e.Name())
		numbers[e.Name()] = own
		switch {
		case errors.Is(err, os.ErrPermission):
			compared[e.Name()] = "pid 1's is unreadable"
		case err != nil:
			compared[e.Name()] = err.Error()
		case own == first:
			compared[e.Name()] = "pid 1's"
		default:
			compared[e.Name()] = "differs from pid 1's"
		}
	}
	return compared, numbers
}
