package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStatSharesALineAsGitDoes(t *testing.T) {
	for name, tc := range map[string]struct {
		rows                []statRow
		screen              int
		name, digits, graph int
	}{
		"what has room has all of it":            {[]statRow{{name: "a", added: 5}}, 80, 1, 1, 5},
		"a long bar gives way":                   {[]statRow{{name: "file", added: 900, removed: 100}}, 80, 4, 4, 66},
		"a long name gives way to a short bar":   {[]statRow{{name: strings.Repeat("n", 200), added: 3}}, 80, 70, 1, 3},
		"both give way":                          {[]statRow{{name: strings.Repeat("n", 200), added: 1000}}, 80, 50, 4, 20},
		"sizes have room":                        {[]statRow{{name: "a", sizes: "0 -> 3 bytes"}}, 80, 1, 3, 12},
		"marks have room":                        {[]statRow{{name: "file", added: 1000, marks: "(hand-off)"}}, 80, 4, 4, 54},
		"a narrow screen still shows something":  {[]statRow{{name: strings.Repeat("n", 40), added: 1000}}, 10, 10, 4, 6},
		"a program gets names whole, and a bar":  {[]statRow{{name: strings.Repeat("n", 200), added: 1000}}, 0, 200, 4, 10},
		"a program gets the width of a terminal": {[]statRow{{name: "a", added: 1000}}, 0, 1, 4, 69},
	} {
		n, d, g := statWidths(tc.rows, tc.screen)
		if diff := cmp.Diff([]int{tc.name, tc.digits, tc.graph}, []int{n, d, g}); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestBarsAreScaledAsGitDoes(t *testing.T) {
	for name, tc := range map[string]struct{ added, removed, most, room, plus, minus int }{
		"what has room is counted out":      {3, 2, 5, 5, 3, 2},
		"the longest fills the room":        {1000, 0, 1000, 60, 60, 0},
		"the shortest keeps a mark":         {1, 0, 1000, 60, 1, 0},
		"one of each kind keeps two":        {1, 1, 1000, 10, 1, 1},
		"the smaller part is rounded first": {10, 990, 1000, 60, 1, 59},
		"nothing has none":                  {0, 0, 1000, 60, 0, 0},
	} {
		plus, minus := bar(tc.added, tc.removed, tc.most, tc.room)
		if plus != tc.plus || minus != tc.minus {
			t.Errorf("%s: %d and %d, not %d and %d", name, plus, minus, tc.plus, tc.minus)
		}
	}
}

func TestLongNamesLoseTheirBeginning(t *testing.T) {
	for want, tc := range map[string]struct {
		name  string
		width int
	}{
		"dir/file":     {"dir/file", 8},
		".../file":     {"directory/file", 10},
		"...gname.txt": {"averylongname.txt", 12},
		"...漢字漢":       {"漢字漢字漢字漢", 6},
	} {
		if got := shortName(tc.name, tc.width); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

func TestTheTotalLeavesOutWhatIsNone(t *testing.T) {
	for want, tc := range map[string][3]int{
		"1 file changed, 0 insertions(+), 0 deletions(-)": {1, 0, 0},
		"2 files changed, 1 insertion(+)":                 {2, 1, 0},
		"2 files changed, 3 deletions(-)":                 {2, 0, 3},
		"2 files changed, 2 insertions(+), 1 deletion(-)": {2, 2, 1},
	} {
		if got := statTotal(tc[0], tc[1], tc[2]); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
