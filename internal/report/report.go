// Package report makes out of a session's log what a person wants to know after it: what the agent did, what left, what
// was refused, what it cost, and what deserves a look. It is pure: records go in, a page comes out.
//
// All texts of a report may be the agent's. They are of the type Text, which prints itself escaped; as JSON they are the
// log's own. A report is bounded, whatever the log's length: what is left out is counted.
package report

import (
	"fmt"
	"iter"
	"time"

	humanize "github.com/dustin/go-humanize"

	"agentbox/internal/audit"
	"agentbox/internal/escape"
)

// Version is that of the JSON.
const Version = 1

// Bounds of the lists.
const (
	maxRows    = 1000 // of each list that groups
	maxMoments = 400  // of the time line
	maxAlike   = 60   // of them, of one type of records: the end and a freeze have room, however many hosts there were
	maxSamples = 720  // of a chart
	maxText    = 300  // characters of a text on a page
)

// A Text is one of the log. As JSON it is the log's form of it.
type Text audit.Text

// String is safe for a terminal and a page. One that is cut says how long it is: what matters may stand behind the cut.
func (t Text) String() string {
	whole := escape.Text(string(t))
	if short := escape.Shorten(whole, maxText); len(short) < len(whole) {
		return fmt.Sprintf("%s [of %s bytes]", short, humanize.Comma(int64(len(t))))
	}
	return whole
}

// MarshalJSON writes printable ASCII.
func (t Text) MarshalJSON() ([]byte, error) { return audit.Text(t).MarshalJSON() }

// A Report is what became of a log.
type Report struct {
	Version      int          `json:"version"`
	Session      Text         `json:"session"`
	Verification audit.Report `json:"verification"`
	State        string       `json:"state,omitempty"`  // running or frozen, where the session lasted when the report was made
	Unread       string       `json:"unread,omitempty"` // why the log was not read to its end

	Agentbox  Text      `json:"agentbox"`
	Kernel    Text      `json:"kernel"`
	Command   Text      `json:"command"`
	Workspace Text      `json:"workspace"`
	Mode      Text      `json:"mode"`
	Profile   Text      `json:"profile"`
	Network   Text      `json:"network"`
	Limits    []Limit   `json:"limits"`
	Degraded  []Text    `json:"degraded"`
	Started   time.Time `json:"started"`
	Ended     time.Time `json:"ended,omitzero"` // zero: it runs, or its supervisor was killed
	Last      time.Time `json:"last,omitzero"`  // of the last record that was read
	Seconds   float64   `json:"seconds"`
	Cause     Text      `json:"cause,omitempty"`
	Limit     Text      `json:"limit,omitempty"` // that ended it
	ExitCode  int       `json:"exit_code"`

	Findings    []Finding    `json:"findings"` // the most serious first
	Timeline    []Moment     `json:"timeline"`
	Samples     []Sample     `json:"samples"` // of what the box used
	Costs       []Cost       `json:"costs"`   // by time, each with all before it
	Programs    Programs     `json:"programs"`
	Tools       []Tool       `json:"tools"`
	Hosts       []Host       `json:"hosts"` // the most bytes out first
	Refusals    []Refusal    `json:"refusals"`
	Files       Files        `json:"files"`
	Credentials []Credential `json:"credentials"`
	Omitted     Omitted      `json:"omitted"`

	TotalUSD float64 `json:"total_usd"`
	BytesOut int64   `json:"bytes_out"`
	BytesIn  int64   `json:"bytes_in"`
}

// Omitted counts what the lists have no room for.
type Omitted struct {
	Timeline int `json:"timeline"`
	Programs int `json:"programs"` // starts of programs that no group has
	Tools    int `json:"tools"`
	Hosts    int `json:"hosts"`
	Refusals int `json:"refusals"`
	Files    int `json:"files"`
}

// A Limit is one that the profile set.
type Limit struct {
	Name  Text `json:"name"`
	Value Text `json:"value"`
	State Text `json:"state"`
}

// A Finding deserves a look.
type Finding struct {
	Serious bool   `json:"serious"`
	What    string `json:"what"` // escaped
	Record  uint64 `json:"record"`
	Count   int    `json:"count"`
}

// A Moment is a record that matters by itself.
type Moment struct {
	Time   time.Time `json:"time"`
	Record uint64    `json:"record"`
	Type   Text      `json:"type"`
	What   string    `json:"what"` // escaped
	Grave  bool      `json:"grave"`
}

// A Sample is what the box used.
type Sample struct {
	Seconds float64 `json:"seconds"` // since the log was opened
	Memory  uint64  `json:"memory_bytes"`
	CPU     float64 `json:"cpu_seconds"`
	Pids    uint64  `json:"pids"`
}

// A Cost is what had been spent by then.
type Cost struct {
	Seconds float64 `json:"seconds"`
	USD     float64 `json:"usd"`
}

