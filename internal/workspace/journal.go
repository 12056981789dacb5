package workspace

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// An apply is in one of these states, told by the file that lies in the session's
// directory. Each passes into the next by one rename, which takes no space:
//
//	begin    contents are being staged; nothing of the project was touched
//	journal  decided: it is being carried out, and will be
//	undo     it could not be carried out, and is being taken back
//	done     carried out or taken back; what was staged is being removed
const (
	beginName   = "apply.begin"
	journalName = "apply.journal"
	undoName    = "apply.undo"
	doneName    = "apply.done"
)

// stagingPrefix begins the name of the directory, in the project's root, that holds
// new contents before and old ones after their change of places. It lies on the
// filesystem of the project, or a rename would not be one step.
const stagingPrefix = ".agentbox-apply-"

// A journal is what is needed to finish an apply, or to take it back.
type journal struct {
	Version  int
	Staging  string
	RootTime int64 // of the project's directory, before the staging directory was made
	Ops      []op
	Times    []dirTime // of the directories that change, to take it back exactly
	Receipt  Receipt
	Left     []leftState
	Was      []leftState // files of the host that nobody but the agent had changed
}

type dirTime struct {
	Path  []byte
	MTime int64
}

// An op is one change of the project that happens in one step.
type op struct {
	Do   string // one of those below
	Path []byte
	Slot string // its place in the staging directory
	New  mark   // what is staged
	Old  mark   // what lies on the host
	Dir  bool   // what lies on the host is a directory

	From, To           uint32            `json:",omitempty"` // for chmod
	FromAttrs, ToAttrs map[string][]byte `json:",omitempty"` // for attrs
	Count              int               `json:",omitempty"` // what lies in a staged directory
}

// The kinds of op.
const (
	opTake  = "take"  // path to slot
	opGive  = "give"  // slot to path, where nothing lies
	opSwap  = "swap"  // path and slot change places
	opChmod = "chmod" // permissions, in place
	opAttrs = "attrs" // attributes of a directory, in place
)

// A mark recognises a file across renames, which change its change time.
type mark struct {
	Ino   uint64
	Size  int64
	MTime int64
}

func markOf(st *unix.Stat_t) mark {
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return mark{Ino: st.Ino} // a directory's size and time follow its entries
	}
	return mark{st.Ino, st.Size, st.Mtim.Nano()}
}

func (i identity) mark(t Type) mark {
	if t == Dir {
		return mark{Ino: i.Ino}
	}
	return mark{i.Ino, i.Size, i.MTime}
}

// leftState is what an apply leaves at a path, for the next review.
type leftState struct {
	Path  []byte
	State State
}

// A Receipt says what an apply did.
type Receipt struct {
	ID        string        `json:"id"`
	Workspace string        `json:"workspace"`
	UID       int           `json:"uid"`
	When      time.Time     `json:"when"`
	Items     []ReceiptItem `json:"items"`
}

// A ReceiptItem is one path of a receipt. Paths are quoted as git does, so that
// any name can be read back from its text.
type ReceiptItem struct {
	Path   string `json:"path"`
	From   string `json:"from,omitempty"`
	Kind   Kind   `json:"kind"`
	Source string `json:"source"`
	Before State  `json:"before"`
	After  State  `json:"after"`
}

func (w *Workspace) receipt(p *Plan, id string, when time.Time, uid int) Receipt {
	r := Receipt{ID: id, Workspace: w.config.Lower, UID: uid, When: when}
	for _, item := range p.Items {
		one := ReceiptItem{Path: quote(item.Change.place + item.Change.Path), Kind: item.Change.Kind, Source: item.Source, Before: item.Change.Before, After: item.After}
		if item.Change.From != "" {
			one.From = quote(item.Change.place + item.Change.From)
		}
		if item.Change.Masked != "" {
			one.Before.SHA256 = "" // a short secret can be guessed from its hash
		}
		r.Items = append(r.Items, one)
	}
	return r
}

const maxJournal = 1 << 30

func readJSON(d dir, name string, into any) (found bool, err error) {
	f, err := d.file(name)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxJournal))
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", name, err)
	}
	return true, nil
}

func (w *Workspace) saveJSON(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.hand.save(w.state, name, data)
}

// readLeft reads what earlier applies left.
func readLeft(state dir) (map[string]State, error) {
	var list []leftState
	if _, err := readJSON(state, appliedName, &list); err != nil {
		return nil, fmt.Errorf("workspace: %w", err)
	}
	out := map[string]State{}
	for _, one := range list {
		out[string(one.Path)] = one.State
	}
	return out, nil
}

// wasBefore are the files that an apply touches, unless they are conflicts. When it
// is taken back, they have another change time than before, which must not look
// like a change of the host's.
func (p *Plan) wasBefore() []leftState {
	var out []leftState
	for i := range p.Items {
		c := &p.Items[i].Change
		if c.Conflict == "" && c.Before.Type != None && c.Before.Type != Dir {
			out = append(out, leftState{[]byte(cmpOr(c.From, c.Path)), c.Before})
		}
	}
	return out
}

// remember adds what an apply left to what earlier ones did.
func (w *Workspace) remember(left []leftState) error {
	for _, one := range left {
		w.left[string(one.Path)] = one.State
	}
	list := make([]leftState, 0, len(w.left))
	for name, state := range w.left {
		list = append(list, leftState{[]byte(name), state})
	}
	return w.saveJSON(appliedName, list)
}
