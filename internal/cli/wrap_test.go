package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentbox/internal/doctor"
)

func TestHang(t *testing.T) {
	const text = "one two three four five six seven eight"
	for name, test := range map[string]struct {
		text           string
		indent, screen int
		want           string
	}{
		"no screen breaks nothing":      {text, 4, 0, text},
		"what fits stays as it is":      {text, 4, 80, text},
		"lines end between words":       {text, 4, 30, "one two three four five\n    six seven eight"},
		"letters count, not bytes":      {strings.Repeat("é", 26), 4, 30, strings.Repeat("é", 26)},
		"a long word stays whole":       {"see " + strings.Repeat("x", 40) + " there", 0, 30, "see\n" + strings.Repeat("x", 40) + "\nthere"},
		"a narrow column is left alone": {text, 70, 80, text},
		"nothing":                       {"", 4, 30, ""},
	} {
		if diff := cmp.Diff(test.want, hang(test.text, test.indent, test.screen)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// written is what a voice writes on a screen of the given width.
func written(t *testing.T, width int, say func(*voice)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "out")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	v := newVoice(file, file, func(string) string { return "" })
	v.out.width = width
	say(v)
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestChecksOnANarrowScreen(t *testing.T) {
	list := []doctor.Check{
		{Name: "user namespace", State: doctor.OK, What: "made one"},
		{Name: "name\x1b[2J", State: doctor.Missing, What: "nothing that is said here fits on one line", Cost: "no box of this user can be made on this host",
			Remedy: "as root:\n    sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000\nto keep it, write the same into a file of /etc/sysctl.d"},
	}
	const want = `ok       user namespace: made one
missing  name\x1b[2J: nothing that is said
         here fits on one line
         cost    no box of this user can
                 be made on this host
         remedy  as root:
                     sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000
                 to keep it, write the
                 same into a file of
                 /etc/sysctl.d
`
	for range 8 { // the order is never a map's
		if diff := cmp.Diff(want, written(t, 42, func(v *voice) { v.checks(list) })); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

func TestTableWrapsItsLastColumn(t *testing.T) {
	rows := [][]string{{"NAME", "WHY"}, {"late-masks", "what appears after the start is not covered"}}
	const want = `NAME        WHY
late-masks  what appears after the start
            is not covered
`
	if diff := cmp.Diff(want, written(t, 40, func(v *voice) { v.table(true, rows) })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJSONIsForPeopleToo(t *testing.T) {
	got := written(t, 0, func(v *voice) {
		if err := v.json(map[string]string{"text": "a < b && c > \u202e\x1b\x7f"}); err != nil {
			t.Error(err)
		}
	})
	if want := "{\n  \"text\": \"a < b && c > \\u202e\\u001b\\u007f\"\n}\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHelpOnANarrowScreen(t *testing.T) {
	got := written(t, 44, func(v *voice) {
		w := v.help()
		for _, part := range []string{"NAME:\n   agentbox - a long li", "ne that does not fit on it\n   --mode ro|rw  what the agent may do in the ", "workspace\n"} {
			if _, err := w.Write([]byte(part)); err != nil {
				t.Error(err)
			}
		}
	})
	const want = `NAME:
   agentbox - a long line that does not fit
   on it
   --mode ro|rw  what the agent may do in
                 the workspace
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
