package audit

// ProgramStart is a program that is about to run in the box; it is written before that, and the call may still fail.
type ProgramStart struct {
	PID     int    `json:"pid"` // on the host, as parent
	Parent  int    `json:"parent"`
	Joined  int    `json:"joined,omitempty"` // it belongs to the command that session.exec gave this number; without it, to the agent
	UID     int    `json:"uid"`              // on the host
	Path    Text   `json:"path"`             // path and argv are as the caller claimed: another of its threads may have changed them since
	Argv    []Text `json:"argv"`
	Cut     bool   `json:"cut,omitempty"`     // there is more of argv
	Dir     Text   `json:"dir"`               // working directory, in the box
	Missing bool   `json:"missing,omitempty"` // no such file was there, so that the call fails; shells try each directory of PATH
	Refused Text   `json:"refused,omitempty"` // why it does not run
}

// Type is program.start.
func (ProgramStart) Type() string { return "program.start" }

// ProgramEnd is the end of a process that a ProgramStart was about.
type ProgramEnd struct {
	PID          int   `json:"pid"`
	Joined       int   `json:"joined,omitempty"` // as of program.start
	Path         Text  `json:"path"`             // that its last program.start named
	How          Text  `json:"how"`              // exited, signaled, or unknown where the kernel does not tell (before Linux 6.15)
	ExitCode     int   `json:"exit_code"`        // if it exited
	Signal       Text  `json:"signal,omitempty"` // if it was signaled
	Microseconds int64 `json:"microseconds"`     // since that record
}

// Type is program.end.
func (ProgramEnd) Type() string { return "program.end" }
