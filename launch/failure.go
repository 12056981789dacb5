package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxinit"
)

// A CommandError says that the agent's command could not be executed inside the box.
type CommandError struct {
	Name string
	Err  unix.Errno
	Path []string // where it was looked for
}

func (e *CommandError) Error() string {
	if e.NotFound() {
		return fmt.Sprintf("%q is not in the box", e.Name)
	}
	return fmt.Sprintf("%q cannot be executed in the box: %v", e.Name, e.Err)
}

func (e *CommandError) Unwrap() error { return e.Err }

// NotFound tells exit code 127 from 126.
func (e *CommandError) NotFound() bool { return e.Err == unix.ENOENT || e.Err == unix.ENOTDIR }

// stepError turns what the box's side reported into an error for people.
func (b *Box) stepError(m boxinit.Message) error {
	return stepError(m, b.plan.Command, b.plan.Files.Path, b.plan.Dir)
}

func stepError(m boxinit.Message, command, path []string, dir string) error {
	errno := unix.Errno(m.Value)
	switch m.Step {
	case boxinit.StepExec:
		return &CommandError{Name: command[0], Err: errno, Path: path}
	case boxinit.StepMounts:
		if errno == unix.ESTALE {
			return &MissingError{Layer: "mounts", Err: fmt.Errorf("%s was replaced while the box was being made", m.Detail),
				Remedy: "see what else works in this workspace, and start again"}
		}
		return &MissingError{Layer: "mounts", Err: &fs.PathError{Op: "mount", Path: m.Detail, Err: errno}}
	case boxinit.StepOverlay:
		return &MissingError{Layer: "overlay", Err: &fs.PathError{Op: "mount", Path: m.Detail, Err: errno},
			Remedy: `"agentbox doctor" says what an overlay needs; workspace.mode = "ro" needs none`}
	case boxinit.StepPrograms:
		return &MissingError{Layer: m.Step.Layer(), Err: filterRefused(errno),
			Remedy: `"agentbox doctor" says what it needs; a joined command needs it, too, where its box has it`}
	case boxinit.StepDir:
		return &MissingError{Layer: m.Step.Layer(), Err: &fs.PathError{Op: "chdir", Path: dir, Err: errno}}
	}
	e := &MissingError{Layer: m.Step.Layer(), Err: errno}
	if m.Detail != "" {
		e.Err = fmt.Errorf("%s: %w", m.Detail, errno)
	}
	if m.Step == boxinit.StepUserns {
		e.Layer = "user namespace"
		e.Remedy = `install newuidmap (package uidmap) and give this user a range in /etc/subuid and /etc/subgid, or allow nested user namespaces`
	}
	return e
}

// explain names the layer behind an error of libcontainer, which reports some of them as a closed pipe. It tries
// each namespace by itself; what works alone was not the cause.
func (b *Box) explain(err error) error {
	var missing *MissingError
	if errors.As(err, &missing) {
		return err
	}
	for _, ns := range b.plan.Namespaces {
		if nsErr := TryNamespace(ns); nsErr != nil {
			return &MissingError{Layer: ns + " namespace", Err: nsErr, Remedy: namespaceRemedy(ns)}
		}
	}
	text := err.Error()
	for _, known := range causes {
		if strings.Contains(text, known.text) {
			return &MissingError{Layer: known.layer, Err: shorten(err), Remedy: known.remedy}
		}
	}
	return &MissingError{Layer: "container", Err: shorten(err)}
}

// causes are phrases of libcontainer's errors, most specific first.
var causes = []struct{ text, layer, remedy string }{
	{"uid_map", "uid mapping", "check /etc/subuid, and that this user namespace may map the ids"},
	{"gid_map", "uid mapping", "check /etc/subgid, and that this user namespace may map the ids"},
	{"newuidmap", "uid mapping", "check that newuidmap is setuid root and /etc/subuid has a range for this user"},
	{"newgidmap", "uid mapping", "check that newgidmap is setuid root and /etc/subgid has a range for this user"},
	{"MOUNT_ATTR_IDMAP", "idmap", `the filesystem cannot be idmapped: move the project to one that can (ext4, xfs, btrfs, tmpfs), or run as the ordinary user`},
	{"idmap", "idmap", `the filesystem cannot be idmapped: move the project to one that can (ext4, xfs, btrfs, tmpfs), or run as the ordinary user`},
	{"keyring", "keyring", `degrade = ["keyring"] lets this layer go`},
	{"mask", "masks", ""},
	{"read-only", "masks", ""},
	{"mount", "mounts", `"agentbox explain" prints every mount of the box`},
	{"pivot", "mounts", ""},
	{"rootfs", "mounts", ""},
	{"loopback", "net namespace", ""},
	{"rlimit", "limits", ""},
	{"sethostname", "uts namespace", ""},
	{"uid", "uid mapping", ""},
}

// shorten drops libcontainer's own preamble.
func shorten(err error) error {
	text := err.Error()
	for _, prefix := range []string{"unable to start container process: ", "error during container init: ", "error starting container: "} {
		text = strings.ReplaceAll(text, prefix, "")
	}
	return errors.New(text)
}

// namespaceFlags in the words of lsns(8).
var namespaceFlags = map[string]uintptr{
	"user": unix.CLONE_NEWUSER, "mnt": unix.CLONE_NEWNS, "pid": unix.CLONE_NEWPID, "ipc": unix.CLONE_NEWIPC,
	"uts": unix.CLONE_NEWUTS, "net": unix.CLONE_NEWNET, "cgroup": unix.CLONE_NEWCGROUP,
}

// TryNamespace makes one namespace in a child process, below a user namespace as the box has it.
func TryNamespace(ns string) error {
	flag, ok := namespaceFlags[ns]
	if !ok {
		return fmt.Errorf("no namespace is called %q", ns)
	}
	return tryClone(unix.CLONE_NEWUSER | flag)
}

func namespaceRemedy(ns string) string {
	knob := map[string]string{"mnt": "mnt", "net": "net", "pid": "pid", "ipc": "ipc", "uts": "uts", "user": "user", "cgroup": "cgroup"}[ns]
	if restricted, err := os.ReadFile("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"); err == nil && ns == "user" && strings.TrimSpace(string(restricted)) == "1" {
		return `AppArmor restricts user namespaces: "agentbox doctor" prints the profile that allows them for this binary`
	}
	return fmt.Sprintf("check that the kernel has it and that /proc/sys/user/max_%s_namespaces is not exhausted; an outer container may forbid it", knob)
}
