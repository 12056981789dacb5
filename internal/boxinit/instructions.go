package boxinit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Paths of the box's root that only its set-up uses.
const (
	StageDir  = "/.box"            // a tmpfs that PID 1 takes away with all that is mounted on it
	StageHost = StageDir + "/host" // the host's root
	// Below the stage, once the box's own root is in place: what an overlay is made of.
	StageMasks  = StageDir + StageDir + "/masks"
	StageLower  = StageDir + StageDir + "/lower"
	StageGit    = StageDir + StageDir + "/git" // as StageLower, of a git directory outside the workspace
	StageWrites = StageDir + StageDir + "/writes"
)

// FirstMount is the descriptor of the first detached mount that PID 1 inherits.
const FirstMount = 5

// Path is where the binary is mounted inside the box, and the name under which it knows its role.
const Path = "/.agentbox"

// HookSocket is where that binary, in its role as the agent's hook, finds the supervisor. It lies in the box's root, which
// nobody can write to.
const HookSocket = "/.hook"

// Roles: the second argument of the binary at Path.
const (
	RoleHook = "hook" // ask the supervisor about a tool call; see HookSocket
	RolePID1 = "pid1" // start the agent below itself and look after it
	RoleJoin = "join" // become another command in a box that runs
	RoleHold = "hold" // keep a user namespace until the input ends
)

// Flags of Instructions, with the values of boxinit.h.
const (
	flagNested = 1 << iota
	flagInnerRoot
	flagTerminal
	flagDieWithParent
	flagHeld
	flagPrograms
)

// Instructions say how a process of the box's root becomes the agent.
type Instructions struct {
	Args []string
	Env  []string
	Dir  string // working directory

	UID, GID           uint32 // the agent's ids as it sees them
	OuterUID, OuterGID uint32 // the same in the box's user namespace
	Nested             bool   // give the agent a user namespace of its own
	InnerRoot          bool   // and map its root to the box's id 1
	Terminal           bool   // standard input is the controlling terminal
	Held               bool   // the agent waits for Control.Release
	Programs           bool   // the agent's filter asks about programs: a Listener message comes before they start
	DieWithParent      bool   // PR_SET_PDEATHSIG: an exec ends with its caller
	Umask              uint32

	Landlock    *Landlock            // nil: no Landlock
	AgentFilter []bpf.RawInstruction // empty: no seccomp filter
	InitFilter  []bpf.RawInstruction // of PID 1
	Nodes       []Node               // what the box's root consists of, parents first
	Masks       []Node               // directories and whiteouts of the overlay's layer of masks, parents first
	Dirs        []Dir                // made before the agent starts
	Seeds       []Node               // files in them that belong to the agent
	Mounts      []Mount              // on top of it, in this order
	Groups      []uint32             // descriptors: "0" is written to each to join a control group
	Limits      []Limit
	Affinity    []int    // the only processors; none: the caller's
	Network     uint32   // descriptor of the channel that Sockets go over, see Network; 0: none
	Sockets     []Socket // made by PID 1 in the box's network namespace, for the supervisor
}

// A Socket is one of socket(2).
type Socket struct {
	Family, Type, Protocol int
	Path                   string // of AF_UNIX: where it is bound in the box
}

// Landlock is a ruleset of landlock(7): struct landlock_ruleset_attr and its rules.
type Landlock struct {
	FS, Net, Scoped uint64
	Rules           []LandlockRule
}

// A LandlockRule allows access rights beneath a path.
type LandlockRule struct {
	Access uint64
	Path   string
}

// A NodeKind is the kind of an entry of the box's root.
type NodeKind uint32

// The kinds, with the values of boxinit.h.
const (
	NodeDir      NodeKind = iota + 1
	NodeFile              // with Content
	NodeLink              // that leads to Content
	NodeWhiteout          // only of a layer of an overlay
)

// A Node is an entry of the box's root, which is a tmpfs that nobody can write once the agent runs.
type Node struct {
	Kind    NodeKind
	Path    string
	Mode    uint32 // not of a link
	Content []byte
}

