package boxinit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
)

func TestMain(m *testing.M) { os.Exit(boxtest.Main(m)) }

// buildReader compiles the box's side's own reader into a program that prints what it has read.
func buildReader(t *testing.T) string {
	t.Helper()
	boxtest.Need(t, "gcc")
	program := filepath.Join(t.TempDir(), "read")
	if out, err := exec.Command("gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-o", program, "testdata/read.c").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// read gives the program the instructions as the box's side gets them, as descriptor 4.
func read(t *testing.T, program string, instructions *os.File) string {
	t.Helper()
	cmd := exec.Command(program)
	cmd.ExtraFiles = []*os.File{nil, instructions}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// printed is what the program prints of instructions that arrive whole.
func printed(in Instructions) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, a := range in.Args {
		line("arg %x", a)
	}
	for _, v := range in.Env {
		line("env %x", v)
	}
	line("dir %x", in.Dir)
	line("ids %d %d %d %d flags %d umask %d", in.UID, in.GID, in.OuterUID, in.OuterGID, in.flags(), in.Umask)
	if l := in.Landlock; l != nil {
		line("landlock %d %d %d", l.FS, l.Net, l.Scoped)
		for _, r := range l.Rules {
			line("rule %d\nat %x", r.Access, r.Path)
		}
	}
	filter := func(name string, program []bpf.RawInstruction) {
		var code bytes.Buffer
		for _, i := range program { // struct sock_filter
			_ = binary.Write(&code, binary.NativeEndian, i)
		}
		line("%s %x", name, code.Bytes())
	}
	filter("agent", in.AgentFilter)
	filter("init", in.InitFilter)
	for _, n := range in.Nodes {
		line("node %d mode %d\nat %x\nholds %x", n.Kind, n.Mode, n.Path, n.Content)
	}
	for _, d := range in.Dirs {
		line("mkdir mode %d uid %d gid %d\nat %x", d.Mode, d.UID, d.GID, d.Path)
	}
	for _, n := range in.Seeds {
		line("seed mode %d\nat %x\nholds %x", n.Mode, n.Path, n.Content)
	}
	for _, m := range in.Mounts {
		create := map[bool]int{true: 1}[m.Create]
		line("mount %d create %d fd %d set %d clear %d dev %d ino %d", m.Kind, create, m.FD, m.Set, m.Clear, m.Dev, m.Ino)
		line("from %x\nat %x\nwith %x", m.Source, m.Target, m.Data)
	}
	for _, g := range in.Groups {
		line("group %d", g)
	}
	for _, l := range in.Limits {
		line("limit %d %d", l.Resource, l.Value)
	}
	mask := []byte{}
	if len(in.Affinity) > 0 {
		mask = cpuMask(in.Affinity)
	}
	line("affinity %x", mask)
	line("network %d", in.Network)
	for _, s := range in.Sockets {
		line("socket %d %d %d\nat %x", s.Family, s.Type, s.Protocol, s.Path)
	}
	return b.String()
}

func full() Instructions {
	return Instructions{
		Args: []string{"sh", "", "-c", "\xff\n"}, Env: []string{"A=1", "EMPTY="}, Dir: "/home/me/project",
		UID: 1000, GID: 1001, OuterUID: 2, OuterGID: 3, Nested: true, Terminal: true, Umask: 0o27,
		Landlock:    &Landlock{FS: 1<<63 | 5, Net: 6, Scoped: 7, Rules: []LandlockRule{{1 << 40, "/tmp"}, {2, "/"}}},
		AgentFilter: []bpf.RawInstruction{{Op: 0x20, Jt: 1, Jf: 2, K: 1 << 31}, {Op: 6, K: 7}},
		InitFilter:  []bpf.RawInstruction{{Op: 6, K: 9}},
		Nodes:       []Node{{NodeDir, "/etc", 0o755, nil}, {NodeFile, "/etc/x", 0o444, []byte("a\x00b")}, {NodeLink, "/bin", 0, []byte("usr/bin")}, {NodeFile, "/e", 0o444, nil}},
		Dirs:        []Dir{{"/run/user/1000", 0o700, 4, 5}},
		Seeds:       []Node{{NodeFile, "/home/me/.x", 0o600, []byte("{}")}},
		Mounts: []Mount{{Kind: MountHost, Source: "/usr", Target: "/usr", Set: 1 << 20, Clear: 1, Dev: 1 << 33, Ino: 1 << 62},
			{Kind: MountTmpfs, Target: "/tmp", Data: "mode=1777", Create: true}, {Kind: MountFD, FD: FirstMount, Target: "/p"}},
		Groups: []uint32{6, 7}, Limits: []Limit{{7, 1 << 50}, {4, 0}}, Affinity: []int{0, 3, 64},
		Network: 8, Sockets: []Socket{{Family: 2, Type: 1}, {Family: 1, Type: 1, Path: "/run/db.sock"}},
	}
}

// What Go writes is what C reads, whatever is in it and whatever is not.
func TestTheBoxReadsWhatWasWritten(t *testing.T) {
	program := buildReader(t)
	few := Instructions{Args: []string{"x"}, InnerRoot: true, DieWithParent: true}
	for name, in := range map[string]Instructions{"everything": full(), "nothing but a command": few} {
		t.Run(name, func(t *testing.T) {
			f, err := in.File()
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if diff := cmp.Diff(printed(in), read(t, program, f)); diff != "" {
				t.Errorf("(-written +read):\n%s", diff)
			}
		})
	}
}

// An instruction that is skipped is a layer that is missing: anything cut, unknown or of the wrong size ends the start.
func TestTheBoxRefusesWhatIsNotWhole(t *testing.T) {
	program := buildReader(t)
	refused := fmt.Sprintf("refused %d %d\n", StepInstructions, unix.EBADMSG)
	whole := full()
	data, err := whole.Encode()
	if err != nil {
		t.Fatal(err)
	}
	try := func(t *testing.T, name string, data []byte) {
		t.Helper()
		f, err := os.Create(filepath.Join(t.TempDir(), "instructions"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Write(data); err != nil {
			t.Fatal(err)
		}
		if got := read(t, program, f); got != refused {
			t.Errorf("%s: read as\n%s", name, got)
		}
	}
	for end := 8; end < len(data); end += 40 {
		try(t, fmt.Sprintf("cut after %d of %d bytes", end, len(data)), data[:end])
	}
	for name, change := range map[string]func(e *encoder){
		"a tag that nobody knows":          func(e *encoder) { e.record(tagEnd+1, nil) },
		"the tag 0":                        func(e *encoder) { e.record(0, nil) },
		"ids that are too few":             func(e *encoder) { e.record(tagIDs, words32(1, 2, 3)) },
		"ids that are too many":            func(e *encoder) { e.record(tagIDs, words32(1, 2, 3, 4, 5, 6, 7)) },
		"a ruleset of another size":        func(e *encoder) { e.record(tagLandlock, words64(1)) },
		"a rule without a path":            func(e *encoder) { e.record(tagLandlockRule, words64(1)) },
		"an argument that does not end":    func(e *encoder) { e.record(tagArg, []byte("x")) },
		"a variable of no bytes":           func(e *encoder) { e.record(tagEnv, nil) },
		"a mount with two texts":           func(e *encoder) { e.record(tagMount, append(make([]byte, 48), "a\x00b\x00"...)) },
		"a mount with four texts":          func(e *encoder) { e.record(tagMount, append(make([]byte, 48), "a\x00b\x00c\x00d\x00"...)) },
		"a file longer than its record":    func(e *encoder) { e.record(tagNode, append(words32(2, 0, 1, 1<<31), "a\x00b\x00"...)) },
		"a file whose lengths add up to 0": func(e *encoder) { e.record(tagNode, append(words32(2, 0, 1<<32-1, 1<<32-1), 0, 0)) },
		"a path shorter than it says":      func(e *encoder) { e.record(tagNode, append(words32(2, 0, 3, 0), "a\x00b\x00\x00"...)) },
		"a limit of another size":          func(e *encoder) { e.record(tagRlimit, words64(1)) },
		"a group of no bytes":              func(e *encoder) { e.record(tagGroup, nil) },
		"a length beyond the end": func(e *encoder) {
			e.buf = append(e.buf, words32(tagArg, 1<<32-1)...)
		},
	} {
		e := &encoder{buf: bytes.Clone(data[:len(data)-8])} // without the end
		change(e)
		e.record(tagEnd, nil)
		try(t, name, e.buf)
	}
	for name, in := range map[string][]uint32{"no ids": {tagArg, tagDir}, "no command": {tagDir, tagIDs}, "no directory": {tagArg, tagIDs}} {
		e := &encoder{}
		for _, tag := range in {
			if tag == tagIDs {
				e.record(tag, words32(1, 2, 3, 4, 5, 6))
			} else {
				e.text(tag, nil, "x")
			}
		}
		e.record(tagEnd, nil)
		try(t, name, e.buf)
	}
}

// The agent could otherwise change them between the check and the use.
func TestInstructionsAreSealed(t *testing.T) {
	in := full()
	f, err := in.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{0}, 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("they can be written: %v", err)
	}
	if err := f.Truncate(0); !errors.Is(err, unix.EPERM) {
		t.Errorf("they can be cut: %v", err)
	}
}

// A message has one size. The box may be in the agent's hands, so anything else is refused.
func TestMessagesOfTheWrongSize(t *testing.T) {
	whole := make([]byte, messageSize)
	for i := range whole {
		whole[i] = 0xff // no NUL anywhere: the detail fills its field
	}
	for name, data := range map[string][]byte{"short": whole[:messageSize-1], "long": append(bytes.Clone(whole), 0), "much too long": make([]byte, 1<<16), "one byte": {1}} {
		control, box, err := Socketpair()
		if err != nil {
			t.Fatal(err)
		}
		for _, message := range [][]byte{data, whole} {
			if _, err := box.Write(message); err != nil {
				t.Fatal(err)
			}
		}
		if m, err := control.Receive(); !errors.Is(err, errShort) || m != (Message{}) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
		if m, err := control.Receive(); err != nil || m.Value != -1 || len(m.Detail) != detailSize {
			t.Errorf("after one that is %s: %+v, %v", name, m, err)
		}
		box.Close()
		control.Close()
	}
}

func TestStepsHaveNamesForPeople(t *testing.T) {
	seen := map[string]Step{}
	for s := StepInstructions; s <= StepExec; s++ {
		if other, ok := seen[s.Layer()]; ok {
			t.Errorf("steps %d and %d are both called %q", other, s, s.Layer())
		}
		seen[s.Layer()] = s
	}
	for _, s := range []Step{0, StepExec + 1, 1<<32 - 1} {
		if got := s.Layer(); got != "unknown step" {
			t.Errorf("step %d, which is none, is called %q", s, got)
		}
	}
}
