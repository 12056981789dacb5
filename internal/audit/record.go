package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// record is a line before it is written.
type record struct {
	seq     uint64
	time    time.Time
	elapsed time.Duration
	session string
	kind    string
	data    []byte
	prev    [sha256.Size]byte
}

// What stands between the values of a line. The order of the keys is fixed.
const (
	versionMark = `{"v":`
	seqMark     = `,"seq":`
	timeMark    = `,"time":"`
	elapsedMark = `","elapsed":`
	sessionMark = `,"session":`
	typeMark    = `,"type":`
	dataMark    = `,"data":`
	prevMark    = `,"prev":"`
	hashMark    = `,"hash":"` // the hash covers everything up to and without this
	endMark     = `"}`
)

const (
	digits = 2 * sha256.Size
	tail   = len(hashMark) + digits + len(endMark) // what follows the hashed bytes
	// timeFormat is RFC 3339 with every digit of a nanosecond, so that lines sort.
	timeFormat = "2006-01-02T15:04:05.000000000Z"
)

// appendRecord adds a line to b and returns the line's hash.
func appendRecord(b []byte, r record) ([]byte, [sha256.Size]byte) {
	start := len(b)
	b = strconv.AppendInt(append(b, versionMark...), Version, 10)
	b = strconv.AppendUint(append(b, seqMark...), r.seq, 10)
	b = r.time.UTC().AppendFormat(append(b, timeMark...), timeFormat)
	b = strconv.AppendInt(append(b, elapsedMark...), int64(r.elapsed), 10)
	b = appendText(append(b, sessionMark...), r.session)
	b = appendText(append(b, typeMark...), r.kind)
	b = append(append(b, dataMark...), r.data...)
	b = append(hex.AppendEncode(append(b, prevMark...), r.prev[:]), '"')
	sum := sha256.Sum256(b[start:])
	b = hex.AppendEncode(append(b, hashMark...), sum[:])
	return append(b, endMark+"\n"...), sum
}

// A Record is a line that was read.
type Record struct {
	Version int             `json:"v"`
	Seq     uint64          `json:"seq"`
	Time    time.Time       `json:"time"`    // by the wall clock, which can be set
	Elapsed time.Duration   `json:"elapsed"` // nanoseconds since the log was opened, by a clock that cannot
	Session Text            `json:"session"`
	Type    Text            `json:"type"`
	Data    json.RawMessage `json:"data"`
	Prev    string          `json:"prev"`
	Hash    string          `json:"hash"`

	line string
}

// Line is the record as it stands in the log, without its newline: printable ASCII.
func (r Record) Line() string { return r.line }

// ParseRecord reads a line, without its newline, and checks it by itself: the exact form, and the hash over its bytes.
// Whether it follows the record before is for the caller.
func ParseRecord(line []byte) (Record, error) {
	r, err := parse(line)
	r.line, r.Data = string(line), bytes.Clone(r.Data)
	return r, err
}

// parse is ParseRecord for a line that is only lent: Data is a part of it.
func parse(line []byte) (Record, error) {
	p := scanner{rest: line}
	r := Record{}
	if r.Version = int(p.number(versionMark)); p.bad {
		return r, errors.New("it is not a record")
	}
	if r.Version != Version {
		return r, fmt.Errorf("its version is %d; this program reads %d", r.Version, Version)
	}
	if len(line) < tail {
		return r, errForm
	}
	head, end := line[:len(line)-tail], line[len(line)-tail:]
	sum := sha256.Sum256(head)
	var want [tail]byte
	if !bytes.Equal(append(hex.AppendEncode(append(want[:0], hashMark...), sum[:]), endMark...), end) {
		return r, errors.New("its bytes are not those that its hash was made of")
	}
	p.rest = p.rest[:len(p.rest)-min(tail, len(p.rest))]
	r.Hash = hex.EncodeToString(sum[:])
	r.Seq = p.number(seqMark)
	r.Time = p.time(timeMark)
	r.Elapsed = time.Duration(p.number(elapsedMark))
	r.Session = p.text(sessionMark)
	r.Type = p.text(typeMark)
	r.Data, r.Prev = p.data()
	if p.bad {
		return r, errForm
	}
	return r, nil
}

var errForm = errors.New("it does not have the form of a record")

// A scanner takes a line apart from its beginning. Nothing but what appendRecord writes is accepted: no other order, no
// key twice, no blank.
type scanner struct {
	rest []byte
	bad  bool
}

func (p *scanner) mark(mark string) {
	rest, ok := bytes.CutPrefix(p.rest, []byte(mark))
	p.rest, p.bad = rest, p.bad || !ok
}

func (p *scanner) number(mark string) uint64 {
	p.mark(mark)
	n := 0
	for n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '9' {
		n++
	}
	x, err := strconv.ParseUint(string(p.rest[:n]), 10, 63)
	p.bad = p.bad || err != nil || n > 1 && p.rest[0] == '0'
	p.rest = p.rest[n:]
	return x
}

func (p *scanner) time(mark string) time.Time {
	p.mark(mark)
	if len(p.rest) < len(timeFormat) {
		p.bad = true
		return time.Time{}
	}
	t, err := time.Parse(timeFormat, string(p.rest[:len(timeFormat)]))
	p.bad = p.bad || err != nil || p.rest[len("2006-01-02T15:04:05")] != '.' // the package takes a comma, too
	p.rest = p.rest[len(timeFormat):]
	return t
}

func (p *scanner) text(mark string) Text {
	p.mark(mark)
	end := stringEnd(p.rest, 0)
	s, err := parseText(p.rest[:end])
	p.bad = p.bad || err != nil || !bytes.Equal(appendText(nil, s), p.rest[:end])
	p.rest = p.rest[end:]
	return Text(s)
}

// data takes the rest: an object, and the hash of the record before.
func (p *scanner) data() (data json.RawMessage, prev string) {
	p.mark(dataMark)
	cut := len(p.rest) - len(prevMark) - digits - 1
	if cut < 2 || p.rest[0] != '{' || !bytes.HasPrefix(p.rest[cut:], []byte(prevMark)) {
		p.bad = true
		return nil, ""
	}
	data, hash := p.rest[:cut], p.rest[cut+len(prevMark):len(p.rest)-1]
	p.bad = p.bad || !printable(data) || !json.Valid(data) || !lowerHex(hash) || p.rest[len(p.rest)-1] != '"'
	return data, string(hash)
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

func lowerHex(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Event gives the record's data as the type that it names; an unknown type is an error, and Data has it all the same.
func (r Record) Event() (Event, error) {
	e := newEvent(string(r.Type))
	if e == nil {
		return nil, fmt.Errorf("record %d has the unknown type %q", r.Seq, r.Type)
	}
	if err := json.Unmarshal(r.Data, e); err != nil {
		return nil, fmt.Errorf("record %d, %s: %w", r.Seq, r.Type, err)
	}
	return e, nil
}
