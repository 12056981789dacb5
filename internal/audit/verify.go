package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A Verdict is what verification says of a whole log.
type Verdict string

// The verdicts. The zero value is none of them.
const (
	Sealed   Verdict = "sealed"   // every record is there and as it was written
	Unsealed Verdict = "unsealed" // what is there is as it was written, but the end is missing: a crash, or a cut
	Broken   Verdict = "broken"   // something was changed
)

// A Report is the outcome of Verify.
type Report struct {
	Verdict Verdict `json:"verdict"`
	Session string  `json:"session,omitempty"`
	Records uint64  `json:"records"`             // that are whole, the seals among them
	Parts   int     `json:"parts"`               // the session's own, and one for each command that added to it later
	Last    string  `json:"last_hash,omitempty"` // of the records
	Signed  bool    `json:"signed"`              // every part's seal is, by the key that was asked for or by the one they name
	// Vouched are the records up to a good signature, and with it, before which no part stands that is not signed.
	Vouched uint64   `json:"records_signed"`
	Key     string   `json:"key,omitempty"`  // hex
	Gaps    []uint64 `json:"gaps,omitempty"` // the number of records before each part that follows one without a seal
	Torn    int      `json:"torn_bytes,omitempty"`
	Why     string   `json:"why,omitempty"`   // of a verdict that is not sealed
	Line    uint64   `json:"line,omitempty"`  // from 1, counted through all files: the first line that is not as it was
	Offset  int64    `json:"offset"`          // in bytes of all files, where that line begins; else where the whole records end
	Files   int      `json:"files,omitempty"` // of a log that has more than one
	File    string   `json:"file,omitempty"`  // of these, in which that line stands
}

// String is the report as a sentence without a full stop.
func (r Report) String() string {
	var b strings.Builder
	switch r.Verdict {
	case Sealed:
		fmt.Fprintf(&b, "sealed: %d records", r.Records)
	case Unsealed:
		fmt.Fprintf(&b, "unsealed %s: %s", r.End(), r.Why)
	case Broken:
		fmt.Fprintf(&b, "broken at record %d (line %d, byte %d): %s", r.Line-1, r.Line, r.Offset, r.Why)
	default:
		return "not verified"
	}
	if r.Vouched > 0 {
		fmt.Fprintf(&b, "; %d signed by %s", r.Vouched, r.Key)
	}
	return b.String()
}

// End says where a log that is not sealed has its first end without a seal: "after record 3".
func (r Report) End() string {
	before := r.Records
	if len(r.Gaps) > 0 {
		before = r.Gaps[0]
	}
	if before == 0 {
		return "before the first record"
	}
	return fmt.Sprintf("after record %d", before-1)
}

// Expected is what somebody else knows of a log.
type Expected struct {
	Key  ed25519.PublicKey // it must be signed by this one; nil: by any, or not
	Last string            // its last hash, in hex, from a place that its writer could not change; "": not known
}

// Verify reads a log to its end. The error is the reader's; a log that was tampered with is a Report.
func Verify(r io.Reader, want Expected) (Report, error) {
	v, err := examine(r, want)
	return v.report, err
}

func examine(r io.Reader, want Expected) (*verifier, error) {
	want.Last = strings.ToLower(want.Last)
	v := &verifier{report: Report{Verdict: Unsealed}, want: want, last: strings.Repeat("0", digits)}
	lines := newLines(r)
	for {
		line, err := lines.next()
		if err == nil {
			err = v.line(line)
			if err != nil {
				v.broken(err)
				return v, nil
			}
			v.report.Offset += int64(len(line)) + 1
			continue
		}
		var damaged *damagedError
		if errors.Is(err, errLong) || errors.As(err, &damaged) {
			v.broken(err)
			return v, nil
		}
		if !errors.Is(err, io.EOF) {
			return v, err
		}
		v.report.Torn = lines.torn()
		v.end()
		return v, nil
	}
}

type verifier struct {
	report   Report
	want     Expected
	last     string
	sealed   bool
	signer   ed25519.PublicKey // of the first signature in this part
	signedTo uint64            // the sequence number after the last signature, or of the part's first record
	unsigned bool              // a part before is not signed to its end
	rotated  bool              // the last record closes its file
	file     int               // the number that the last log.rotate named
	size     int64             // see resume
}

