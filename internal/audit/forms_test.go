package audit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A log that was closed and begun again since it was listed gets the number that follows, and takes nobody's place.
func TestShutBesideARotation(t *testing.T) {
	dir := longEnded(t, 60, Options{})
	packAll(t, dir)
	before := bytesOf(t, dir)
	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	now, err := s.find("s1")
	if err != nil {
		t.Fatal(err)
	}
	listed := Stored{Session: "s1", Files: now.Files[len(now.Files)-1:]}
	closed, err := Upkeep{Dir: dir}.shut(s, listed)
	if err != nil || len(closed) != 1 || closed[0].Number != now.last()+1 {
		t.Fatalf("%+v, %v", closed, err)
	}
	if err := s.pack(t.Context(), closed[0].Name); err != nil {
		t.Fatal(err)
	}
	if r := verifyAll(t, dir, Expected{}); r.Verdict != Sealed || !bytes.Equal(bytesOf(t, dir), before) {
		t.Errorf("%+v", r)
	}
}

// A number is taken in whichever form the file is there.
func TestNumbersAreTakenOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		there string
		want  error
	}{
		"nobody has it":                {"s1.000008.jsonl", nil},
		"a plain file has it":          {"s1.000009.jsonl", unix.EEXIST},
		"a compressed file has it":     {"s1.000009.jsonl.zst", unix.EEXIST},
		"one that is no file, and has": {"s1.000009.jsonl.zst/", unix.EEXIST},
	} {
		t.Run(name, func(t *testing.T) {
			dir := longEnded(t, 3, Options{})
			if path := filepath.Join(dir, tc.there); tc.there[len(tc.there)-1] == '/' {
				if err := os.Mkdir(path, 0o700); err != nil {
					t.Fatal(err)
				}
			} else {
				write(t, dir, tc.there, "another")
			}
			s, err := openStore(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			if err := s.shelve("s1.jsonl", "s1.000009.jsonl"); !errors.Is(err, tc.want) {
				t.Errorf("%v", err)
			}
		})
	}
}
