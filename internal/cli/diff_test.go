package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"agentbox/internal/session"
	"agentbox/internal/workspace"
)

// testReview is a review of changes with these paths.
func testReview(paths ...string) *workspace.Review {
	r := &workspace.Review{}
	for _, path := range paths {
		r.Changes = append(r.Changes, workspace.Change{Path: path, Kind: workspace.Added, After: workspace.State{Type: workspace.File}})
	}
	return r
}

func pathsOf(r *workspace.Review) []string {
	var out []string
	for i := range r.Changes {
		out = append(out, r.Changes[i].Path)
	}
	return out
}

func TestWhatTheWordsOfDiffMean(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	records, err := recordsDir()
	if err != nil {
		t.Fatal(err)
	}
	const id = "1ryzayn447xh"
	t.Chdir(t.TempDir())
	if err := errors.Join(os.MkdirAll(filepath.Join(records, id), 0o700), os.WriteFile("1r", nil, 0o600), os.WriteFile("file", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args  string
		id    string
		paths []string
		fails string
	}{
		"nothing":                             {"", "", nil, ""},
		"an ID":                               {id, id, nil, ""},
		"the beginning of one":                {"1ry", "1ry", nil, ""},
		"in capitals":                         {"1RY", "1RY", nil, ""},
		"a path":                              {"file", "", []string{"file"}, ""},
		"an ID and paths":                     {"1ry file b", "1ry", []string{"file", "b"}, ""},
		"paths, the second like an ID":        {"file 1ry", "", []string{"file", "1ry"}, ""},
		"what may be both":                    {"1r", "", nil, `"1r" may be a session and a file`},
		"the path of the two":                 {"./1r", "", []string{"./1r"}, ""},
		"the path of the two, behind dashes":  {"-- 1r", "", []string{"1r"}, ""},
		"the ID of the two, before dashes":    {"1r --", "1r", []string{}, ""},
		"an ID and a path that looks like it": {"1ry -- 1ry", "1ry", []string{"1ry"}, ""},
		"a path that begins with a dash":      {"-- -f", "", []string{"-f"}, ""},
		"and without the dashes":              {"file -f", "", nil, `"-f" comes too late`},
		"a path that is two dashes":           {"-- --", "", []string{"--"}, ""},
		"no ID before dashes":                 {"file -- b", "", nil, "no such session: file"},
		"two words before dashes":             {"1ry file -- b", "", nil, `"file" stands before --`},
	} {
		c := &caller{args: append([]string{"agentbox", "diff", "--stat"}, strings.Fields(tc.args)...)}
		args := strings.Fields(tc.args)
		if len(args) > 0 && args[0] == "--" { // as the library does
			args = args[1:]
		}
		var o diffOptions
		err := c.diffArgs(&o, args)
		if tc.fails != "" {
			if err == nil || err.Error() != tc.fails {
				t.Errorf("%s: the error is %v, not %q", name, err, tc.fails)
			}
			continue
		}
		if diff := cmp.Diff([]any{tc.id, tc.paths}, []any{o.id, o.paths}); err != nil || diff != "" && len(tc.paths)+len(o.paths) > 0 {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
	c := &caller{args: []string{"agentbox", "diff", "--", ""}}
	if err := c.diffArgs(&diffOptions{}, []string{""}); err == nil {
		t.Error("an empty path is taken")
	}
}

func TestPathsChooseTheChangesThatAreShown(t *testing.T) {
	root := resolve(t.TempDir())
	if err := os.Mkdir(filepath.Join(root, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	r := testReview("1ry", "a", "sub/x", "sub/y", "subway")
	r.Changes = append(r.Changes, workspace.Change{Path: "new", From: "old", Kind: workspace.Renamed})
	for name, tc := range map[string]struct {
		o     diffOptions
		want  []string
		fails string
	}{
		"none means all":                     {diffOptions{}, pathsOf(r), ""},
		"a file":                             {diffOptions{paths: []string{"a"}}, []string{"a"}, ""},
		"a directory, not its namesakes":     {diffOptions{paths: []string{"sub"}}, []string{"sub/x", "sub/y"}, ""},
		"the old name of what was renamed":   {diffOptions{paths: []string{"old"}}, []string{"new"}, ""},
		"each only once, in order":           {diffOptions{paths: []string{"sub/y", "sub", root + "/a"}}, []string{"a", "sub/x", "sub/y"}, ""},
		"one where nothing changed":          {diffOptions{paths: []string{"a", "none"}}, nil, "none: nothing changed there"},
		"a first word that is nothing":       {diffOptions{paths: []string{"none"}}, nil, "none is no session, and nothing changed at such a path"},
		"behind dashes it can only be one":   {diffOptions{paths: []string{"none"}, dashed: true}, nil, "none: nothing changed there"},
		"one outside the project":            {diffOptions{paths: []string{"/etc"}}, nil, "/etc is not in " + root},
		"an ID that the agent made a path":   {diffOptions{id: "1ry"}, nil, `"1ry" may be a session and a path that changed`},
		"which dashes say is meant":          {diffOptions{id: "1ry", dashed: true}, pathsOf(r), ""},
		"and a whole ID always is":           {diffOptions{id: "1ryzayn447xh"}, pathsOf(r), ""},
		"an ID that is no path that changed": {diffOptions{id: "1r"}, pathsOf(r), ""},
	} {
		got, err := tc.o.narrow(r, root)
		switch {
		case tc.fails != "":
			if err == nil || err.Error() != tc.fails {
				t.Errorf("%s: the error is %v, not %q", name, err, tc.fails)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		default:
			if diff := cmp.Diff(tc.want, pathsOf(got)); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}

func TestEachClassMarksTheNamesOfItsChanges(t *testing.T) {
	for want, one := range map[string]workspace.Change{
		"":                        {Kind: workspace.Modified, Notes: []string{"a hard link"}},
		"(hand-off)":              {Handoffs: []workspace.Handoff{{When: "runs when you next build"}}},
		"(hand-off, protected)":   {Handoffs: []workspace.Handoff{{When: "runs"}}, Protected: "workspace.protect[0]"},
		"(masked)":                {Masked: "workspace.mask[0]"},
		"(conflict, deleted)":     {Kind: workspace.Deleted, Before: workspace.State{Type: workspace.File}, Conflict: "the host changed it"},
		"(masked, never applied)": {Masked: "workspace.mask[0]", Refused: "it is a FIFO"},
	} {
		if got := marksOf(&one); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

// answered is what a caller answers to a program.
func answered(t *testing.T, answer func(c *caller)) string {
	t.Helper()
	return written(t, 0, func(v *voice) { answer(&caller{out: v.out.file, err: v.err.file, voice: v}) })
}

// hostile are names and reasons that a terminal, or a reader, must not obey.
var hostile = []string{"\x1b]52;c;eA==\a", "a\nb", "a\rb", "\u202etxt.exe", "\u009b2J", "\xff\x9b", "a\u2028b", "\u200b", "a\x00b", "\U000e0041"}

func TestNoNameReachesATerminalRaw(t *testing.T) {
	r := testReview(hostile...)
	for i, name := range hostile {
		one := &r.Changes[i]
		one.From, one.Protected, one.Masked, one.Conflict, one.Refused = name, name, name, name, name
		one.Notes, one.Handoffs = []string{name}, []workspace.Handoff{{Class: name, When: name}}
	}
	r.Notes = hostile
	ch := &changes{kept: session.Kept{Info: session.Info{ID: "1ryzayn447xh", Workspace: "/" + hostile[0]}}}
	for name, write := range map[string]func(c *caller){
		"the preface, on a screen":   func(c *caller) { c.paging = true; c.preface(ch, r) },
		"the preface, for a program": func(c *caller) { c.preface(ch, r) },
		"names, on a screen":         func(c *caller) { c.paging = true; c.writeNames(r, false) },
		"names, for a program":       func(c *caller) { c.writeNames(r, false) },
		"what is no change":          func(c *caller) { c.voice.report(diffOptions{paths: hostile}.nothingAt(hostile[0])) },
		"JSON": func(c *caller) {
			if err := c.voice.json(r); err != nil {
				t.Fatal(err)
			}
		},
	} {
		text := answered(t, write)
		for _, char := range text {
			if char != '\n' && (!unicode.IsPrint(char) || char == unicode.ReplacementChar) {
				t.Errorf("%s holds %q:\n%q", name, char, text)
				break
			}
		}
	}
	if got, want := answered(t, func(c *caller) { c.writeNames(r, true) }), strings.Join(hostile, "\x00")+"\x00"; got != want {
		t.Errorf("-z writes %q, not %q", got, want)
	}
}

func TestJSONHasNamesThatAreNotUTF8(t *testing.T) {
	r := testReview("\xffa", "b")
	ch := &changes{kept: session.Kept{Info: session.Info{ID: "1ryzayn447xh", Workspace: "/p"}}}
	text := answered(t, func(c *caller) {
		if err := c.voice.json(answerOf(ch, r, r)); err != nil {
			t.Fatal(err)
		}
	})
	var got struct {
		Version int
		Running bool
		Notes   []string
		Changes []struct {
			Path      string
			PathBytes []byte `json:"path_base64"`
		}
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != 1 || !got.Running || got.Notes == nil || len(got.Changes) != 2 || !bytes.Equal(got.Changes[0].PathBytes, []byte("\xffa")) || got.Changes[1].PathBytes != nil {
		t.Errorf("%s", text)
	}
}

func TestThePagerIsAsGitChoosesIt(t *testing.T) {
	for name, tc := range map[string]struct {
		env  map[string]string
		argv []string
		from string
	}{
		"less, where nothing is said":     {nil, []string{"less"}, ""},
		"the one that is named":           {map[string]string{"PAGER": "more -d"}, []string{"more", "-d"}, "PAGER"},
		"for agentbox before all others":  {map[string]string{"PAGER": "more", "AGENTBOX_PAGER": "less -S"}, []string{"less", "-S"}, "AGENTBOX_PAGER"},
		"none, by an empty word":          {map[string]string{"PAGER": "more", "AGENTBOX_PAGER": ""}, nil, ""},
		"none, by spaces":                 {map[string]string{"PAGER": "  "}, nil, ""},
		"none, by cat":                    {map[string]string{"PAGER": "cat"}, nil, ""},
		"no command line of a shell":      {map[string]string{"PAGER": "sh -c 'curl x' | sh"}, []string{"less"}, ""},
		"no word that a shell would make": {map[string]string{"AGENTBOX_PAGER": "$(pwd)/p", "PAGER": "more"}, []string{"more"}, "PAGER"},
	} {
		argv, from := pagerCommand(func(name string) (string, bool) { text, set := tc.env[name]; return text, set })
		if diff := cmp.Diff([]any{tc.argv, tc.from}, []any{argv, from}); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
