package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentbox/internal/boxtest"
)

func TestVerify(t *testing.T) {
	plain := written(t, 5, Options{}) // 0…4, seal
	signed := written(t, 5, Options{Key: key()})
	lines := bytes.SplitAfter(plain, []byte("\n")) // and an empty one
	slines := bytes.SplitAfter(signed, []byte("\n"))
	join := func(lines [][]byte, order ...int) (b []byte) {
		for _, i := range order {
			b = append(b, lines[i]...)
		}
		return b
	}
	hash := func(line []byte) string { return string(line[len(line)-67 : len(line)-3]) }
	ours, stranger := publicKey(), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, 32))
	for name, tc := range map[string]struct {
		log     []byte
		want    Expected
		verdict Verdict
		line    uint64
	}{
		"a whole log is sealed":               {plain, Expected{}, Sealed, 0},
		"a signed log is sealed":              {signed, Expected{}, Sealed, 0},
		"signed by the expected key":          {signed, Expected{Key: ours}, Sealed, 0},
		"signed by another":                   {signed, Expected{Key: ed25519.PublicKey(stranger[32:])}, Broken, 6},
		"not signed, where that is expected":  {plain, Expected{Key: ours}, Broken, 6},
		"the last hash was noted":             {plain, Expected{Last: hash(lines[5])}, Sealed, 0},
		"the last hash was noted in capitals": {plain, Expected{Last: strings.ToUpper(hash(lines[5]))}, Sealed, 0},
		"another last hash was noted":         {plain, Expected{Last: strings.Repeat("0", 64)}, Broken, 7},
		"the end is cut":                      {join(lines, 0, 1, 2, 3), Expected{}, Unsealed, 0},
		"a record is half written":            {append(join(lines, 0, 1, 2), lines[3][:20]...), Expected{}, Unsealed, 0},
		"a block of zeros at the end":         {append(join(lines, 0, 1, 2), make([]byte, 4096)...), Expected{}, Unsealed, 0},
		"it is empty":                         {nil, Expected{}, Unsealed, 0},
		"the beginning is cut":                {join(lines, 1, 2, 3, 4, 5), Expected{}, Broken, 1},
		"a record is missing":                 {join(lines, 0, 1, 3, 4, 5), Expected{}, Broken, 3},
		"two records are exchanged":           {join(lines, 0, 2, 1, 3, 4, 5), Expected{}, Broken, 2},
		"a record is there twice":             {join(lines, 0, 1, 1, 2, 3, 4, 5), Expected{}, Broken, 3},
		"an empty line":                       {append(join(lines, 0, 1), "\n"...), Expected{}, Broken, 3},
		"something follows the seal":          {join(lines, 0, 1, 2, 3, 4, 5, 5), Expected{}, Broken, 7},
		"a part was begun after the seal":     {append(bytes.Clone(plain), 'x'), Expected{}, Unsealed, 0},
		"a record is edited":                  {bytes.Replace(plain, []byte("echo 2"), []byte("echo 9"), 1), Expected{}, Broken, 3},
		"a blank is added":                    {bytes.Replace(plain, []byte(`"seq":1,`), []byte(`"seq": 1,`), 1), Expected{}, Broken, 2},
		"ends of lines as on Windows":         {bytes.ReplaceAll(plain, []byte("\n"), []byte("\r\n")), Expected{}, Broken, 1},
		"a record of another log":             {join(append(slices.Clone(lines), slines...), 0, 1, 9), Expected{}, Broken, 3},
		"a seal of a log with fewer records":  {join(lines, 0, 1, 2, 5), Expected{}, Broken, 4},
		"another version":                     {bytes.Replace(plain, []byte(`{"v":1,`), []byte(`{"v":2,`), 1), Expected{}, Broken, 1},
		"it is no log":                        {[]byte("hello\n"), Expected{}, Broken, 1},
		"a line longer than a record can be":  {bytes.Repeat([]byte("x"), maxLine+2), Expected{}, Broken, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := verify(t, tc.log, tc.want)
			if r.Verdict != tc.verdict || r.Line != tc.line || (r.Why == "") != (tc.verdict == Sealed) {
				t.Errorf("%+v", r)
			}
			if at := bytes.Count(tc.log[:r.Offset], []byte("\n")); tc.line > 0 && at != int(tc.line)-1 {
				t.Errorf("byte %d is in line %d: %v", r.Offset, at+1, r)
			}
		})
	}
}

