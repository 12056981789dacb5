package textdiff

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// unified writes a diff's body as the package's users do.
func unified(a, b []byte, context int) string {
	x, y := Lines(a), Lines(b)
	var out strings.Builder
	for _, h := range Hunks(x, y, context) {
		out.WriteString(h.Header(x) + "\n")
		h.Write(x, y, func(kind byte, text string) {
			out.WriteByte(kind)
			out.WriteString(text)
			if !strings.HasSuffix(text, "\n") {
				out.WriteString("\n" + NoNewline)
			}
		})
	}
	return out.String()
}

func TestUnified(t *testing.T) {
	tests := map[string]struct{ a, b, want string }{
		"equal texts have no hunk":                  {"a\nb\n", "a\nb\n", ""},
		"a first line":                              {"", "a\n", "@@ -0,0 +1 @@\n+a\n"},
		"the last line goes":                        {"a\n", "", "@@ -1 +0,0 @@\n-a\n"},
		"a line feed at the end":                    {"a", "a\n", "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n"},
		"context is three lines":                    {"1\n2\n3\n4\n5\n6\n7\n8\n", "1\n2\n3\n4\nx\n6\n7\n8\n", "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n"},
		"the head of the function above is named":   {"func f() {\n 1\n 2\n 3\n 4\n 5\n}\n", "func f() {\n 1\n 2\n 3\n 4\n x\n}\n", "@@ -3,5 +3,5 @@ func f() {\n  2\n  3\n  4\n- 5\n+ x\n }\n"},
		"a carriage return is part of the line":     {"a\r\n", "a\n", "@@ -1 +1 @@\n-a\r\n+a\n"},
		"lines that are not UTF-8 stay as they are": {"\xff\n", "\xfe\n", "@@ -1 +1 @@\n-\xff\n+\xfe\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, unified([]byte(test.a), []byte(test.b), 3)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	a, b := Lines([]byte("1\n2\n3\n4\n5\n6\n7\n8\n9\n")), Lines([]byte("one\n2\n3\n4\n5\n6\n7\n8\nnine\n"))
	hunks := Hunks(a, b, 1)
	for want, chosen := range map[string][]int{
		"1\n2\n3\n4\n5\n6\n7\n8\n9\n":      nil,
		"one\n2\n3\n4\n5\n6\n7\n8\n9\n":    {0},
		"1\n2\n3\n4\n5\n6\n7\n8\nnine\n":   {1},
		"one\n2\n3\n4\n5\n6\n7\n8\nnine\n": {1, 0},
	} {
		got, err := Choose(a, b, hunks, chosen)
		if err != nil || string(got) != want {
			t.Errorf("%v: %q, %v", chosen, got, err)
		}
	}
	if _, err := Choose(a, b, hunks, []int{2}); err == nil {
		t.Error("a hunk that is not there was chosen")
	}
}

func TestMerge(t *testing.T) {
	const base = "1\n2\n3\n4\n5\n"
	tests := map[string]struct {
		ours, theirs, want string
		conflicts          int
	}{
		"only theirs changed":              {base, "1\n2\nx\n4\n5\n", "1\n2\nx\n4\n5\n", 0},
		"only ours changed":                {"1\n2\nx\n4\n5\n", base, "1\n2\nx\n4\n5\n", 0},
		"both, at different places":        {"x\n2\n3\n4\n5\n", "1\n2\n3\n4\ny\n", "x\n2\n3\n4\ny\n", 0},
		"both made the same change":        {"1\nx\n3\n4\n5\n", "1\nx\n3\n4\n5\n", "1\nx\n3\n4\n5\n", 0},
		"both changed the same line":       {"1\nx\n3\n4\n5\n", "1\ny\n3\n4\n5\n", "", 1},
		"touching lines are a conflict":    {"1\nx\n3\n4\n5\n", "1\n2\ny\n4\n5\n", "", 1},
		"one removed what the other wrote": {"1\n3\n4\n5\n", "1\nx\n3\n4\n5\n", "", 1},
		"both wrote at the end":            {base + "x\n", base + "y\n", "", 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, conflicts := Merge([]byte(base), []byte(test.ours), []byte(test.theirs))
			if string(got) != test.want || len(conflicts) != test.conflicts {
				t.Errorf("%q, %+v", got, conflicts)
			}
		})
	}
}

func TestAHostileTextDoesNotTakeForever(t *testing.T) {
	var a, b []string // no line is unique, and hardly any order is shared
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		a, b = append(a, fmt.Sprintln(r.IntN(50))), append(b, fmt.Sprintln(r.IntN(50)))
	}
	check(t, a, b, Matches(a, b))
}

