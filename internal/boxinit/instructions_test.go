package boxinit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// enums reads the enumerations of boxinit.h: the C half and the Go half must count alike.
func enums(t *testing.T) map[string]int {
	t.Helper()
	header, err := os.ReadFile("boxinit.h")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?s)/\*.*?\*/`).ReplaceAllString(string(header), "")
	values := map[string]int{}
	for _, body := range regexp.MustCompile(`(?s)enum \w+ \{(.*?)\}`).FindAllStringSubmatch(text, -1) {
		next := 0
		for _, item := range strings.Split(body[1], ",") {
			name, value, given := strings.Cut(strings.TrimSpace(item), "=")
			if name = strings.TrimSpace(name); name == "" {
				continue
			}
			if given {
				next = 0
				for _, digit := range strings.TrimSpace(value) {
					next = next*10 + int(digit-'0')
				}
			}
			values[name] = next
			next++
		}
	}
	return values
}

func TestBothHalvesCountAlike(t *testing.T) {
	c := enums(t)
	for name, value := range map[string]int{
		"STEP_INSTRUCTIONS": int(StepInstructions), "STEP_PROTECT": int(StepProtect), "STEP_MOUNTS": int(StepMounts), "STEP_OVERLAY": int(StepOverlay), "STEP_HOME": int(StepHome),
		"STEP_FORK": int(StepFork), "STEP_GROUP": int(StepGroup), "STEP_TERMINAL": int(StepTerminal), "STEP_STREAMS": int(StepStreams),
		"STEP_USERNS": int(StepUserns), "STEP_BOUNDING": int(StepBounding), "STEP_IDS": int(StepIDs), "STEP_CAPS": int(StepCaps),
		"STEP_LIMITS": int(StepLimits), "STEP_CWD": int(StepDir), "STEP_NNP": int(StepNoNewPrivs), "STEP_LANDLOCK": int(StepLandlock),
		"STEP_DESCRIPTORS": int(StepDescriptors), "STEP_SECCOMP": int(StepSeccomp), "STEP_PROGRAMS": int(StepPrograms), "STEP_EXEC": int(StepExec),
		"TAG_ARG": tagArg, "TAG_ENV": tagEnv, "TAG_CWD": tagDir, "TAG_IDS": tagIDs, "TAG_LANDLOCK": tagLandlock, "TAG_LANDLOCK_RULE": tagLandlockRule,
		"TAG_AGENT_FILTER": tagAgentFilter, "TAG_INIT_FILTER": tagInitFilter, "TAG_NODE": tagNode, "TAG_DIR": tagMkdir, "TAG_MOUNT": tagMount,
		"TAG_GROUP": tagGroup, "TAG_RLIMIT": tagRlimit, "TAG_AFFINITY": tagAffinity, "TAG_MASK": tagMask, "TAG_NETWORK": tagNetwork, "TAG_SOCKET": tagSocket, "TAG_SEED": tagSeed, "TAG_END": tagEnd,
		"FLAG_NESTED": flagNested, "FLAG_INNER_ROOT": flagInnerRoot, "FLAG_TERMINAL": flagTerminal, "FLAG_DIE_WITH_PARENT": flagDieWithParent, "FLAG_HELD": flagHeld, "FLAG_PROGRAMS": flagPrograms, "EVENT_LISTENER": int(Listener),
		"EVENT_FAILED": int(Failed), "EVENT_RUNNING": int(Running), "EVENT_STOPPED": int(Stopped), "EVENT_CONTINUED": int(Continued),
		"EVENT_EXITED": int(Exited), "EVENT_FORKED": int(Forked), "TO_AGENT": int(ToAgent), "TO_GROUP": int(ToGroup), "TO_ALL": int(ToAll),
		"MOUNT_HOST": int(MountHost), "MOUNT_BOX": int(MountBox), "MOUNT_TMPFS": int(MountTmpfs), "MOUNT_COVER": int(MountCover), "MOUNT_FD": int(MountFD),
		"NODE_DIR": int(NodeDir), "NODE_FILE": int(NodeFile), "NODE_LINK": int(NodeLink), "NODE_WHITEOUT": int(NodeWhiteout), "MOUNT_OVERLAY": int(MountOverlay), "MOUNT_SHARED": int(MountShared), "EVENT_SHARED": int(Shared),
	} {
		if got, ok := c[name]; !ok || got != value {
			t.Errorf("%s is %d in C (there: %v), %d in Go", name, got, ok, value)
		}
		delete(c, name)
	}
	for name := range c {
		if name == strings.ToUpper(name) { // the others are C's own
			t.Errorf("%s is not in Go", name)
		}
	}
}

func TestEveryStepNamesALayer(t *testing.T) {
	for s := StepInstructions; s <= StepExec; s++ {
		if s.Layer() == "unknown step" {
			t.Errorf("step %d has no layer", s)
		}
	}
}

// C reads up to the first NUL, so a text that holds one would be cut there.
func TestTextsWithNUL(t *testing.T) {
	for name, in := range map[string]Instructions{
		"argument":      {Args: []string{"a\x00b"}},
		"variable":      {Args: []string{"a"}, Env: []string{"A=\x00"}},
		"directory":     {Args: []string{"a"}, Dir: "/\x00"},
		"mount target":  {Args: []string{"a"}, Mounts: []Mount{{Target: "/\x00"}}},
		"mount options": {Args: []string{"a"}, Mounts: []Mount{{Data: "\x00"}}},
		"node":          {Args: []string{"a"}, Nodes: []Node{{Kind: NodeFile, Path: "/\x00"}}},
		"link":          {Args: []string{"a"}, Nodes: []Node{{Kind: NodeLink, Path: "/a", Content: []byte("\x00")}}},
		"no command":    {},
	} {
		if _, err := in.Encode(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	file := Instructions{Args: []string{"a"}, Nodes: []Node{{Kind: NodeFile, Path: "/a", Content: []byte("\x00")}}}
	if _, err := file.Encode(); err != nil {
		t.Errorf("a file's content: %v", err)
	}
}

// Records are {tag, length, data padded to 8 bytes}, and the last is the end's.
func TestRecords(t *testing.T) {
	in := Instructions{Args: []string{"sh", "-c", "x"}, Env: []string{"A=1"}, Dir: "/", Affinity: []int{0, 65}, Limits: []Limit{{7, 9}}}
	data, err := in.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var tags []uint32
	for len(data) > 0 {
		tag, size := binary.NativeEndian.Uint32(data), binary.NativeEndian.Uint32(data[4:])
		tags = append(tags, tag)
		if tag == tagAffinity && !bytes.Equal(data[8:8+size], words64(1, 2)) {
			t.Errorf("the mask of 0 and 65 is %x", data[8:8+size])
		}
		data = data[8+(size+7)&^7:]
	}
	if want := []uint32{tagArg, tagArg, tagArg, tagEnv, tagDir, tagIDs, tagRlimit, tagAffinity, tagEnd}; !equal(tags, want) {
		t.Errorf("tags %v, not %v", tags, want)
	}
}

func equal(a, b []uint32) bool { return bytes.Equal(words32(a...), words32(b...)) }

func TestControl(t *testing.T) {
	control, box, err := Socketpair()
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	if err := control.Signal(unix.SIGTERM, ToAll); err != nil {
		t.Fatal(err)
	}
	command := make([]byte, 64)
	if n, _ := box.Read(command); !bytes.Equal(command[:n], words32(uint32(unix.SIGTERM), 2)) {
		t.Errorf("the box got %x", command[:n])
	}
	message := append(words32(uint32(Failed), uint32(StepSeccomp), uint32(unix.ENOSYS)), make([]byte, detailSize)...)
	copy(message[12:], "/a/path")
	for _, m := range [][]byte{message, message[:20]} {
		if _, err := box.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := control.Receive(); err != nil || m != (Message{Failed, StepSeccomp, int32(unix.ENOSYS), "/a/path"}) {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := control.Receive(); err == nil {
		t.Errorf("a short message: %+v", m)
	}
	box.Close()
	if _, err := control.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
}