// rechained is a log as a forger would make it who edits lines and has all hashes, but not the key.
func rechained(lines []string) []byte {
	var b []byte
	prev := strings.Repeat("0", 64)
	for i, line := range lines {
		var r Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return nil
		}
		var sum [32]byte
		from, _ := hex.DecodeString(prev)
		b, sum = appendRecord(b, record{seq: uint64(i), time: r.Time, elapsed: r.Elapsed, session: string(r.Session),
			kind: string(r.Type), data: r.Data, prev: [32]byte(from)})
		prev = hex.EncodeToString(sum[:])
	}
	return b
}

// Whoever makes a new chain is found out by the key, and by nothing else.
func TestRewrittenLog(t *testing.T) {
	whole := strings.Split(strings.TrimSpace(string(written(t, 3000, Options{Key: key()}))), "\n")
	plain := strings.Split(strings.TrimSpace(string(written(t, 3, Options{}))), "\n")
	edited := slices.Clone(whole)
	edited[2000] = strings.Replace(edited[2000], "echo", "true", 1)
	unsigned := slices.DeleteFunc(slices.Clone(whole), func(s string) bool { return strings.Contains(s, "log.checkpoint") })
	asSeal := slices.Clone(whole[:1025])
	asSeal[1024] = strings.Replace(asSeal[1024], "log.checkpoint", "log.seal", 1)
	longTail := slices.Clone(whole[:1025])
	for len(longTail) < 2060 {
		longTail = append(longTail, whole[5])
	}
	for name, tc := range map[string]struct {
		log    []byte
		want   Expected
		report Report
	}{
		"without a key nothing shows":                   {rechained(append(plain[:2:2], strings.Replace(plain[3], `"records":3`, `"records":2`, 1))), Expected{}, Report{Verdict: Sealed}},
		"the same log again":                            {rechained(whole), Expected{Key: publicKey()}, Report{Verdict: Sealed}},
		"an edit shows at the next checkpoint":          {rechained(edited), Expected{}, Report{Verdict: Broken, Line: 2050, Why: "its signature is wrong"}},
		"signatures are left out":                       {rechained(unsigned), Expected{Key: publicKey()}, Report{Verdict: Broken, Line: 1025, Why: "a signature is missing before it"}},
		"a checkpoint's signature does not seal":        {rechained(asSeal), Expected{}, Report{Verdict: Broken, Line: 1025, Why: "its signature is wrong"}},
		"records added after a cut need a signature":    {rechained(longTail), Expected{}, Report{Verdict: Broken, Line: 2050, Why: "a signature is missing before it"}},
		"a cut says how far the signatures of it reach": {rechained(whole[:1500]), Expected{Key: publicKey()}, Report{Verdict: Unsealed, Vouched: 1025, Why: "there is no seal"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := verify(t, tc.log, tc.want)
			got := Report{Verdict: r.Verdict, Line: r.Line, Why: r.Why}
			if tc.report.Vouched > 0 {
				got.Vouched = r.Vouched
			}
			if diff := cmp.Diff(tc.report, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReportInWords(t *testing.T) {
	whole := written(t, 2, Options{})
	signed := written(t, 1, Options{Key: key()})
	for want, log := range map[string][]byte{
		"sealed: 3 records": whole,
		"sealed: 2 records; 2 signed by " + hex.EncodeToString(publicKey()):                      signed,
		"unsealed before the first record: it is empty":                                          nil,
		"unsealed after record 1: there is no seal":                                              whole[:bytes.LastIndexByte(whole[:len(whole)-1], '\n')+1],
		"unsealed after record 1: 5 bytes of a record that was not written to its end follow":    whole[:bytes.LastIndexByte(whole[:len(whole)-1], '\n')+6],
		"broken at record 0 (line 1, byte 0): its bytes are not those that its hash was made of": bytes.Replace(whole, []byte("echo"), []byte("true"), 1),
		"broken at record 0 (line 1, byte 0): it is not a record":                                []byte("\n"),
	} {
		if got := verify(t, log, Expected{}).String(); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

// A log is as it was written, or verification names the line with the first byte that is not.
func TestAnyEditShows(t *testing.T) {
	whole := written(t, 20, Options{Key: key()})
	random := rand.New(rand.NewPCG(3, 4))
	lines := slices.Collect(bytes.Lines(whole))
	other := func(n int) int { return (n + 1 + random.IntN(len(lines)-1)) % len(lines) }
	for name, edit := range map[string]func(at, n int) []byte{
		"a bit":  func(at, _ int) []byte { return change(whole, at, whole[at]^1<<random.IntN(8)) },
		"a byte": func(at, _ int) []byte { return change(whole, at, whole[at]+byte(1+random.IntN(255))) },
		"bytes are gone": func(at, _ int) []byte {
			return slices.Delete(bytes.Clone(whole), at, min(len(whole), at+1+random.IntN(300)))
		},
		"the end is gone": func(at, _ int) []byte { return whole[:at] },
		"bytes are new": func(at, _ int) []byte {
			return slices.Insert(bytes.Clone(whole), at, bytes.Repeat([]byte{byte(random.Uint32())}, 1+random.IntN(3))...)
		},
		"a line is new":         func(_, n int) []byte { return bytes.Join(slices.Insert(slices.Clone(lines), n, []byte("{}\n")), nil) },
		"a line is there twice": func(_, n int) []byte { return bytes.Join(slices.Insert(slices.Clone(lines), n, lines[n]), nil) },
		"a line is gone":        func(_, n int) []byte { return bytes.Join(slices.Delete(slices.Clone(lines), n, n+1), nil) },
		"two lines are exchanged": func(_, n int) []byte {
			b, m := slices.Clone(lines), other(n)
			b[n], b[m] = b[m], b[n]
			return bytes.Join(b, nil)
		},
		"a line is elsewhere": func(_, n int) []byte {
			return bytes.Join(slices.Insert(slices.Delete(slices.Clone(lines), n, n+1), other(n), lines[n]), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 1000 {
				edited := edit(random.IntN(len(whole)), random.IntN(len(lines)))
				same := 0
				for same < min(len(whole), len(edited)) && whole[same] == edited[same] {
					same++
				}
				line := uint64(bytes.Count(whole[:same], []byte("\n"))) + 1
				r := verify(t, edited, Expected{})
				if r.Verdict == Sealed || r.Verdict == Broken && r.Line != line || r.Verdict == Unsealed && r.Records != line-1 {
					t.Fatalf("an edit at byte %d, line %d: %v\n%q", same, line, r, edited)
				}
			}
		})
	}
}

func change(b []byte, at int, to byte) []byte {
	b = bytes.Clone(b)
	b[at] = to
	return b
}

// A writer that dies at any byte leaves a log that reads up to the last whole record.
func TestCutAtAnyByte(t *testing.T) {
	whole := written(t, 3, Options{Key: key()})
	for at := range whole {
		r := verify(t, whole[:at], Expected{Key: publicKey()})
		if want := uint64(bytes.Count(whole[:at], []byte("\n"))); r.Verdict != Unsealed || r.Records != want {
			t.Fatalf("cut at %d: %+v, not %d records", at, r, want)
		}
		n := uint64(0)
		for _, err := range Records(bytes.NewReader(whole[:at])) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != r.Records {
			t.Fatalf("cut at %d: %d records are read, %d verified", at, n, r.Records)
		}
	}
}

func FuzzVerify(f *testing.F) {
	whole := written(f, 2, Options{Key: key()})
	f.Add(whole)
	f.Add(rechained(strings.Split(strings.TrimSpace(string(whole)), "\n")[:2]))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := verify(t, data, Expected{Key: publicKey()})
		n := uint64(0)
		for rec, err := range Records(bytes.NewReader(data)) {
			if err == nil {
				n++
				_, _ = rec.Event()
			}
		}
		if r.Verdict == "" || n < r.Records || r.Verdict == Sealed && sha256.Sum256(data) != sha256.Sum256(whole) && !r.Signed {
			t.Errorf("%+v; %d records can be read", r, n)
		}
	})
}

// A line that is accepted is the only one that says what it says.
func FuzzParseRecord(f *testing.F) {
	for line := range bytes.Lines(written(f, 2, Options{Key: key()})) {
		f.Add(bytes.TrimSpace(line))
	}
	f.Add(rehashed([]byte(`{"v":1,"seq":0,"time":"0000-01-01T00:00:00,000000000Z","elapsed":1000,"session":"00","type":"","data":{},"prev":"` + strings.Repeat("0", 64) + `"` + strings.Repeat("x", tail))))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := ParseRecord(line)
		if err != nil {
			line = rehashed(line) // most edits break the hash: what is behind it is wanted, too
			if r, err = ParseRecord(line); err != nil {
				return
			}
		}
		prev, err := hex.DecodeString(r.Prev)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := appendRecord(nil, record{seq: r.Seq, time: r.Time, elapsed: r.Elapsed, session: string(r.Session),
			kind: string(r.Type), data: r.Data, prev: [32]byte(prev)})
		if string(again) != string(line)+"\n" {
			t.Errorf("%q\n%q", line, again)
		}
	})
}

// rehashed gives a line the hash that it should have.
func rehashed(line []byte) []byte {
	head := line[:max(0, len(line)-tail)]
	sum := sha256.Sum256(head)
	return append(hex.AppendEncode(append(bytes.Clone(head), hashMark...), sum[:]), endMark...)
}

// The page that describes the format holds a verifier, which agrees with this one.
func TestVerifierOfTheManual(t *testing.T) {
	boxtest.Need(t, boxtest.Python)
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "audit-log.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```python\n")
	script, _, _ := strings.Cut(rest, "```")
	whole := written(t, 3, Options{})
	lines := slices.Collect(bytes.Lines(whole))
	sealed, died := ended(t, nil, false), ended(t, nil, true)
	rotated := longEnded(t, 30, Options{})
	files := bytesOf(t, rotated)
	second := bytes.Index(files, []byte(`"type":"log.file"`))
	second = bytes.LastIndexByte(files[:second], '\n') + 1
	turn := bytes.Count(files[:second], []byte("\n"))
	for want, log := range map[string][]byte{
		"":  decided(t, sealed, nil),
		" ": files,
		fmt.Sprintf("unsealed after record %d\n", turn-1): files[:second],
		fmt.Sprintf("broken at line %d\n", turn+1):        bytes.Replace(files, []byte(`"type":"log.file"`), []byte(`"type":"log.fire"`), 1),
		"unsealed after record 3\n":                       decided(t, died, nil),
		"broken at line 6\n":                              bytes.Replace(decided(t, sealed, nil), []byte(`"sealed":true`), []byte(`"sealed":null`), 1),
		"unsealed after record 4\n":                       append(bytes.Join(slices.Collect(bytes.Lines(decided(t, sealed, nil)))[:5], nil), '{'),
		"unsealed after record 1\n":                       bytes.Join(lines[:2], nil),
		"unsealed after record 0\n":                       whole[:len(lines[0])+9],
		"broken at line 3\n":                              bytes.Replace(whole, []byte("echo 2"), []byte("echo 9"), 1),
		"broken at line 2\n":                              bytes.Join([][]byte{lines[0], lines[2]}, nil),
		"broken at line 5\n":                              append(bytes.Clone(whole), lines[3]...),
	} {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, log, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("python3", "-c", script, path).CombinedOutput()
		want = strings.TrimLeft(want, " ")
		if string(out) != want || (err == nil) != (want == "") {
			t.Errorf("%q, %v, not %q; %v", out, err, want, verify(t, log, Expected{}))
		}
	}
}
