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
	session string
	kind    string
	data    []byte
	prev    [sha256.Size]byte
}

// hashMark comes before the hash, which covers everything up to and without it.
const hashMark = `,"hash":"`

// tail is the length of what follows the hashed bytes: the mark, 64 digits, and `"}`.
const tail = len(hashMark) + 2*sha256.Size + 2

// appendRecord adds a line to b and returns the line's hash. The order of the keys is fixed.
func appendRecord(b []byte, r record) ([]byte, [sha256.Size]byte) {
	start := len(b)
	b = append(b, `{"v":`...)
	b = strconv.AppendInt(b, Version, 10)
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, r.seq, 10)
	b = append(b, `,"time":"`...)
	b = r.time.UTC().AppendFormat(b, timeFormat)
	b = append(b, `","session":`...)
	b = appendText(b, r.session)
	b = append(b, `,"type":`...)
	b = appendText(b, r.kind)
	b = append(b, `,"data":`...)
	b = append(b, r.data...)
	b = append(b, `,"prev":"`...)
	b = hex.AppendEncode(b, r.prev[:])
	b = append(b, '"')
	sum := sha256.Sum256(b[start:])
	b = append(b, hashMark...)
	b = hex.AppendEncode(b, sum[:])
	return append(b, "\"}\n"...), sum
}

// timeFormat is RFC 3339 with every digit of a nanosecond, so that lines sort.
const timeFormat = "2006-01-02T15:04:05.000000000Z07:00"

// A Record is a line that was read.
type Record struct {
	Version int             `json:"v"`
	Seq     uint64          `json:"seq"`
	Time    time.Time       `json:"time"`
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
	var r Record
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("it is not a record: %w", err)
	}
	if r.Version != Version {
		return r, fmt.Errorf("its version is %d; this program reads %d", r.Version, Version)
	}
	if len(line) < tail {
		return r, errors.New("it is too short")
	}
	head := line[:len(line)-tail]
	sum := sha256.Sum256(head)
	want := append(append(append([]byte{}, head...), hashMark...), hex.EncodeToString(sum[:])+`"}`...)
	if !bytes.Equal(want, line) {
		return r, errors.New("its bytes are not those that its hash was made of")
	}
	for _, c := range line {
		if c < ' ' || c > '~' {
			return r, errors.New("it has bytes that no record has")
		}
	}
	r.line = string(line)
	return r, nil
}

// Event gives the record's data as the type that it names; an unknown type is an error, and Data has it all the same.
func (r Record) Event() (Event, error) {
	make, ok := types[string(r.Type)]
	if !ok {
		return nil, fmt.Errorf("record %d has the unknown type %q", r.Seq, r.Type)
	}
	e := make()
	if err := json.Unmarshal(r.Data, e); err != nil {
		return nil, fmt.Errorf("record %d, %s: %w", r.Seq, r.Type, err)
	}
	return e, nil
}

// encodeEvent gives an event's data in printable ASCII, with secrets cut.
func encodeEvent(e Event, secrets *Redactor) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, err
	}
	return secrets.redact(ascii(bytes.TrimSuffix(b.Bytes(), []byte{'\n'}))), nil
}
