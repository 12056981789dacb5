package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const day = 24 * time.Hour

func TestUpkeepPicks(t *testing.T) {
	now := time.Unix(1e9, 0)
	log := func(name string, days int, size int64) standing {
		return standing{Stored: Stored{Session: name, Size: size, Changed: now.Add(-time.Duration(days) * day)}}
	}
	old, young := log("old", 100, 10), log("young", 5, 20)
	runs, kept, here := log("runs", 100, 50), log("kept", 120, 40), log("here", 110, 30)
	runs.runs, kept.kept = true, true
	all := []standing{young, old, runs, kept, here, log("younger", 1, 20)}
	for name, tc := range map[string]struct {
		u    Upkeep
		want []string
	}{
		"nothing is asked for":                              {Upkeep{}, nil},
		"what is too old":                                   {Upkeep{Retain: 90 * day}, []string{"old age"}},
		"nothing is that old":                               {Upkeep{Retain: 200 * day}, nil},
		"the oldest until the rest fits":                    {Upkeep{MaxSize: 110}, []string{"old size"}},
		"it fits as it is":                                  {Upkeep{MaxSize: 120}, nil},
		"what stays counts, too":                            {Upkeep{MaxSize: 90}, []string{"old size", "young size"}},
		"age comes first":                                   {Upkeep{Retain: 90 * day, MaxSize: 90}, []string{"old age", "young size"}},
		"what runs, is kept, or is nowhere else never goes": {Upkeep{Retain: day / 2, MaxSize: 1}, []string{"old age", "young age", "younger age"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, c := range tc.u.pick(all, now, func(log Stored) bool { return log.Session != "here" }) {
				got = append(got, c.Session+" "+c.Why)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// aged makes the log of a session that ended some days ago.
func aged(t testing.TB, dir, session string, days int) {
	t.Helper()
	l, err := Create(dir, Options{Session: session, Rotate: small})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		if err := l.Append(&Exec{UID: i, Argv: Texts([]string{"sh", "-c", "echo"})}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	backdate(t, dir, session, days)
}

func backdate(t testing.TB, dir, session string, days int) {
	t.Helper()
	files, err := find(dir, session)
	if err != nil {
		t.Fatal(err)
	}
	when := time.Now().Add(-time.Duration(days) * day)
	for _, f := range files.Files {
		if err := os.Chtimes(filepath.Join(dir, f.Name), when, when); err != nil {
			t.Fatal(err)
		}
	}
}

func sessions(t testing.TB, dir string) (names []string) {
	t.Helper()
	logs, err := Logs(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range logs {
		names = append(names, l.Session)
	}
	return names
}

// removals are what the log of removed logs says.
func removals(t testing.TB, dir string) (list []string) {
	t.Helper()
	path := Path(dir, RetentionLog)
	f, err := OpenAll(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for r, err := range Records(f) {
		if err != nil {
			t.Fatal(err)
		}
		if e, err := r.Event(); err == nil {
			if e, ok := e.(*Removed); ok {
				list = append(list, fmt.Sprintf("%s %s %s", e.Session, e.Why, e.Verdict))
			}
		}
	}
	return list
}

func TestUpkeep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	for session, days := range map[string]int{"gone": 100, "kept": 100, "runs": 0, "closed": 2, "fresh": 0} {
		aged(t, dir, session, days)
	}
	runs, err := Continue(dir, Options{Session: "runs"}, Continued{})
	if err != nil {
		t.Fatal(err)
	}
	defer runs.Close()
	backdate(t, dir, "runs", 100)
	last := verifyFile(t, Path(dir, "gone")).Last
	write(t, dir, ".closed.000009.jsonl.zst.tmp", "half of a file")
	u := Upkeep{Dir: dir, Retain: 90 * day, Keep: func(session string) bool { return session == "kept" }, Key: key()}
	for range 2 {
		if err := u.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"closed", "fresh", "kept", "runs"}, sessions(t, dir)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"gone age sealed"}, removals(t, dir)); diff != "" {
		t.Error(diff)
	}
	r, err := VerifyAll(Path(dir, RetentionLog), Expected{Key: publicKey()})
	if err != nil || r.Verdict != Sealed || r.Parts != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if data, _ := os.ReadFile(Path(dir, RetentionLog)); !bytes.Contains(data, []byte(last)) {
		t.Errorf("%s is not in %s", last, data)
	}
	for session, live := range map[string]bool{"closed": false, "fresh": true, "kept": true, "runs": true} {
		files, err := find(dir, session)
		if err != nil || files.live() != live || slices.ContainsFunc(files.Files, func(f File) bool { return f.Number > 0 && !f.Compressed }) {
			t.Errorf("%s: %+v, %v", session, files, err)
		}
		if r := verifyFile(t, Path(dir, session)); session != "runs" && r.Verdict != Sealed {
			t.Errorf("%s: %+v", session, r)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	files, _ := find(dir, "closed")
	if age := time.Since(files.Changed); age < day || age > 3*day {
		t.Errorf("compressed, it is %v old", age)
	}
}

func verifyFile(t testing.TB, path string) Report {
	t.Helper()
	r, err := VerifyAll(path, Expected{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What somebody tampered with, or a crash cut, is removed like the others, and the record says what it was.
func TestUpkeepRecordsWhatItRemoves(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	for _, session := range []string{"cut", "edited", "whole"} {
		aged(t, dir, session, 0)
	}
	data, err := os.ReadFile(Path(dir, "cut"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "cut.jsonl", string(data[:len(data)-20]))
	if data, err = os.ReadFile(Path(dir, "edited")); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "edited.jsonl", strings.Replace(string(data), "log.seal", "log.seam", 1))
	for _, session := range []string{"cut", "edited", "whole"} {
		backdate(t, dir, session, 100)
	}
	u := Upkeep{Dir: dir, Retain: 300 * day}
	if err := u.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if files, err := find(dir, "cut"); err != nil || files.live() {
		t.Errorf("it was not closed: %+v, %v", files, err)
	}
	if r := verifyFile(t, Path(dir, "cut")); r.Verdict != Unsealed || r.Torn > 0 || len(r.Gaps) != 1 || r.Parts != 2 {
		t.Errorf("half a record was closed: %+v", r)
	}
	logs, err := Logs(dir)
	if err != nil {
		t.Fatal(err)
	}
	var asked []Candidate
	for _, log := range logs {
		asked = append(asked, Candidate{log, ByAsked})
	}
	if err := u.Remove(t.Context(), asked); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"cut asked unsealed", "edited asked broken", "whole asked sealed"}, removals(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// Without a record nothing goes: not beside a record that somebody changed, and not where none can be written.
func TestUpkeepWithoutARecord(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	aged(t, dir, "a", 100)
	aged(t, dir, "b", 110)
	u := Upkeep{Dir: dir, Retain: 105 * day}
	if err := u.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(Path(dir, RetentionLog))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "retention.jsonl", strings.Replace(string(data), `"why":"age"`, `"why":"aga"`, 1))
	u.Retain = day
	if err := u.Run(t.Context()); err == nil || len(sessions(t, dir)) != 1 {
		t.Errorf("%v; there are %v", err, sessions(t, dir))
	}
	write(t, dir, "retention.jsonl", string(data))
	if err := u.Run(t.Context()); err != nil || len(sessions(t, dir)) != 0 {
		t.Errorf("as it was: %v; there are %v", err, sessions(t, dir))
	}
}

// Where there is no time, something is done all the same: one log goes, so that a long one does not stop the others for ever.
func TestUpkeepWithoutTime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	aged(t, dir, "a", 100)
	aged(t, dir, "b", 110)
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	u := Upkeep{Dir: dir, Retain: day}
	if err := u.Run(stopped); err != nil || len(sessions(t, dir)) != 2 {
		t.Fatalf("stopped: %v; there are %v", err, sessions(t, dir))
	}
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for range 2 {
		if err := u.Run(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"b age unverified", "a age unverified"}, removals(t, dir)); diff != "" || len(sessions(t, dir)) > 0 {
		t.Errorf("%s; there are %v", diff, sessions(t, dir))
	}
}

func TestTwoUpkeepsAtATime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	aged(t, dir, "a", 100)
	first, err := (Upkeep{Dir: dir}).hold()
	if err != nil {
		t.Fatal(err)
	}
	if err := (Upkeep{Dir: dir, Retain: day}).Run(t.Context()); !errors.Is(err, ErrBusy) || len(sessions(t, dir)) != 1 {
		t.Errorf("%v", err)
	}
	first.close()
	if err := (Upkeep{Dir: dir, Retain: day}).Run(t.Context()); err != nil || len(sessions(t, dir)) != 0 {
		t.Errorf("%v", err)
	}
	if err := (Upkeep{Dir: filepath.Join(dir, "nowhere")}).Run(t.Context()); err != nil {
		t.Errorf("without logs: %v", err)
	}
}

// Who adds a part while the log is being removed is refused, or has its record in what is there afterwards.
func TestContinueWhileUpkeepRemoves(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	added, refused := 0, 0
	for i := range 60 {
		session := fmt.Sprint("s", i)
		aged(t, dir, session, 100)
		logs, err := Logs(dir)
		if err != nil {
			t.Fatal(err)
		}
		removed := make(chan error, 1)
		go func() {
			removed <- Upkeep{Dir: dir}.Remove(t.Context(), []Candidate{{logs[len(logs)-1], ByAsked}})
		}()
		l, err := Continue(dir, Options{Session: session}, Continued{})
		if err == nil {
			err = errors.Join(l.Commit(&Discard{Changes: i}), l.Close())
		}
		<-removed
		if err != nil {
			refused++
			continue
		}
		added++
		if data := contents(t, dir, session); !bytes.Contains(data, []byte("workspace.discard")) {
			t.Fatalf("%s: its record is gone", session)
		}
		if r := verifyFile(t, Path(dir, session)); r.Verdict == Broken {
			t.Fatalf("%s: %+v", session, r)
		}
		if err := (Upkeep{Dir: dir}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d were added, %d refused", added, refused)
}

// BenchmarkUpkeep is what the end of a run pays where there is nothing to do.
func BenchmarkUpkeep(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "audit")
	data := written(b, 3, Options{})
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	for i := range 1000 {
		write(b, dir, fmt.Sprintf("s%d.jsonl", i), string(data))
	}
	for name, u := range map[string]Upkeep{"age": {Dir: dir, Retain: 90 * day}, "size": {Dir: dir, Retain: 90 * day, MaxSize: 1 << 30}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := u.Run(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// With an archive a log is closed as soon as its session is over, whatever anybody still has to decide; not while it lasts.
func TestUpkeepIsPrompt(t *testing.T) {
	for name, tc := range map[string]struct {
		prompt, lasts bool
		runs          bool // without a lock
		closed        bool
	}{
		"without an archive": {},
		"with one":           {prompt: true, closed: true},
		"while it lasts":     {prompt: true, lasts: true},
		"while it runs":      {prompt: true, runs: true},
	} {
		t.Run(name, func(t *testing.T) {
			l := create(t, Options{Session: "s1"})
			if err := l.Commit(&Ready{}); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Dir(l.Path())
			if tc.lasts {
				defer l.Close()
			} else if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if err := (Upkeep{Dir: dir, Prompt: tc.prompt, Keep: func(string) bool { return true }, Runs: func(string) bool { return tc.runs }}).Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			files, err := find(dir, "s1")
			if err != nil || files.live() == tc.closed {
				t.Errorf("%+v, %v", files, err)
			}
			if later, err := Continue(dir, Options{Session: "s1"}, Continued{}); (err == nil) == tc.lasts {
				t.Errorf("a decision: %v", err)
			} else if err == nil {
				later.Close()
				if r := verifyFile(t, Path(dir, "s1")); r.Verdict != Sealed || r.Parts != 2 {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}