// A Limit is a resource limit of setrlimit(2), soft and hard.
type Limit struct {
	Resource int
	Value    uint64
}

// A Dir is a directory on the box's own tmpfs, given to an id of the box's user namespace.
type Dir struct {
	Path     string
	Mode     uint32
	UID, GID uint32
}

// A MountKind says where a mount comes from.
type MountKind uint32

// The kinds, with the values of boxinit.h.
const (
	MountHost    MountKind = iota + 1 // Source is a path of the host
	MountBox                          // Source is a path of the box, mounted already; its id mapping is kept
	MountTmpfs                        // Data are the filesystem's options
	MountCover                        // hides Target behind an empty file or directory without permissions
	MountFD                           // FD is a detached mount
	MountOverlay                      // Data are the filesystem's options
	MountShared                       // a tmpfs with Data, whose root Control.ReceiveShared gets
)

// A Mount is made by PID 1 before the agent starts, in the given order. With Ino not 0 the source must be that very
// file: the check and the mount use one descriptor, so that nobody can exchange the path in between (CVE-2021-30465).
type Mount struct {
	Kind       MountKind
	Source     string
	Target     string
	Data       string
	Create     bool   // the target may have to be made: it lies on a tmpfs of the box
	FD         uint32 // of MountFD
	Set, Clear uint64 // MOUNT_ATTR_ bits of mount_setattr(2)
	Dev, Ino   uint64
}

// Tags of the records, with the values of boxinit.h.
const (
	tagArg = iota + 1
	tagEnv
	tagDir
	tagIDs
	tagLandlock
	tagLandlockRule
	tagAgentFilter
	tagInitFilter
	tagNode
	tagMkdir
	tagMount
	tagGroup
	tagRlimit
	tagAffinity
	tagMask
	tagNetwork
	tagSocket
	tagSeed
	tagEnd
)

var errNUL = errors.New("holds a NUL byte")

type encoder struct {
	buf []byte
	err error
}

func (e *encoder) record(tag uint32, data []byte) {
	e.buf = binary.NativeEndian.AppendUint32(e.buf, tag)
	e.buf = binary.NativeEndian.AppendUint32(e.buf, uint32(len(data)))
	e.buf = append(e.buf, data...)
	for len(e.buf)%8 != 0 {
		e.buf = append(e.buf, 0)
	}
}

func (e *encoder) text(tag uint32, head []byte, s string) {
	if strings.IndexByte(s, 0) >= 0 {
		e.err = fmt.Errorf("%q: %w", s, errNUL)
	}
	e.record(tag, append(append(head, s...), 0))
}

func (e *encoder) filter(tag uint32, program []bpf.RawInstruction) {
	if len(program) == 0 {
		return
	}
	var b []byte
	for _, in := range program {
		b = binary.NativeEndian.AppendUint16(b, in.Op)
		b = append(b, in.Jt, in.Jf)
		b = binary.NativeEndian.AppendUint32(b, in.K)
	}
	e.record(tag, b)
}

func (e *encoder) node(tag uint32, n Node) {
	if strings.IndexByte(n.Path, 0) >= 0 || n.Kind == NodeLink && bytes.IndexByte(n.Content, 0) >= 0 {
		e.err = fmt.Errorf("%q: %w", n.Path, errNUL)
	}
	data := words32(uint32(n.Kind), n.Mode, uint32(len(n.Path)), uint32(len(n.Content)))
	data = append(append(data, n.Path...), 0)
	e.record(tag, append(append(data, n.Content...), 0))
}

func (e *encoder) mount(m Mount) {
	for _, s := range []string{m.Source, m.Target, m.Data} {
		if strings.IndexByte(s, 0) >= 0 {
			e.err = fmt.Errorf("%q: %w", s, errNUL)
		}
	}
	var create uint32
	if m.Create {
		create = 1
	}
	head := append(words32(uint32(m.Kind), create, m.FD, 0), words64(m.Set, m.Clear, m.Dev, m.Ino)...)
	e.record(tagMount, append(head, m.Source+"\x00"+m.Target+"\x00"+m.Data+"\x00"...))
}

