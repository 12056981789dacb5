package workspace

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// A Kind says what happened to a path.
type Kind string

// The kinds of change.
const (
	Added    Kind = "added"
	Modified Kind = "modified" // content, or attributes
	Deleted  Kind = "deleted"
	Renamed  Kind = "renamed"
	Remoded  Kind = "mode"
	Retyped  Kind = "type"
)

// A Type is what kind of file lies at a path. The zero value is nothing.
type Type string

// The types of files that can be applied, and one for all others.
const (
	None    Type = ""
	File    Type = "file"
	Dir     Type = "directory"
	Symlink Type = "symlink"
	Special Type = "special" // a device, a socket or a FIFO
)

// A State is what lies at a path.
type State struct {
	Type   Type              `json:"type,omitempty"`
	Mode   uint32            `json:"mode"` // permissions, with set-id and sticky bits
	Size   int64             `json:"size"`
	SHA256 string            `json:"sha256,omitempty"` // of a file's content or a link's target
	Link   string            `json:"-"`                // a link's target
	MTime  int64             `json:"mtime_ns,omitempty"`
	Attrs  map[string][]byte `json:"attrs,omitempty"` // attributes that apply carries over

	id   identity
	attr map[string][]byte // all attributes
	what string            // names a special file
}

// identity tells one file from another at the same path, and an edited file from
// the one that was read.
type identity struct {
	Dev, Ino    uint64
	Size        int64
	MTime, Time int64 // modification and change, in nanoseconds
	Links       uint64
}

const permissions = 0o777

// executable reports git's one permission.
func (s State) executable() bool { return s.Mode&0o100 != 0 }

func identityOf(st *unix.Stat_t) identity {
	return identity{uint64(st.Dev), st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano(), uint64(st.Nlink)}
}

func stateOf(st *unix.Stat_t) State {
	s := State{Mode: st.Mode & 0o7777, Size: st.Size, MTime: st.Mtim.Nano(), id: identityOf(st)}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		s.Type = File
	case unix.S_IFDIR:
		s.Type, s.Size = Dir, 0
	case unix.S_IFLNK:
		s.Type = Symlink
	case unix.S_IFBLK, unix.S_IFCHR:
		s.Type, s.what = Special, "a device"
	case unix.S_IFIFO:
		s.Type, s.what = Special, "a FIFO"
	case unix.S_IFSOCK:
		s.Type, s.what = Special, "a socket"
	default:
		s.Type, s.what = Special, "a file of a type that is not known"
	}
	return s
}

// A Change is what the agent did to one path.
type Change struct {
	Path          string
	From          string // the old path of what was renamed
	Kind          Kind
	Before, After State
	Handoffs      []Handoff // why something outside the box would run it
	Masked        string    // the profile key that masks it
	Protected     string    // the profile key that protects it
	Refused       string    // why apply never writes it
	Conflict      string    // how the host changed it since the session began
	Notes         []string  // what else a person should know

	place  string  // the directory that Path is in, with a slash, where that is not the project
	twin   *Change // the unchanged file that this new name is a hard link to
	copied bool    // the upper file was copied up from a lower one
	origin []byte  // its handle
}

// what gives the type of file that a change is about.
func (c *Change) what() Type {
	if c.After.Type != None {
		return c.After.Type
	}
	return c.Before.Type
}

// MarshalJSON writes names that are not UTF-8 so that they can be read back: JSON
// has no bytes, so the exact name is in the field of the same name with _base64.
func (c Change) MarshalJSON() ([]byte, error) {
	type object struct {
		Path       string    `json:"path"`
		PathBytes  []byte    `json:"path_base64,omitempty"`
		From       string    `json:"from,omitempty"`
		FromBytes  []byte    `json:"from_base64,omitempty"`
		Kind       Kind      `json:"kind"`
		Before     *State    `json:"before,omitempty"`
		After      *State    `json:"after,omitempty"`
		LinkBefore string    `json:"link_before,omitempty"`
		LinkAfter  string    `json:"link_after,omitempty"`
		Handoffs   []Handoff `json:"handoffs,omitempty"`
		Masked     string    `json:"masked,omitempty"`
		Protected  string    `json:"protected,omitempty"`
		Refused    string    `json:"refused,omitempty"`
		Conflict   string    `json:"conflict,omitempty"`
		Notes      []string  `json:"notes,omitempty"`
	}
	o := object{Path: c.Path, From: c.From, Kind: c.Kind, Handoffs: c.Handoffs, Masked: c.Masked, Protected: c.Protected,
		Refused: c.Refused, Conflict: c.Conflict, Notes: c.Notes, LinkBefore: c.Before.Link, LinkAfter: c.After.Link}
	if !utf8.ValidString(c.Path) {
		o.PathBytes = []byte(c.Path)
	}
	if !utf8.ValidString(c.From) {
		o.FromBytes = []byte(c.From)
	}
	if c.Before.Type != None {
		before := c.Before
		if c.Masked != "" {
			before.SHA256 = "" // a short secret can be guessed from its hash
		}
		o.Before = &before
	}
	if c.After.Type != None {
		o.After = &c.After
	}
	return json.Marshal(o)
}

// A Review is everything that an agent changed, in the order of paths.
type Review struct {
	Changes []Change `json:"changes"`
	Notes   []string `json:"notes,omitempty"` // about the workspace as a whole
}

// Digest binds a later decision to this review: it changes when a path, a kind, a
// content, a mode or an attribute does.
func (r *Review) Digest() string {
	h := sha256.New()
	for i := range r.Changes {
		c := &r.Changes[i]
		fmt.Fprintf(h, "%q %q %s %s %s\n", c.Path, c.From, c.Kind, c.Before.print(), c.After.print())
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (s State) print() string {
	return fmt.Sprintf("%s %o %d %s %q %v", s.Type, s.Mode, s.Size, s.SHA256, s.Link, s.Attrs)
}

// Summary counts a review.
type Summary struct {
	Added     int `json:"added"`
	Modified  int `json:"modified"`
	Deleted   int `json:"deleted"`
	Renamed   int `json:"renamed"`
	Handoffs  int `json:"handoffs"`
	Conflicts int `json:"conflicts"`
	Refused   int `json:"refused"`
}

// Summary counts the changes; mode and type changes are modifications.
func (r *Review) Summary() Summary {
	var s Summary
	for i := range r.Changes {
		c := &r.Changes[i]
		switch c.Kind {
		case Added:
			s.Added++
		case Deleted:
			s.Deleted++
		case Renamed:
			s.Renamed++
		default:
			s.Modified++
		}
		if len(c.Handoffs) > 0 {
			s.Handoffs++
		}
		if c.Conflict != "" {
			s.Conflicts++
		}
		if c.Refused != "" {
			s.Refused++
		}
	}
	return s
}