func (v *verifier) line(line []byte) error {
	r, err := parse(line)
	if err != nil {
		return err
	}
	switch {
	case r.Seq != v.report.Records && v.report.Records == 0 && string(r.Type) == (Begun{}).Type():
		return fmt.Errorf("it begins a further file, with record %d; the files before it are missing", r.Seq)
	case r.Seq != v.report.Records:
		return fmt.Errorf("it is record %d, where record %d belongs", r.Seq, v.report.Records)
	case r.Prev != v.last:
		return errors.New("it does not follow the record before it")
	case r.Seq > 0 && string(r.Session) != v.report.Session:
		return fmt.Errorf("it is of session %q", r.Session)
	}
	if err := errors.Join(v.turn(r), v.part(r)); err != nil {
		return err
	}
	if err := v.signature(r); err != nil {
		return err
	}
	v.last = r.Hash
	v.report.Session, v.report.Last = string(r.Session), r.Hash
	v.report.Records++
	return nil
}

// part checks where parts begin and end.
func (v *verifier) part(r Record) error {
	if string(r.Type) != (Continued{}).Type() {
		if v.sealed {
			return errors.New("it follows the seal")
		}
		v.report.Parts = max(1, v.report.Parts)
		return nil
	}
	e, err := r.Event()
	if err != nil {
		return err
	}
	c, ok := e.(*Continued)
	if !ok || c.Records != r.Seq || c.Sealed != v.sealed {
		return errors.New("it continues another log")
	}
	if !v.sealed {
		v.report.Gaps = append(v.report.Gaps, r.Seq)
	}
	v.unsigned = v.unsigned || v.report.Vouched != r.Seq
	v.sealed, v.signer, v.signedTo, v.report.Signed = false, nil, r.Seq, false
	v.report.Parts++
	return nil
}

// signature checks a seal or a checkpoint, and that one is not missing.
func (v *verifier) signature(r Record) error {
	kind := string(r.Type)
	if kind != (Seal{}).Type() && kind != (Checkpoint{}).Type() && kind != (Rotated{}).Type() {
		if v.key() != nil && r.Seq-v.signedTo >= checkpointEvery {
			return errors.New("a signature is missing before it")
		}
		return nil
	}
	e, err := r.Event()
	if err != nil {
		return err
	}
	s, ok := e.(signable)
	if !ok || s.get().Records != r.Seq {
		return errors.New("it counts other records")
	}
	v.sealed = kind == (Seal{}).Type()
	return v.signed(r, s.get())
}

func (v *verifier) signed(r Record, s signature) error {
	if len(s.PublicKey) == 0 && len(s.Signature) == 0 && (v.sealed || v.rotated) && v.key() == nil {
		return nil
	}
	if key := v.key(); key != nil && !bytes.Equal(key, s.PublicKey) {
		return errors.New("it is not signed by the expected key")
	}
	if key := hex.EncodeToString(s.PublicKey); v.report.Key != "" && v.report.Key != key {
		return errors.New("it is signed by another key than the part before")
	}
	prev, err := hex.DecodeString(v.last)
	if err != nil || len(prev) != len(r.Prev)/2 {
		return errForm
	}
	if len(s.PublicKey) != ed25519.PublicKeySize ||
		!ed25519.Verify(s.PublicKey, signedBytes(string(r.Type), string(r.Session), s.Records, [32]byte(prev)), s.Signature) {
		return errors.New("its signature is wrong")
	}
	v.signer, v.signedTo = s.PublicKey, r.Seq+1
	v.report.Key = hex.EncodeToString(s.PublicKey)
	v.report.Signed = v.sealed && !v.unsigned
	if !v.unsigned {
		v.report.Vouched = r.Seq + 1
	}
	return nil
}

// key is the one that must have signed: the expected one, or else that of the part's first signature.
func (v *verifier) key() ed25519.PublicKey {
	if v.want.Key != nil {
		return v.want.Key
	}
	return v.signer
}

func (v *verifier) broken(err error) {
	v.report.Verdict, v.report.Why, v.report.Line = Broken, err.Error(), v.report.Records+1
}

// end judges a log of which every line is good.
func (v *verifier) end() {
	switch {
	case v.want.Last != "" && v.want.Last != v.report.Last:
		v.broken(fmt.Errorf("the last hash is not %s", v.want.Last))
	case len(v.report.Gaps) > 0 && v.report.Gaps[0] == 0:
		v.report.Why = "the log of the session is missing; what was decided later is there"
	case len(v.report.Gaps) > 0:
		v.report.Why = "there is no seal, and a later part follows"
	case v.report.Torn > 0:
		v.report.Why = fmt.Sprintf("%d bytes of a record that was not written to its end follow", v.report.Torn)
	case v.sealed:
		v.report.Verdict = Sealed
	case v.rotated:
		v.report.Why = "the file that follows is missing, or was not begun"
	case v.report.Records == 0:
		v.report.Why = "it is empty"
	default:
		v.report.Why = "there is no seal"
	}
}
