package audit

import (
	"crypto/ed25519"
)

// Rotated is the last record of a file that was closed because it had grown. With a key it is signed like a checkpoint.
type Rotated struct {
	Records   uint64            `json:"records"` // before it
	File      int               `json:"file"`    // the number under which this file is closed, from 1
	PublicKey ed25519.PublicKey `json:"public_key,omitempty"`
	Signature []byte            `json:"signature,omitempty"`
}

// Type is log.rotate.
func (Rotated) Type() string { return "log.rotate" }

// Begun is the first record of the file that follows. Like every record it holds the hash of the one before, which is in
// the file before.
type Begun struct {
	Records uint64 `json:"records"` // before it
	File    int    `json:"file"`    // the number of this file, from 1
}

// Type is log.file.
func (Begun) Type() string { return "log.file" }

// Removed is a log that was removed. It stands in the log "retention" of the same directory, and is on disk before the
// first of the files goes.
type Removed struct {
	Session  Text   `json:"session"`
	Records  uint64 `json:"records"` // of it, as far as it was verified
	Last     Text   `json:"last_hash"`
	Verdict  Text   `json:"verdict"`            // sealed, unsealed or broken; unverified: there was no time for all of it
	Detail   Text   `json:"detail,omitempty"`   // of a verdict that is not sealed
	Key      Text   `json:"key,omitempty"`      // that signed it
	Files    []Text `json:"files"`              // in the order of their records
	Bytes    int64  `json:"bytes"`              // of these
	Changed  Text   `json:"changed"`            // RFC 3339: when it was last written to
	Why      Text   `json:"why"`                // age, size or asked
	UID      int    `json:"uid"`                // whose command did it
	Agentbox Text   `json:"agentbox,omitempty"` // the version of the program that did
}

// Type is log.removed.
func (Removed) Type() string { return "log.removed" }
