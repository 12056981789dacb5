// Package wire is what the tests and the program inside a test machine say to each other.
//
// They share a serial port. The host sends Requests, the guest Replies, each in a
// frame of its own that needs no other to be understood, because the guest's end
// passes from one process to another while the machine boots:
//
//	guest: Ready            the disk is empty
//	host:  Tree, …          each answered before the next is sent
//	host:  Boot             not answered
//	guest: Ready            commands are run from here on
//	host:  Command, …       answered in any order, by their ID
//
// A command may have many replies, of which the last has Done. The end of the
// host's stream switches the machine off.
package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"io"
	"time"
)

// PortName is the name of the serial port, as the guest's /sys shows it.
const PortName = "boxtest"

// A Request asks for one thing.
type Request struct {
	ID      int
	Tree    []byte // a tar archive to unpack at the root
	Boot    *Boot
	Command *Command
}

// Boot says that all files are there.
type Boot struct {
	Init string // the program to become; empty means that the guest itself stays PID 1
}

// A Command is a script for the guest's shell.
type Command struct {
	Script  string
	Stdin   []byte
	Env     []string
	Dir     string
	UID     int
	GID     int
	Account string // names the directories of the account, below /run/user and in the cgroup tree
	Cgroup  Delegation
	Limit   time.Duration // after which all that the script started is killed
}

// A Delegation says which part of the cgroup tree a command may change.
type Delegation uint8

const (
	// None is a cgroup of the command's own that belongs to root.
	None Delegation = iota
	// Scope is a cgroup of the command's own that belongs to the account, below
	// one that does not: a service with Delegate=yes and User=.
	Scope
	// Tree is a cgroup of the command's own below one that also belongs to the
	// account: what a systemd user manager has.
	Tree
)

// A Reply carries what a command wrote, or how a request ended.
type Reply struct {
	ID     int
	Ready  string // the release of the guest's kernel
	Stdout []byte
	Stderr []byte
	Done   *Outcome
}

// An Outcome is the end of a request. A command that a signal ended has the code
// that shells give it.
type Outcome struct {
	Code     int
	Took     time.Duration // how long the command ran, by the guest's clock
	TimedOut bool
	Problem  string // why the request could not be met; empty if it was
}

// Send writes a message as one frame.
func Send[T Request | Reply](w io.Writer, message T) error {
	var frame bytes.Buffer
	frame.Write(make([]byte, 4))
	if err := gob.NewEncoder(&frame).Encode(message); err != nil {
		return err
	}
	binary.BigEndian.PutUint32(frame.Bytes(), uint32(frame.Len()-4))
	_, err := w.Write(frame.Bytes())
	return err
}

// Receive reads one frame, and nothing behind it.
func Receive[T Request | Reply](r io.Reader) (T, error) {
	var message T
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return message, err
	}
	frame := make([]byte, binary.BigEndian.Uint32(size[:]))
	if n, err := io.ReadFull(r, frame); err != nil {
		return message, fmt.Errorf("a frame of %d bytes was cut at %d", len(frame), n)
	}
	err := gob.NewDecoder(bytes.NewReader(frame)).Decode(&message)
	return message, err
}
