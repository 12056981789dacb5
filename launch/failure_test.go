package launch

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxinit"
)

// What the box's side reports becomes the name of a layer, or of the command.
func TestStepsThatFail(t *testing.T) {
	for name, tc := range map[string]struct {
		message boxinit.Message
		layer   string // "" when it is about the command
		says    string
	}{
		"a system call filter that is refused": {boxinit.Message{Step: boxinit.StepSeccomp, Value: int32(unix.EINVAL)}, "seccomp", "invalid argument"},
		"a mount, with its path":               {boxinit.Message{Step: boxinit.StepMounts, Value: int32(unix.EPERM), Detail: "/data"}, "mounts", "mount /data: operation not permitted"},
		"a path that was exchanged":            {boxinit.Message{Step: boxinit.StepMounts, Value: int32(unix.ESTALE), Detail: "/home/me/p"}, "mounts", "/home/me/p was replaced"},
		"a directory on the box's own tmpfs":   {boxinit.Message{Step: boxinit.StepHome, Value: int32(unix.ENOSPC), Detail: "/home/me/a"}, "home", "/home/me/a: no space"},
		"the working directory":                {boxinit.Message{Step: boxinit.StepDir, Value: int32(unix.EACCES)}, "working directory", "chdir /home/me/p: permission denied"},
		"the agent's own user namespace":       {boxinit.Message{Step: boxinit.StepUserns, Value: int32(unix.EPERM)}, "user namespace", "operation not permitted"},
		"a step of another version":            {boxinit.Message{Step: 999, Value: int32(unix.EIO)}, "unknown step", "input/output error"},
		"a command that is not there":          {boxinit.Message{Step: boxinit.StepExec, Value: int32(unix.ENOENT)}, "", `"claude" is not in the box`},
		"a command below a file":               {boxinit.Message{Step: boxinit.StepExec, Value: int32(unix.ENOTDIR)}, "", `"claude" is not in the box`},
		"a command that may not be executed":   {boxinit.Message{Step: boxinit.StepExec, Value: int32(unix.EACCES)}, "", `"claude" cannot be executed in the box: permission denied`},
	} {
		t.Run(name, func(t *testing.T) {
			err := stepError(tc.message, []string{"claude"}, []string{"/bin"}, "/home/me/p")
			var missing *MissingError
			var command *CommandError
			switch {
			case !strings.Contains(err.Error(), tc.says) || tc.message.Value == int32(unix.ENOENT) && !errors.Is(err, unix.ENOENT):
				t.Errorf("got %q", err)
			case tc.layer == "" && (!errors.As(err, &command) || command.NotFound() != strings.Contains(tc.says, "is not in")):
				t.Errorf("got %#v", err)
			case tc.layer != "" && (!errors.As(err, &missing) || missing.Layer != tc.layer):
				t.Errorf("got %#v, want the layer %s", err, tc.layer)
			}
		})
	}
}

// libcontainer reports text. The layer is told from it, and its preamble is left out.
func TestFailuresOfTheEngine(t *testing.T) {
	const start = "unable to start container process: error during container init: "
	for text, want := range map[string]string{
		"newuidmap: write to uid_map failed: EPERM":                      "uid mapping",
		"error running newgidmap: exit status 1":                         "uid mapping",
		`error mounting "proc" to rootfs at "/proc": permission denied`:  "mounts",
		"failed to set MOUNT_ATTR_IDMAP on /home/me/p: invalid argument": "idmap",
		"unable to join session keyring: unable to create session key":   "keyring",
		"error setting rlimits for process: permission denied":           "limits",
		"sethostname: operation not permitted":                           "uts namespace",
		"pivot_root .: invalid argument":                                 "mounts",
		"something that no version has said before":                      "container",
	} {
		err := (&Box{}).explain(errors.New(start + text))
		var missing *MissingError
		if !errors.As(err, &missing) || missing.Layer != want || missing.Err.Error() != text {
			t.Errorf("%q: got %v, want the layer %s", text, err, want)
		}
	}
	named := &MissingError{Layer: "idmap", Err: unix.EINVAL}
	if err := (&Box{}).explain(fmt.Errorf("around: %w", named)); !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "the layer idmap") {
		t.Errorf("a layer that is named already: %v", err)
	}
}

func TestNamespaceThatNobodyKnows(t *testing.T) {
	if err := TryNamespace("mount"); err == nil {
		t.Error("it could be made")
	}
}