func TestMatchesAreShortest(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		a, b := randomLines(r, 4), randomLines(r, 4)
		s := search{budget: budget}
		s.a, s.b = intern(a, b)
		s.forward, s.back = make([]int32, len(a)+len(b)+3), make([]int32, len(a)+len(b)+3)
		s.compare(box{0, len(a), 0, len(b)})
		check(t, a, b, s.found)
		n := 0
		for _, m := range s.found {
			n += m.N
		}
		if want := longest(a, b); n != want {
			t.Fatalf("%q and %q: %d common lines, there are %d", a, b, n, want)
		}
	}
}

func randomLines(r *rand.Rand, letters int) []string {
	out := make([]string, r.IntN(12))
	for i := range out {
		out[i] = string(rune('a'+r.IntN(letters))) + "\n"
	}
	return out
}

// longest is the length of a longest common subsequence, the slow way.
func longest(a, b []string) int {
	row := make([]int, len(b)+1)
	for _, x := range a {
		diagonal := 0
		for j, y := range b {
			above := row[j+1]
			if x == y {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(above, row[j])
			}
			diagonal = above
		}
	}
	return row[len(b)]
}

func check(t *testing.T, a, b []string, matches []Match) {
	t.Helper()
	endA, endB := 0, 0
	for _, m := range matches {
		if m.A < endA || m.B < endB || m.N < 1 {
			t.Fatalf("%+v overlaps what is before it", m)
		}
		for i := range m.N {
			if a[m.A+i] != b[m.B+i] {
				t.Fatalf("%+v: line %d differs", m, i)
			}
		}
		endA, endB = m.A+m.N, m.B+m.N
	}
}

// patch applies a unified diff strictly: the oracle of the fuzz test.
func patch(a []byte, diff string) ([]byte, error) {
	head := regexp.MustCompile(`^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@`)
	old := Lines(a)
	var out strings.Builder
	at := 0
	lines := Lines([]byte(diff))
	for i, l := range lines {
		noEnd := i+1 < len(lines) && lines[i+1] == NoNewline
		text := l[1:]
		if noEnd {
			text = strings.TrimSuffix(text, "\n")
		}
		switch l[0] {
		case '@':
			m := head.FindStringSubmatch(l)
			start, _ := strconv.Atoi(m[1])
			if m[2] != "0" {
				start--
			}
			out.WriteString(strings.Join(old[at:start], ""))
			at = start
		case '+':
			out.WriteString(text)
		case ' ', '-':
			if at >= len(old) || old[at] != text {
				return nil, errors.New("the diff does not fit: " + l)
			}
			if at++; l[0] == ' ' {
				out.WriteString(text)
			}
		}
	}
	out.WriteString(strings.Join(old[at:], ""))
	return []byte(out.String()), nil
}

func FuzzDiffThenPatch(f *testing.F) {
	f.Add([]byte("a\nb\nc\n"), []byte("a\nx\nc"), uint8(3))
	f.Add([]byte(""), []byte("\\ No newline at end of file\n"), uint8(0))
	f.Add([]byte("@@ -1 +1 @@\n"), []byte("--- a\n+++ b\n"), uint8(1))
	f.Fuzz(func(t *testing.T, a, b []byte, context uint8) {
		got, err := patch(a, unified(a, b, int(context%8)))
		if err != nil || !bytes.Equal(got, b) {
			t.Fatalf("%q to %q gave %q, %v", a, b, got, err)
		}
	})
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte("1\n2\n3\n"), []byte("x\n2\n3\n"), []byte("1\n2\ny\n"))
	f.Fuzz(func(t *testing.T, base, ours, theirs []byte) {
		if got, c := Merge(base, ours, base); len(c) > 0 || !bytes.Equal(got, ours) {
			t.Fatalf("theirs did not change: %q, %+v", got, c)
		}
		if got, c := Merge(base, base, theirs); len(c) > 0 || !bytes.Equal(got, theirs) {
			t.Fatalf("ours did not change: %q, %+v", got, c)
		}
		one, c1 := Merge(base, ours, theirs)
		two, c2 := Merge(base, theirs, ours)
		if len(c1) != len(c2) || !bytes.Equal(one, two) {
			t.Fatalf("the order of the sides matters: %q and %q", one, two)
		}
	})
}

func BenchmarkMatches(b *testing.B) {
	var x, y []string
	for i := range 10_000 {
		x = append(x, fmt.Sprintln("line", i%5000))
		if i%50 != 0 {
			y = append(y, fmt.Sprintln("line", i%5000))
		}
	}
	for b.Loop() {
		Matches(x, y)
	}
}
