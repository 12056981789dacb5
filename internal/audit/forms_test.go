package audit

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

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

// What is locked is open for writing, without which NFS has no lock for one alone; and what nobody may write to is locked all the same.
func TestLocksForNFS(t *testing.T) {
	dir := longEnded(t, 3, Options{})
	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, mode := range []os.FileMode{0o600, 0o400} {
		if err := os.Chmod(Path(dir, "s1"), mode); err != nil {
			t.Fatal(err)
		}
		f, err := s.hold("s1.jsonl")
		if err != nil {
			t.Fatal(err)
		}
		flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
		if f.Close(); err != nil || mode == 0o600 && flags&unix.O_ACCMODE != unix.O_RDWR {
			t.Errorf("%o: %v, %v", mode, flags&unix.O_ACCMODE, err)
		}
	}
}

// Who looks, in the middle of a rotation, whether the session is over does not end its log.
func TestLookedAtWhileItIsMade(t *testing.T) {
	looks := make(chan error, 100)
	var dir string
	step := func(name string) {
		if name != "made" {
			return
		}
		f, err := os.Open(Path(dir, "s1"))
		if err == nil {
			err = lock(f)
		}
		looks <- err
		time.AfterFunc(20*time.Millisecond, func() { f.Close() })
	}
	l := create(t, Options{Rotate: small, step: step})
	dir = filepath.Dir(l.Path())
	for i := range 20 {
		if err := l.Commit(&Exec{UID: i, Argv: Texts([]string{"sh", "-c", "echo"})}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-looks; err != nil {
		t.Fatal(err)
	}
	if r := verifyAll(t, dir, Expected{}); r.Verdict != Sealed || r.Files < 2 {
		t.Errorf("%+v", r)
	}
}

// Where a compression was cut off behind its last but one step, the plain file goes. Where the two forms hold different things,
// somebody changed one of them: neither goes, and neither takes the place of the other.
func TestBothForms(t *testing.T) {
	dir := longEnded(t, 60, Options{})
	packAll(t, dir)
	name, packed := closedName("s1", 2), packedName("s1", 2)
	f, err := openClosed(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	plain, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(dir, packed))
	if err != nil {
		t.Fatal(err)
	}
	edited := bytes.Replace(plain, []byte("echo"), []byte("ecce"), 1)
	for what, tc := range map[string]struct {
		plain, packed []byte
		same          bool
	}{
		"the same":                           {plain, good, true},
		"the same, as another program packs": {plain, sized(t, plain), true},
		"the plain one was changed":          {edited, good, false},
		"the plain one was cut":              {plain[:len(plain)-1], good, false},
		"the packed one was changed":         {plain, sized(t, edited), false},
		"the packed one is no such file":     {plain, []byte("this is no such file"), false},
	} {
		t.Run(what, func(t *testing.T) {
			write(t, dir, name, string(tc.plain))
			write(t, dir, packed, string(tc.packed))
			if err := (Upkeep{Dir: dir}).Run(t.Context()); (err == nil) != tc.same {
				t.Errorf("%v", err)
			}
			if is, err := os.ReadFile(filepath.Join(dir, packed)); err != nil || !bytes.Equal(is, tc.packed) {
				t.Errorf("the packed one is another: %v", err)
			}
			is, err := os.ReadFile(filepath.Join(dir, name))
			if tc.same != errors.Is(err, os.ErrNotExist) || !tc.same && !bytes.Equal(is, tc.plain) {
				t.Errorf("the plain one is another: %v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
				t.Errorf("left are %v", left)
			}
		})
	}
}
