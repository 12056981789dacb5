package audit

// ApplyBegin is on disk before an apply writes to the project. An Apply, an ApplyUndone or a Recover follows it; where
// none does, the process was killed, and the next command that looks at the changes finishes or undoes what it did.
type ApplyBegin struct {
	UID       int  `json:"uid"` // who applies
	Workspace Text `json:"workspace"`
	Digest    Text `json:"digest"` // of the review that the person saw
	Items     int  `json:"items"`  // how many paths
}

// Type is workspace.begin.
func (ApplyBegin) Type() string { return "workspace.begin" }

// ApplyItems are paths of a receipt that is too long for one record. The receipt follows them, and names the rest.
type ApplyItems struct {
	Receipt Text   `json:"receipt"`
	Items   []Item `json:"items"`
}

// Type is workspace.items.
func (ApplyItems) Type() string { return "workspace.items" }

// Apply is the receipt for changes that were written to the project. When a process was killed just before it could
// tidy up, the same receipt stands twice.
type Apply struct {
	Receipt   Text   `json:"receipt"`
	UID       int    `json:"uid"`  // who applied
	When      Text   `json:"when"` // RFC 3339
	Workspace Text   `json:"workspace"`
	Paths     int    `json:"paths"` // in all
	Items     []Item `json:"items"` // those that no record before has
}

// Type is workspace.apply.
func (Apply) Type() string { return "workspace.apply" }

// Item is one path of a receipt. Names are quoted as git does where they are not plain.
type Item struct {
	Path   Text    `json:"path"`
	From   Text    `json:"from,omitempty"` // the old path of what was renamed
	Kind   Text    `json:"kind"`           // added, modified, deleted, renamed, mode or type
	Source Text    `json:"source"`         // agent: as the agent left it; hunks: parts of that; merge: with the host's changes
	Before Content `json:"before,omitempty"`
	After  Content `json:"after,omitempty"`
}

// Content is what lay at a path. Nothing stands for nothing.
type Content struct {
	Type   Text   `json:"type"` // file, directory or symlink
	Mode   Text   `json:"mode"` // octal
	Size   int64  `json:"size"`
	SHA256 Text   `json:"sha256,omitempty"` // of a file's content or a link's target; left out for what the profile masks
	Attrs  []Text `json:"attrs,omitempty"`  // the names of extended attributes
}

// ApplyUndone is an apply that came to nothing: the project is as before, but for what Left names.
type ApplyUndone struct {
	Why  Text   `json:"why"`
	Left []Text `json:"left,omitempty"` // paths that the host changed meanwhile, and that stay so
}

// Type is workspace.undone.
func (ApplyUndone) Type() string { return "workspace.undone" }

// Recover is what became of an apply whose process was killed.
type Recover struct {
	UID     int    `json:"uid"`               // whose command did it
	Outcome Text   `json:"outcome"`           // finished or undone
	Receipt Text   `json:"receipt,omitempty"` // of what was finished
	Left    []Text `json:"left,omitempty"`    // paths that the host changed after the cut, and that stay so
}

// Type is workspace.recover.
func (Recover) Type() string { return "workspace.recover" }

// Changes are what the agent left in its overlay, at the end of the session and before anybody has decided about it. Paths
// that do not fit one record stand in further ones behind it.
type Changes struct {
	Changes int       `json:"changes"`           // in all
	Digest  Text      `json:"digest,omitempty"`  // of the review that people see
	First   int       `json:"first,omitempty"`   // the number of the first of items, from 0
	Omitted int       `json:"omitted,omitempty"` // of the last paths, which no record has
	Items   []Changed `json:"items"`
	Error   Text      `json:"error,omitempty"` // why they could not be read; they are kept
}

// Type is workspace.changes.
func (Changes) Type() string { return "workspace.changes" }

// Changed is one path that the agent changed.
type Changed struct {
	Path      Text    `json:"path"`
	From      Text    `json:"from,omitempty"` // the old path of what was renamed
	Kind      Text    `json:"kind"`           // added, modified, deleted, renamed, mode or type
	Before    Content `json:"before,omitempty"`
	After     Content `json:"after,omitempty"`
	Handoffs  []Text  `json:"handoffs,omitempty"`  // what kinds of programs outside the box run or obey it
	Masked    Text    `json:"masked,omitempty"`    // the profile's line that masks the name; the agent made a file of its own there
	Protected Text    `json:"protected,omitempty"` // the profile's line that protects it; apply asks for it by itself
	Refused   Text    `json:"refused,omitempty"`   // why apply never writes it
	Conflict  Text    `json:"conflict,omitempty"`  // how the host changed it meanwhile
}

// Discard is on disk before what the agent wrote is removed.
type Discard struct {
	UID       int  `json:"uid"` // who discards
	Workspace Text `json:"workspace"`
	Digest    Text `json:"digest,omitempty"` // of the changes; nothing where they could not be read
	Changes   int  `json:"changes"`
	Why       Text `json:"why"` // asked, or nothing was left
}

// Type is workspace.discard.
func (Discard) Type() string { return "workspace.discard" }
