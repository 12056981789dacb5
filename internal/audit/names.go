package audit

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What the names of a log's files end with.
const (
	plainEnd  = ".jsonl"
	packedEnd = plainEnd + ".zst"
	partEnd   = ".tmp" // of a hidden name: a compression that was not finished
)

// RetentionLog is the name of the log in which a directory's removed logs are recorded. No session has it.
const RetentionLog = "retention"

// A File is one of a log's.
type File struct {
	Name       string
	Number     int // from 1, as they were closed; 0: the one that is written, or was the last
	Compressed bool
	Size       int64
	Changed    time.Time
}

// A Stored log is all files of one session in a directory.
type Stored struct {
	Session string
	Files   []File // in the order of their records
	Size    int64
	Changed time.Time // when the youngest of them was
}

// Path is where a session's log is in a directory: the file that is written, which is also the name of the whole log.
func Path(dir, session string) string { return filepath.Join(dir, session+plainEnd) }

// SessionOf is the session whose log a path is a file of, or "".
func SessionOf(path string) string {
	session, _, _, _ := parseName(filepath.Base(path))
	return session
}

func closedName(session string, number int) string {
	return fmt.Sprintf("%s.%06d%s", session, number, plainEnd)
}

func packedName(session string, number int) string {
	return fmt.Sprintf("%s.%06d%s", session, number, packedEnd)
}

// packedForm is the name of a closed file once it is compressed.
func packedForm(name string) string { return strings.TrimSuffix(name, plainEnd) + packedEnd }

func partName(packed string) string { return "." + packed + partEnd }

// parseName reads the name of one of a log's files.
func parseName(name string) (session string, number int, packed, ok bool) {
	rest, packed := strings.CutSuffix(name, packedEnd)
	if !packed {
		if rest, ok = strings.CutSuffix(name, plainEnd); !ok {
			return "", 0, false, false
		}
	}
	session, digits, closed := strings.Cut(rest, ".")
	if closed {
		number, _ = strconv.Atoi(digits)
		if number < 1 || fmt.Sprintf("%06d", number) != digits {
			return "", 0, false, false
		}
	}
	return session, number, packed, session != "" && session[0] != '.' && (closed || !packed) && !strings.ContainsRune(session, 0)
}

// isPart recognizes what a compression that was cut off leaves, and says of which session.
func isPart(name string) (session string, ok bool) {
	inner, hidden := strings.CutPrefix(name, ".")
	inner, part := strings.CutSuffix(inner, partEnd)
	session, number, packed, ok := parseName(inner)
	return session, ok && hidden && part && packed && number > 0
}

// Logs lists the logs of a directory by their sessions, RetentionLog left out.
func Logs(dir string) ([]Stored, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	return sessionLogs(entries), nil
}

func sessionLogs(entries []fs.DirEntry) []Stored {
	return stored(entries, func(session string) bool { return session != RetentionLog })
}

// stored groups a directory's entries. What is no regular file is no log.
func stored(entries []fs.DirEntry, want func(session string) bool) []Stored {
	by := map[string]*Stored{}
	for _, e := range entries {
		session, number, packed, ok := parseName(e.Name())
		if !ok || !e.Type().IsRegular() || !want(session) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // it was renamed or removed meanwhile
		}
		s := by[session]
		if s == nil {
			s = &Stored{Session: session}
			by[session] = s
		}
		s.Files = append(s.Files, File{Name: e.Name(), Number: number, Compressed: packed, Size: info.Size(), Changed: info.ModTime()})
	}
	list := make([]Stored, 0, len(by))
	for _, s := range by {
		s.complete()
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b Stored) int { return strings.Compare(a.Session, b.Session) })
	return list
}

// complete puts the files in order. Where a closed file is there in both forms its compression was not finished: the
// plain one counts.
func (s *Stored) complete() {
	slices.SortFunc(s.Files, func(a, b File) int {
		switch {
		case a.Number == b.Number && a.Compressed != b.Compressed:
			if a.Compressed {
				return 1
			}
			return -1
		case a.Number == 0:
			return 1
		case b.Number == 0:
			return -1
		}
		return a.Number - b.Number
	})
	for _, f := range s.Files {
		s.Size += f.Size
		if f.Changed.After(s.Changed) {
			s.Changed = f.Changed
		}
	}
	s.Files = slices.CompactFunc(s.Files, func(a, b File) bool { return a.Number == b.Number })
}

// last is the highest number of a closed file.
func (s Stored) last() int {
	n := 0
	for _, f := range s.Files {
		n = max(n, f.Number)
	}
	return n
}

// live reports whether the file that is written is there, or was the last of a session that has ended.
func (s Stored) live() bool {
	return len(s.Files) > 0 && s.Files[len(s.Files)-1].Number == 0
}

// find lists the files of one session.
func find(dir, session string) (Stored, error) {
	if dir == "" {
		dir = "."
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Stored{}, err
	}
	for _, s := range stored(entries, func(name string) bool { return name == session }) {
		return s, nil
	}
	return Stored{Session: session}, nil
}