func words32(values ...uint32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.NativeEndian.AppendUint32(b, v)
	}
	return b
}

func words64(values ...uint64) []byte {
	var b []byte
	for _, v := range values {
		b = binary.NativeEndian.AppendUint64(b, v)
	}
	return b
}

func (in *Instructions) flags() uint32 {
	var flags uint32
	for bit, on := range map[uint32]bool{
		flagNested: in.Nested, flagInnerRoot: in.InnerRoot, flagTerminal: in.Terminal, flagDieWithParent: in.DieWithParent, flagHeld: in.Held, flagPrograms: in.Programs,
	} {
		if on {
			flags |= bit
		}
	}
	return flags
}

// Time is the content of a directory of Masks: when it was changed, in nanoseconds.
func Time(ns int64) []byte { return words64(uint64(ns)) }

// cpuMask is a mask of sched_setaffinity(2): words of the machine, the first processor in the lowest bit.
func cpuMask(list []int) []byte {
	words := make([]uint64, slices.Max(list)/64+1)
	for _, n := range list {
		words[n/64] |= 1 << (n % 64)
	}
	return words64(words...)
}

// Encode gives the bytes that the box's side reads. A string with a NUL byte is an error: C would cut it there.
func (in *Instructions) Encode() ([]byte, error) {
	e := &encoder{buf: make([]byte, 0, 64<<10)}
	for _, a := range in.Args {
		e.text(tagArg, nil, a)
	}
	for _, v := range in.Env {
		e.text(tagEnv, nil, v)
	}
	e.text(tagDir, nil, in.Dir)
	e.record(tagIDs, words32(in.UID, in.GID, in.OuterUID, in.OuterGID, in.flags(), in.Umask))
	if l := in.Landlock; l != nil {
		e.record(tagLandlock, words64(l.FS, l.Net, l.Scoped))
		for _, r := range l.Rules {
			e.text(tagLandlockRule, words64(r.Access), r.Path)
		}
	}
	e.filter(tagAgentFilter, in.AgentFilter)
	e.filter(tagInitFilter, in.InitFilter)
	for _, n := range in.Nodes {
		e.node(tagNode, n)
	}
	for _, n := range in.Masks {
		e.node(tagMask, n)
	}
	for _, d := range in.Dirs {
		e.text(tagMkdir, words32(d.Mode, d.UID, d.GID, 0), d.Path)
	}
	for _, n := range in.Seeds {
		e.node(tagSeed, n)
	}
	for _, m := range in.Mounts {
		e.mount(m)
	}
	for _, fd := range in.Groups {
		e.record(tagGroup, words32(fd))
	}
	for _, l := range in.Limits {
		e.record(tagRlimit, append(words32(uint32(l.Resource), 0), words64(l.Value)...))
	}
	if len(in.Affinity) > 0 {
		e.record(tagAffinity, cpuMask(in.Affinity))
	}
	if in.Network != 0 {
		e.record(tagNetwork, words32(in.Network))
	}
	for _, s := range in.Sockets {
		e.text(tagSocket, words32(uint32(s.Family), uint32(s.Type), uint32(s.Protocol), 0), s.Path)
	}
	e.record(tagEnd, nil)
	if len(in.Args) == 0 {
		return nil, errors.New("no command")
	}
	return e.buf, e.err
}

// File puts the instructions into a sealed memfd, which the box's side maps and the agent cannot reach.
func (in *Instructions) File() (*os.File, error) {
	data, err := in.Encode()
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("agentbox", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "instructions")
	if _, err := f.Write(data); err != nil {
		f.Close()
		return nil, err
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		f.Close()
		return nil, fmt.Errorf("seal the instructions: %w", err)
	}
	return f, nil
}
