package audit

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
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
	Records uint64  `json:"records"` // that are whole, the seal among them
	Last    string  `json:"last_hash,omitempty"`
	Signed  bool    `json:"signed"`           // by the key that was asked for, or by the one it names
	Key     string  `json:"key,omitempty"`    // hex
	Why     string  `json:"why,omitempty"`    // of a verdict that is not sealed
	Line    uint64  `json:"line,omitempty"`   // from 1: the first line that is not as it was
	Offset  int64   `json:"offset,omitempty"` // in bytes, of that line
}

// Expected is what somebody else knows of a log.
type Expected struct {
	Key  ed25519.PublicKey // it must be signed by this one; nil: by any, or not
	Last string            // its last hash, in hex, from a place that its writer could not change; "": not known
}

// maxLine bounds what is held of one line: a command line can reach two mebibytes, and escapes take six bytes for one.
const maxLine = 16 << 20

// Verify reads a log to its end. The error is the reader's; a log that was tampered with is a Report.
func Verify(r io.Reader, want Expected) (Report, error) {
	v := verifier{report: Report{Verdict: Unsealed}, want: want}
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, whole, err := readLine(lines)
		if err != nil && !errors.Is(err, io.EOF) {
			if errors.Is(err, errLong) {
				return v.broken(err), nil
			}
			return v.report, err
		}
		if len(line) == 0 && !whole {
			break
		}
		if !whole {
			v.report.Why = fmt.Sprintf("%d bytes of a record that was being written follow record %d", len(line), v.report.Records)
			v.torn = true
			break
		}
		if err := v.line(line); err != nil {
			return v.broken(err), nil
		}
		v.offset += int64(len(line)) + 1
	}
	return v.end(), nil
}

var errLong = errors.New("the line is longer than a record can be")

// readLine reads up to a newline; whole says that there was one.
func readLine(r *bufio.Reader) (line []byte, whole bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, false, errLong
		}
		switch {
		case err == nil:
			return line[:len(line)-1], true, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return line, false, err
		}
	}
}

type verifier struct {
	report Report
	want   Expected
	last   [sha256.Size]byte
	sealed bool
	torn   bool
	offset int64
}

func (v *verifier) line(line []byte) error {
	if v.sealed {
		return errors.New("it follows the seal")
	}
	r, err := ParseRecord(line)
	if err != nil {
		return err
	}
	switch {
	case r.Seq != v.report.Records:
		return fmt.Errorf("it is record %d, where record %d belongs", r.Seq, v.report.Records)
	case r.Prev != hex.EncodeToString(v.last[:]):
		return errors.New("it does not follow the record before it")
	case v.report.Session != "" && string(r.Session) != v.report.Session:
		return fmt.Errorf("it is of session %q", r.Session)
	}
	if r.Type == Text(Seal{}.Type()) {
		if err := v.seal(r); err != nil {
			return err
		}
	}
	sum, err := hex.DecodeString(r.Hash)
	if err != nil {
		return err
	}
	v.last = [sha256.Size]byte(sum)
	v.report.Session, v.report.Last = string(r.Session), r.Hash
	v.report.Records++
	return nil
}

func (v *verifier) seal(r Record) error {
	e, err := r.Event()
	if err != nil {
		return err
	}
	s, ok := e.(*Seal)
	if !ok || s.Records != r.Seq {
		return errors.New("the seal counts other records")
	}
	v.sealed = true
	if len(s.PublicKey) == 0 && len(s.Signature) == 0 {
		return nil
	}
	if len(s.PublicKey) != ed25519.PublicKeySize || !ed25519.Verify(s.PublicKey, signedBytes(string(r.Session), s.Records, v.last), s.Signature) {
		return errors.New("the seal's signature is wrong")
	}
	v.report.Signed, v.report.Key = true, hex.EncodeToString(s.PublicKey)
	return nil
}

func (v *verifier) broken(err error) Report {
	v.report.Verdict, v.report.Why = Broken, err.Error()
	v.report.Line, v.report.Offset = v.report.Records+1, v.offset
	return v.report
}

// end judges a log of which every line is good.
func (v *verifier) end() Report {
	switch {
	case v.want.Last != "" && v.want.Last != v.report.Last:
		return v.broken(fmt.Errorf("the last hash is not %s", v.want.Last))
	case v.sealed && v.torn:
		return v.broken(errors.New("bytes follow the seal"))
	case v.sealed && v.want.Key != nil && !bytes.Equal(v.want.Key, v.key()):
		return v.broken(errors.New("it is not signed by the expected key"))
	case v.sealed:
		v.report.Verdict = Sealed
	case v.report.Records == 0 && v.report.Why == "":
		v.report.Why = "it is empty"
	case v.report.Why == "":
		v.report.Why = fmt.Sprintf("the log ends after record %d without a seal", v.report.Records-1)
	}
	return v.report
}

func (v *verifier) key() []byte {
	key, err := hex.DecodeString(v.report.Key)
	if err != nil {
		return nil
	}
	return key
}
