package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"time"
)

const (
	// checkpointEvery bounds the records of a signed log that stand without a signature, so that a verifier knows when
	// one is missing.
	checkpointEvery = 1024
	// checkpointTime bounds how long they do.
	checkpointTime = 10 * time.Second
)

// A signature is what a seal and a checkpoint have in common.
type signature struct {
	Records   uint64 // before it
	PublicKey ed25519.PublicKey
	Signature []byte
}

type signable interface {
	Event
	set(signature)
	get() signature
}

func (s *Seal) set(x signature)       { *s = Seal(x) }
func (s *Seal) get() signature        { return signature(*s) }
func (c *Checkpoint) set(x signature) { *c = Checkpoint(x) }
func (c *Checkpoint) get() signature  { return signature(*c) }

// sign adds a seal or a checkpoint. The caller holds the lock.
func (l *Log) sign(e signable) error {
	s := signature{Records: l.seq}
	if key := l.options.Key; key != nil {
		s.PublicKey, _ = key.Public().(ed25519.PublicKey)
		s.Signature = ed25519.Sign(key, signedBytes(e.Type(), l.options.Session, l.seq, l.last))
	}
	e.set(s)
	data, err := l.encoder.append(nil, e)
	if err != nil {
		return err
	}
	l.add(e.Type(), data)
	l.signed, l.at = l.seq, time.Now()
	return nil
}

// nextCheckpoint is when the records of a signed log that have no signature get one. The caller holds the lock.
func (l *Log) nextCheckpoint() (at time.Time, ok bool) {
	return l.at.Add(checkpointTime), l.options.Key != nil && l.seq > l.signed
}

// signedBytes are what the key signs: what the signature is for, and where the chain stood.
func signedBytes(kind, session string, records uint64, last [sha256.Size]byte) []byte {
	return fmt.Appendf(nil, "agentbox audit log v%d\n%s\n%s\n%d\n%x\n", Version, kind, session, records, last)
}
