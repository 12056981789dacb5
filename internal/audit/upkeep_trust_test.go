package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Half a record of a signed log is cut off by a part that its key signs, or not at all: to who has the key, a part without a signature
// is somebody else's.
func TestUpkeepOfASignedLog(t *testing.T) {
	another := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, ed25519.SeedSize))
	for name, tc := range map[string]struct {
		key  ed25519.PrivateKey
		want bool
	}{"its key": {key(), true}, "no key": {nil, false}, "another key": {another, false}} {
		t.Run(name, func(t *testing.T) {
			dir := longEnded(t, 60, Options{Key: key()})
			data, err := os.ReadFile(Path(dir, "s1"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, "s1.jsonl", string(data[:len(data)-20]))
			if err := (Upkeep{Dir: dir, Prompt: true, Key: tc.key}).Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			files, err := find(dir, "s1")
			if err != nil || files.live() == tc.want {
				t.Errorf("%+v, %v", files, err)
			}
			r := verifyAll(t, dir, Expected{Key: publicKey()})
			if r.Verdict != Unsealed || (r.Torn == 0) != tc.want {
				t.Errorf("%+v", r)
			}
		})
	}
}

// A removal that nobody recorded is none: the rest of a log goes only by a record that nobody changed.
func TestForgedRemoval(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	aged(t, dir, "gone", 100)
	aged(t, dir, "here", 3)
	u := Upkeep{Dir: dir, Retain: 90 * day}
	if err := u.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := Path(dir, RetentionLog)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	line, _ := appendRecord(nil, record{seq: 2, time: time.Now(), session: RetentionLog, kind: (Removed{}).Type(), data: []byte(`{"session":"here"}`)})
	write(t, dir, "retention.jsonl", string(good)+string(line))
	if err := u.Run(t.Context()); !errors.Is(err, ErrTampered) || len(sessions(t, dir)) != 1 {
		t.Errorf("%v; there are %v", err, sessions(t, dir))
	}
	write(t, dir, "retention.jsonl", string(good))
	ledger, err := u.ledger()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(ledger.Commit(&Removed{Session: "here"}), ledger.Close(), u.Run(t.Context())); err != nil || len(sessions(t, dir)) != 0 {
		t.Errorf("by a record: %v; there are %v", err, sessions(t, dir))
	}
}

// Whether a log is in the archive may mean to read all of it: only what is to go is asked about, and only while there is time.
func TestUpkeepAsksTheArchive(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	for i, session := range []string{"a", "b", "c", "d"} {
		aged(t, dir, session, 10-i)
	}
	logs, err := Logs(dir)
	if err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	for _, log := range logs {
		total += log.Size
	}
	over, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for name, tc := range map[string]struct {
		ctx    context.Context
		retain time.Duration
		has    bool
		asked  []string
	}{
		"one log is too much":            {t.Context(), 0, true, []string{"a"}},
		"one that is nowhere else stays": {t.Context(), 0, false, []string{"a", "b", "c", "d"}},
		"all are too old":                {t.Context(), day, true, []string{"a", "b", "c", "d"}},
		"there is no time":               {over, day, true, []string{"a"}},
		"it was stopped":                 {stopped, day, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			u := Upkeep{Dir: dir, Retain: tc.retain, MaxSize: total - 1, Shipped: func(name string) bool {
				if session := SessionOf(name); !slices.Contains(asked, session) {
					asked = append(asked, session)
				}
				return tc.has
			}}
			chosen, err := u.Choose(tc.ctx)
			if diff := cmp.Diff(tc.asked, asked); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
			if want := map[bool]int{true: len(tc.asked)}[tc.has]; len(chosen) != want {
				t.Errorf("%d were chosen", len(chosen))
			}
		})
	}
}
