package profile

import (
	"slices"
	"strings"
)

// A Direction says how a file that is not trusted may move a key. The zero
// value means that nobody decided, and is treated as [Never].
type Direction uint8

// The directions.
const (
	Undecided Direction = iota
	Never               // keep the value it has
	Lower               // a smaller number, or an earlier word of the key's Enum
	Subset              // only what the layers below already list
	Superset            // more than the layers below list
)

// String returns the word used in the documentation.
func (d Direction) String() string {
	switch d {
	case Never:
		return "never"
	case Lower:
		return "lower"
	case Subset:
		return "subset"
	case Superset:
		return "superset"
	}
	return "undecided"
}

// The kinds of value a key takes.
const (
	TypeString   = "string"
	TypeInteger  = "integer"
	TypeNumber   = "number"
	TypeBoolean  = "boolean"
	TypeSize     = "size"
	TypeDuration = "duration"
	TypeList     = "list"  // strings; layers append
	TypeArgv     = "argv"  // strings; a later layer replaces the whole
	TypeTable    = "table" // names to strings; layers merge by name
	TypeRows     = "rows"  // an array of tables: [[mount]]
)

// A Key is one key of the profile: everything that checks, the JSON Schema and
// the manual say about it comes from here.
type Key struct {
	Path      string // "limits.memory"; a row's field is "mount[].target"
	Type      string // one of the Type constants
	Unit      string
	Meaning   string
	Default   string
	Direction Direction
	Built     bool     // false: refused by this version, by name
	Enum      []string // the words it takes, tightest first where they are ordered
	NotBuilt  []string // values of a built key that this version refuses; a trailing ":" makes a prefix
	ID        string   // for rows: the field that names a row
}

// Schema returns every key, in the order in which a profile is printed.
func Schema() []Key { return slices.Clone(schemaTable) }

// Sections returns the tables of a profile and what each is about, in order.
func Sections() []Key { return slices.Clone(sectionTable) }

// parent returns the path a key stands under: "" , "agent" or "mount[]".
func (k Key) parent() string {
	if i := strings.LastIndexByte(k.Path, '.'); i >= 0 {
		return k.Path[:i]
	}
	return ""
}

// name returns the last part of the path.
func (k Key) name() string {
	return k.Path[strings.LastIndexByte(k.Path, '.')+1:]
}

// ordered reports whether the words of Enum stand tightest first.
func (k Key) ordered() bool { return k.Direction == Lower && len(k.Enum) > 0 }

// patterns reports whether items may begin with "!" to make an exception.
func (k Key) patterns() bool {
	switch k.Path {
	case "rootfs.mask", "workspace.mask", "workspace.protect":
		return true
	}
	return false
}

func lookupKey(path string) (Key, bool) {
	for _, k := range schemaTable {
		if k.Path == path {
			return k, true
		}
	}
	return Key{}, false
}

func isSection(path string) bool {
	return slices.ContainsFunc(sectionTable, func(k Key) bool { return k.Path == path })
}

// children returns the keys directly under a section or a row.
func children(parent string) []Key {
	var out []Key
	for _, k := range schemaTable {
		if k.parent() == parent {
			out = append(out, k)
		}
	}
	return out
}

// schemaPath turns a path of a file, "mount[2].options[0]", into that of its
// key, "mount[].options".
func schemaPath(path string) (Key, bool) {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		b.WriteByte(path[i])
		if path[i] == '[' {
			for i+1 < len(path) && path[i+1] != ']' {
				i++
			}
		}
	}
	for p := b.String(); p != ""; {
		if k, ok := lookupKey(p); ok {
			return k, true
		}
		cut := strings.LastIndexAny(p, ".[")
		if cut < 0 {
			break
		}
		p = p[:cut]
	}
	return Key{}, false
}
