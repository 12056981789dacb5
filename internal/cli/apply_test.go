package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"agentbox/internal/audit"
	"agentbox/internal/session"
	"agentbox/internal/workspace"
)

func TestPathsInTheWorkspace(t *testing.T) {
	root := t.TempDir()
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.MkdirAll(filepath.Join(root, "sub"), 0o755), os.Symlink("/etc", filepath.Join(root, "out")), os.Symlink(root, link)); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ arg, dir, want string }{
		"below the current directory":           {"a", root + "/sub", "sub/a"},
		"up from it":                            {"../a", root + "/sub", "a"},
		"the current directory":                 {".", root + "/sub", "sub"},
		"all of it":                             {".", root, "."},
		"from elsewhere, relative to its root":  {"sub/a", "/etc", "sub/a"},
		"an absolute path":                      {root + "/sub//a/", "/etc", "sub/a"},
		"through a link that leads to it":       {link + "/a", "/etc", "a"},
		"a link in it is not followed":          {"out", root, "out"},
		"what is behind a link in it is a name": {"out/passwd", root, "out/passwd"},
		"out of it":                             {"../../a", root + "/sub", ""},
		"another place":                         {"/etc/passwd", root, ""},
		"a neighbour whose name begins alike":   {root + "x/a", root, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := inWorkspace(tc.arg, tc.dir, root)
			if got != tc.want || (err == nil) != (tc.want != "") {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// A review of a directory that went, one that came, and files.
func someChanges() *workspace.Review {
	change := func(path string, kind workspace.Kind, before, after workspace.Type) workspace.Change {
		return workspace.Change{Path: path, Kind: kind, Before: workspace.State{Type: before}, After: workspace.State{Type: after}}
	}
	r := &workspace.Review{Changes: []workspace.Change{
		change("a", workspace.Modified, workspace.File, workspace.File),
		change("both", workspace.Modified, workspace.File, workspace.File),
		change("gone", workspace.Deleted, workspace.Dir, workspace.None),
		change("gone/1", workspace.Deleted, workspace.File, workspace.None),
		change("gone/2", workspace.Deleted, workspace.File, workspace.None),
		change("new", workspace.Added, workspace.None, workspace.Dir),
		change("new/1", workspace.Added, workspace.None, workspace.File),
	}}
	r.Changes[1].Conflict = "the host changed it"
	return r
}

func TestSelectionOfACommandLine(t *testing.T) {
	t.Chdir("/")
	for name, tc := range map[string]struct {
		options applyOptions
		want    workspace.Selection
		wrong   string
	}{
		"everything":                  {options: applyOptions{all: true}, want: workspace.Selection{All: true}},
		"everything by its root":      {options: applyOptions{paths: []string{"/w"}}, want: workspace.Selection{All: true, Paths: []string{"."}}},
		"a directory":                 {options: applyOptions{paths: []string{"new"}, allowHandoff: true}, want: workspace.Selection{Paths: []string{"new"}, AllowHandoff: true}},
		"theirs chooses":              {options: applyOptions{theirs: []string{"both"}}, want: workspace.Selection{Paths: []string{"both"}, Resolve: map[string]workspace.Resolution{"both": workspace.TakeAgent}}},
		"ours of all conflicts":       {options: applyOptions{all: true, ours: []string{"/w"}}, want: workspace.Selection{All: true, Paths: []string{"both"}, Resolve: map[string]workspace.Resolution{"both": workspace.KeepHost}}},
		"what nobody changed":         {options: applyOptions{paths: []string{"ne"}}, wrong: "ne: nothing changed there"},
		"a way out of no conflict":    {options: applyOptions{merge: []string{"a"}}, wrong: "--merge a: nothing there was changed by both sides"},
		"two ways out":                {options: applyOptions{merge: []string{"both"}, theirs: []string{"both"}}, wrong: "--merge both: there are two ways out of one conflict"},
		"a place outside":             {options: applyOptions{paths: []string{"/etc"}}, wrong: "/etc is not in /w"},
		"a conflict that is outside":  {options: applyOptions{ours: []string{"/etc"}}, wrong: "--ours /etc: /etc is not in /w"},
		"a part of a name is no path": {options: applyOptions{paths: []string{"gone/"}}, want: workspace.Selection{Paths: []string{"gone"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.options.selection(someChanges(), "/w")
			if tc.wrong != "" {
				if err == nil || err.Error() != tc.wrong {
					t.Errorf("%v", err)
				}
				return
			}
			if tc.want.Resolve == nil {
				tc.want.Resolve = map[string]workspace.Resolution{}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

// Directories come and go with what is in them; nobody is asked about them.
func TestDirectoriesOfAPick(t *testing.T) {
	r := someChanges()
	var list []*workspace.Change
	for i := range r.Changes {
		list = append(list, &r.Changes[i])
	}
	asked := []string{}
	for n, one := range list {
		if !implied(list, n) {
			asked = append(asked, one.Path)
		}
	}
	if diff := cmp.Diff([]string{"a", "both", "gone/1", "gone/2", "new/1"}, asked); diff != "" {
		t.Error(diff)
	}
	for name, tc := range map[string]struct{ yes, want []string }{
		"all of it goes": {[]string{"gone/1", "gone/2"}, []string{"gone/1", "gone/2", "gone"}},
		"one file stays": {[]string{"gone/1"}, []string{"gone/1"}},
		"nothing goes":   {[]string{"a"}, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := picker{chosen: workspace.Selection{Paths: tc.yes}}
			p.directories(list)
			if diff := cmp.Diff(tc.want, p.chosen.Paths); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// quietCaller is a caller whose messages go nowhere.
func quietCaller(t *testing.T) *caller {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	return &caller{in: null, out: null, err: null, voice: newVoice(null, null, os.Getenv)}
}

func TestAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		input string
		key   byte
		err   error
	}{
		"a key":                        {"y\n", 'y', nil},
		"a capital":                    {" N \n", 'n', nil},
		"no line feed at the end":      {"y", 'y', nil},
		"something else asks again":    {"maybe\n\n?\ny\n", 'y', nil},
		"a line without an end":        {strings.Repeat("y", 3*maxAnswer) + "\nn\n", 'n', nil},
		"two keys are none":            {"yy\nn\n", 'n', nil},
		"no more questions":            {"q\n", 'q', errQuit},
		"the end":                      {"", 'q', errQuit},
		"a control sequence is no yes": {"\x1b[200~y\nn\n", 'n', nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := picker{c: quietCaller(t), answer: lineReader(t.Context(), strings.NewReader(tc.input))}
			key, err := p.ask("?", "ynq", wholeHelp)
			if key != tc.key || !errors.Is(err, tc.err) {
				t.Errorf("%c, %v", key, err)
			}
		})
	}
}

// A full disk stops no decision that makes room, and every other one.
func TestUnrecordedDecisions(t *testing.T) {
	full := &os.PathError{Op: "write", Path: "/log", Err: unix.ENOSPC}
	for name, tc := range map[string]struct {
		goesOn, frees bool
		err           error
		stops         bool
		told          int
	}{
		"nothing went wrong":                            {frees: true},
		"a full disk":                                   {err: full, stops: true},
		"a full disk, and it makes room":                {frees: true, err: full, told: 1},
		"a quota, and it makes room":                    {frees: true, err: fmt.Errorf("the log: %w", unix.EDQUOT), told: 1},
		"a disk that cannot be read, and it makes room": {frees: true, err: unix.EIO, stops: true},
		"the profile lets it go":                        {goesOn: true, err: unix.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			told := 0
			l := &ledger{goesOn: tc.goesOn}
			if tc.frees {
				l.full = func(error) { told++ }
			}
			for range 2 { // the record, and the end of the log
				if err := l.excuse(tc.err); (err != nil) != tc.stops {
					t.Errorf("it ended with %v", err)
				}
			}
			if told != tc.told {
				t.Errorf("it was told %d times", told)
			}
		})
	}
}

// A receipt of any size is on record as a whole, in records that each fit.
func TestLongReceipts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	ch := &changes{kept: session.Kept{Info: session.Info{ID: "000000000000"}}, log: &keptLog{Dir: dir, OnFailure: "stop"}}
	l, err := quietCaller(t).openLedger(ch)
	if err != nil {
		t.Fatal(err)
	}
	r := workspace.Receipt{ID: "r1", Workspace: "/w"}
	for i := range 3000 {
		name := fmt.Sprintf(`"%d%s"`, i, strings.Repeat(`\"\\\377`, i))
		r.Items = append(r.Items, workspace.ReceiptItem{Path: name[:min(len(name), 16<<10)], Kind: workspace.Added, After: workspace.State{Type: workspace.File, SHA256: strings.Repeat("a", 64)}})
	}
	if err := errors.Join(l.receipt(r), l.close()); err != nil {
		t.Fatal(err)
	}
	f, err := audit.Open(audit.Path(dir, "000000000000"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got []string
	for one, err := range audit.Records(f) {
		if err != nil {
			t.Fatal(err)
		}
		e, err := one.Event()
		if err != nil {
			t.Fatal(err)
		}
		var items []audit.Item
		switch e := e.(type) {
		case *audit.ApplyItems:
			items = e.Items
		case *audit.Apply:
			items = e.Items
			if e.Paths != len(r.Items) {
				t.Errorf("%d paths", e.Paths)
			}
		}
		for _, item := range items {
			got = append(got, string(item.Path))
		}
	}
	for i, item := range r.Items {
		if i >= len(got) || got[i] != item.Path {
			t.Fatalf("item %d of %d is not on record", i, len(got))
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if report, err := audit.Verify(f, audit.Expected{}); err != nil || report.Parts != 1 || report.Records < 10 || len(report.Gaps) != 1 {
		t.Errorf("%+v, %v", report, err)
	}
}
