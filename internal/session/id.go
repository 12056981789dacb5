package session

import (
	"crypto/rand"
	"encoding/binary"
	"strings"
	"time"
)

// alphabet is Crockford's base32 in lower case: ascending in ASCII, so that IDs
// sort by age, and without i, l, o and u, so that they can be read aloud.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

const (
	idLength = 12
	idRandom = 6          // trailing characters that are random
	idEpoch  = 1735689600 // 2025-01-01T00:00:00Z; 30 bits of seconds last until 2059
)

// partPrefix marks a directory whose session is not complete yet.
const partPrefix = ".new-"

// NewID returns a new session ID: twelve characters, the first six the time in
// seconds, so that IDs sort by age, and the last six random.
func NewID() string { return newID(time.Now()) }

func newID(t time.Time) string {
	seconds := max(0, t.Unix()-idEpoch)
	var random [8]byte
	rand.Read(random[:]) // never returns an error, see crypto/rand
	n := uint64(seconds)<<(5*idRandom) | binary.NativeEndian.Uint64(random[:])&(1<<(5*idRandom)-1)
	var id [idLength]byte
	for i := range id {
		id[idLength-1-i] = alphabet[n&31]
		n >>= 5
	}
	return string(id[:])
}

// ValidID says whether s has the form of a session ID. Such a string is safe as a
// file name.
func ValidID(s string) bool { return len(s) == idLength && inAlphabet(s) }

func inAlphabet(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(alphabet, r) }) < 0
}

// validName accepts an ID and the name of a directory that never got one.
func validName(s string) bool { return ValidID(strings.TrimPrefix(s, partPrefix)) }