// Programs are those that were started, where the profile has them on the record.
type Programs struct {
	Recorded bool      `json:"recorded"`
	Starts   int       `json:"starts"`
	Failed   int       `json:"failed"` // ended by a signal or with another code than 0
	Groups   []Program `json:"groups"` // the most starts first
}

// A Program is one command line, as it was claimed.
type Program struct {
	Path    Text      `json:"path"`
	Argv    Text      `json:"argv"`
	Starts  int       `json:"starts"`
	Failed  int       `json:"failed"`
	Refused int       `json:"refused"`
	First   time.Time `json:"first"`
	Longest float64   `json:"longest_seconds"`
}

// A Tool is one tool call of the agent.
type Tool struct {
	Time     time.Time `json:"time"`
	Name     Text      `json:"name"`
	Input    Text      `json:"input"`
	Decision Text      `json:"decision"`
	Rule     Text      `json:"rule,omitempty"`
	Reason   Text      `json:"reason,omitempty"`
}

// A Host is one that was reached.
type Host struct {
	Host        Text      `json:"host"`
	Port        uint16    `json:"port"`
	Rule        Text      `json:"rule"`
	Connections int       `json:"connections"`
	Requests    int       `json:"requests"`
	BytesOut    int64     `json:"bytes_out"`
	BytesIn     int64     `json:"bytes_in"`
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
}

// A Refusal is what was tried and refused.
type Refusal struct {
	What   string    `json:"what"` // connection, tool call or program
	Target Text      `json:"target"`
	Reason Text      `json:"reason"`
	Rule   Text      `json:"rule,omitempty"`
	Count  int       `json:"count"`
	First  time.Time `json:"first"`
}

// Files are what the agent left, and what became of that.
type Files struct {
	Known     bool   `json:"known"`   // there was an overlay, and something changed in it
	Changes   int    `json:"changes"` // in all
	Digest    Text   `json:"digest,omitempty"`
	List      []File `json:"list"`
	Applied   int    `json:"applied"` // paths that were written to the project
	Discarded bool   `json:"discarded"`
	Error     Text   `json:"error,omitempty"`
}

// A File is one path.
type File struct {
	Path    Text   `json:"path"`
	From    Text   `json:"from,omitempty"`
	Kind    Text   `json:"kind"`
	Mode    Text   `json:"mode,omitempty"` // octal
	Was     Text   `json:"was,omitempty"`  // its mode before, where that is another one
	Size    int64  `json:"size"`
	SHA256  Text   `json:"sha256,omitempty"`
	Remarks []Text `json:"remarks,omitempty"` // hand-off, masked, protected, never applied
	Applied bool   `json:"applied"`
}

// A Credential is one that agentbox added to requests. The agent never had it.
type Credential struct {
	Name      Text      `json:"name"`
	Requests  int       `json:"requests"`
	Hosts     []Text    `json:"hosts"`
	First     time.Time `json:"first,omitzero"`
	Last      time.Time `json:"last,omitzero"`
	Tripwires int       `json:"tripwires"` // its placeholder on the way to another host
	Rotate    []Place   `json:"rotate"`    // where one of its hosts' makers exchanges it
}

// A Meanwhile is what is known of a session beside its log while it lasts. The zero value is that nothing is.
type Meanwhile struct {
	State   string           // running or frozen: its supervisor is there
	Changes []*audit.Changes // what the agent has written so far, if somebody looked
}

// From reads a log's records in their order. verification is what audit.Verify says of the same log. An error of the
// records ends the report where they end: what stands before is told.
func From(records iter.Seq2[audit.Record, error], verification audit.Report, m Meanwhile) *Report {
	b := newBuilder(verification, m)
	for r, err := range records {
		if err != nil {
			b.r.Unread = escape.Text(err.Error())
			break
		}
		b.record(r)
	}
	b.meanwhile(m.Changes)
	return b.finish()
}

// Running reports a session without an end.
func (r *Report) Running() bool { return r.Ended.IsZero() }

// Outcome is how it ended, in words.
func (r *Report) Outcome() string {
	switch {
	case r.Lasts():
		return r.lasting()
	case r.Running():
		return "no end is on record"
	}
	return ending(r.Cause, r.Limit, r.ExitCode)
}

// Lasts reports a session that was not over when the report was made.
func (r *Report) Lasts() bool { return r.State != "" && r.Running() }

// lasting says so in words.
func (r *Report) lasting() string {
	if r.State == "frozen" {
		return "it is frozen"
	}
	return "it still runs"
}

// ending is a cause of run --result in words.
func ending(cause, limit Text, code int) string {
	switch {
	case cause == "exited":
		return fmt.Sprintf("exited with %d", code)
	case limit != "":
		return fmt.Sprintf("ended by the limit %s, exit code %d", limit, code)
	}
	return fmt.Sprintf("%s, exit code %d", cause, code)
}
