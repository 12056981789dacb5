package mounts

// A FileKind is what lstat(2) says of a path.
type FileKind uint8

// The kinds of files. The zero value is none of them and is never exposed.
const (
	Other FileKind = iota // a socket, a device, a FIFO, or nothing
	Dir
	File
	Link
)

// An Entry is one name in a directory of the host.
type Entry struct {
	Name   string
	Kind   FileKind
	Target string // of a Link
	Public bool   // readable by everybody
	Size   int64
}

// A Match is a path in the workspace that a pattern of mask or protect names.
type Match struct {
	Path     string // relative to the workspace, slashes, no leading one
	Dir      bool
	Link     bool // a symbolic link: no mount can cover it
	Dev, Ino uint64
	Key      string // the profile key of the pattern
}

// A Place is a path that was looked at before the start.
type Place struct {
	Path     string // absolute, symbolic links resolved
	Kind     FileKind
	Dev, Ino uint64
	Mode     uint32 // permissions; of Host.Ancestors alone, as is
	MTime    int64  // in nanoseconds
}

// A GitDir is the git directory of a workspace that is a worktree or a submodule: it lies outside the workspace. It is
// shown only when Path is not empty, and then it was checked that it belongs to this very workspace.
type GitDir struct {
	Place
	Masked []Match // in it
	Why    string  // why it is not shown
}

// A Tool is one directory of the caller's PATH.
type Tool struct {
	Dir   string            // as PATH names it
	Real  string            // symbolic links resolved
	Links map[string]string // entries that are symbolic links → what they resolve to
}

// Host is what the planner must know of the host's filesystem; launch reads it once.
type Host struct {
	Home      string           // the caller's home directory
	User      string           // the caller's login name
	Source    string           // the root of the tree: "/" or the profile's directory
	Root      []Entry          // of Source
	Etc       []Entry          // of Source/etc
	Tools     []Tool           // of PATH, in order
	Prefixes  map[string]bool  // directories that hold lib or share beside bin
	Closed    map[string]bool  // directories on the way to tools that only their owner may pass
	Workspace Place            // the project
	Masked    []Match          // in the workspace
	Protected []Match          // in the workspace
	Absent    []Match          // names to mask that are not there; Path ends with the first directory that is not
	Mounted   []string         // mount points below the workspace
	Git       GitDir           // of a workspace whose git directory lies elsewhere
	Ancestors map[string]Place // of what is masked or protected, by path relative to the workspace
	Exposed   []Place          // of rootfs.expose, in its order
	Sources   map[string]Place // of [[mount]] binds, by source as written
	Hidden    []Match          // what rootfs.mask names on the host; Path is absolute
	Exists    map[string]bool  // absolute paths that were asked for: /proc and /sys files, mount targets
	ExtraCA   string           // certificates of network.extra_ca, in PEM form; "" where the profile names none
	Inspects  bool             // the session has an authority of its own, which the box trusts
	Bundle    string           // the host's file of authorities that everybody trusts; "" when it has none
	Bundles   []string         // paths at which programs of the tree look for it
	Binary    string           // agentbox itself
	Hostname  string
	MachineID string // synthetic, of the session
}

// OwnAuthorities reports whether the box's programs trust others than those of the tree.
func (h Host) OwnAuthorities() bool { return h.ExtraCA != "" || h.Inspects }
