package audit

import (
	"crypto/ed25519"
	"encoding/json"
)

// An Event is what a record is about. Its fields are what the log keeps of it.
type Event interface {
	// Type is the record's "type".
	Type() string
}

// events are all there are; docs/audit-log.schema.json describes them.
func events() []Event {
	return []Event{
		&Start{}, &Ready{}, &Exec{}, &Freeze{}, &Resume{}, &Kill{}, &End{},
		&LimitReached{}, &Usage{},
		&Changes{}, &ApplyBegin{}, &ApplyItems{}, &Apply{}, &ApplyUndone{}, &Recover{}, &Discard{},
		&NetworkStart{}, &NetworkConnection{}, &NetworkRequest{}, &NetworkRefused{}, &NetworkTripwire{}, &SecretCut{}, &CredentialRefresh{},
		&BudgetWarning{}, &BudgetReached{},
		&ToolCall{}, &ToolResult{}, &HookBroken{}, &ProgramStart{}, &ProgramEnd{},
		&Checkpoint{}, &Seal{}, &Continued{}, &Rotated{}, &Begun{}, &Removed{},
	}
}

// newEvent is the empty event of a type, or nil.
func newEvent(kind string) Event {
	for _, e := range events() {
		if e.Type() == kind {
			return e
		}
	}
	return nil
}

// Start is written before anything of the box exists.
type Start struct {
	Agentbox     Text            `json:"agentbox"` // this program's version
	Kernel       Text            `json:"kernel"`
	UID          int             `json:"uid"` // of the caller
	PID          int             `json:"pid"` // of the supervisor
	IDs          Text            `json:"ids"` // how ids map
	Workspace    Text            `json:"workspace"`
	Mode         Text            `json:"mode"` // of the workspace
	Profile      Text            `json:"profile"`
	Layers       []Text          `json:"layers"`
	Policy       json.RawMessage `json:"policy"`        // the effective profile
	PolicySHA256 string          `json:"policy_sha256"` // of its JSON, before anything was escaped or cut
	Argv         []Text          `json:"argv"`
	Dir          Text            `json:"dir"`
	Limits       []Limit         `json:"limits"`
	Degraded     []Degraded      `json:"degraded"`
	Host         json.RawMessage `json:"host,omitempty"` // further facts of the machine, as they were probed
	Network      Text            `json:"network"`
}

// Type is session.start.
func (Start) Type() string { return "session.start" }

// A Limit is one that the profile sets.
type Limit struct {
	Name  Text `json:"name"`
	Value Text `json:"value"`
	State Text `json:"state"` // enforced, watched or absent
	By    Text `json:"by"`
}

// Degraded is a layer that the box lacks.
type Degraded struct {
	Layer Text `json:"layer"`
	Why   Text `json:"why"`
}

// Ready says that the agent runs.
type Ready struct {
	BoxPID int `json:"box_pid"` // of the box's PID 1, on the host
}

// Type is session.ready.
func (Ready) Type() string { return "session.ready" }

// Exec is a further command in the box.
type Exec struct {
	UID    int    `json:"uid"` // who asked
	Argv   []Text `json:"argv"`
	Joined int    `json:"joined,omitempty"` // counted from 1; program.start names it
}

// Type is session.exec.
func (Exec) Type() string { return "session.exec" }

// Freeze stopped every process of the box.
type Freeze struct {
	By Text `json:"by"` // "person", or the rule that did
}

// Type is session.freeze.
func (Freeze) Type() string { return "session.freeze" }

// Resume let them go on.
type Resume struct {
	By Text `json:"by"`
}

// Type is session.resume.
func (Resume) Type() string { return "session.resume" }

// Kill is a signal that somebody sent to the agent by agentbox.
type Kill struct {
	By     Text `json:"by"`
	Signal Text `json:"signal"`
}

// Type is session.kill.
func (Kill) Type() string { return "session.kill" }

// LimitReached is a limit that the box ran into.
type LimitReached struct {
	Name   Text `json:"name"`
	Value  Text `json:"value"`
	Detail Text `json:"detail,omitempty"`
	Ended  bool `json:"ended"` // and that ended it
}

// Type is limit.reached.
func (LimitReached) Type() string { return "limit.reached" }

// Usage is what the box used at a moment.
type Usage struct {
	MemoryBytes uint64  `json:"memory_bytes"`
	CPUSeconds  float64 `json:"cpu_seconds"`
	Pids        uint64  `json:"pids"`
	ReadBytes   uint64  `json:"read_bytes,omitempty"`  // from devices, since the start
	WriteBytes  uint64  `json:"write_bytes,omitempty"` // to devices, since the start
}

// Type is usage.
func (Usage) Type() string { return "usage" }

// End is how the session ended; without it the supervisor was killed.
type End struct {
	Cause      Text    `json:"cause"` // as run --result has it
	ExitCode   int     `json:"exit_code"`
	Signal     Text    `json:"signal,omitempty"`
	Limit      Text    `json:"limit,omitempty"`
	Error      Text    `json:"error,omitempty"`
	Seconds    float64 `json:"seconds"`
	PeakBytes  uint64  `json:"peak_memory_bytes,omitempty"`
	PeakPids   uint64  `json:"peak_pids,omitempty"`
	CPUSeconds float64 `json:"cpu_seconds,omitempty"`
}

// Type is session.end.
func (End) Type() string { return "session.end" }

// Checkpoint signs what precedes it, in a log that has a key: so often that no more than 1024 records stand without a
// signature, and none for more than about ten seconds.
type Checkpoint struct {
	Records   uint64            `json:"records"` // before it
	PublicKey ed25519.PublicKey `json:"public_key"`
	Signature []byte            `json:"signature"`
}

// Type is log.checkpoint.
func (Checkpoint) Type() string { return "log.checkpoint" }

// Continued begins a further part of a log, for what was decided when the session was over.
type Continued struct {
	Records  uint64 `json:"records"`              // before it
	Sealed   bool   `json:"sealed"`               // the part before has its seal; else its writer died, or somebody cut it
	Torn     int    `json:"torn_bytes,omitempty"` // of a record that was not written to its end, and that were cut off
	Agentbox Text   `json:"agentbox"`             // the version of the program that writes this part
	UID      int    `json:"uid"`                  // of the caller
	PID      int    `json:"pid"`
}

// Type is log.continue.
func (Continued) Type() string { return "log.continue" }

// Seal is the last record of a whole log, and of each part of it.
type Seal struct {
	Records   uint64            `json:"records"` // before it
	PublicKey ed25519.PublicKey `json:"public_key,omitempty"`
	Signature []byte            `json:"signature,omitempty"`
}

// Type is log.seal.
func (Seal) Type() string { return "log.seal" }
