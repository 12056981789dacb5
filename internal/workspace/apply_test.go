package workspace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// everything is a project and an agent's work that use each kind of op.
const (
	manyHost = `echo a >a; seq 30 >keep; mkdir -p d/e/f; echo x >d/e/f/x; echo y >d/y; seq 9 >old; chmod 600 keep; echo m >m; mkdir shut; echo s >shut/s
		ln -s a l; echo t >t; mkdir td; echo u >td/u; echo v >v; ln v w; echo r >shut/r; chmod 555 shut; touch -d @1000000000 * d/* shut/*`
	manyAgent = `echo b >>a; echo 31 >>keep; rm -r d/e; mv old new; chmod 755 m; rm t; mkdir t; echo in >t/in; rm -r td; echo file >td; ln -sfn keep l
		mkdir -p n/o; echo 1 >n/1; ln n/1 n/o/2; ln -s ../1 n/o/3; truncate -s 1M n/sparse; echo end >>n/sparse; chmod 444 n/1; mkdir n/ro; echo z >n/ro/z; chmod 555 n/ro; touch -d @1100000000 n/o/2 n/o
		chmod 700 d; rm v; chmod 755 shut; rm shut/r; echo more >>shut/s; chmod 555 shut
		python3 -c 'import os; os.setxattr("keep", "user.k", b"1"); os.setxattr("d", "user.d", b"2"); os.setxattr("n/o", "user.n", b"3")'`
)

func TestApplyGivesTheTreeThatTheAgentSaw(t *testing.T) {
	tests := map[string]struct{ host, agent string }{
		"each kind of change":  {manyHost, manyAgent},
		"rm -rf of everything": {"mkdir -p a/b; echo x >a/b/c; echo y >.z; ln -s a l", "rm -rf a .z l"},
		"another branch":       {"for i in $(seq 40); do mkdir -p d$((i%5)); echo $i >d$((i%5))/$i; done", "rm -r d1 d2; for i in $(seq 30 60); do mkdir -p d$((i%7)); echo new $i >d$((i%7))/$i; done"},
		"a renamed directory":  {"mkdir -p a/b; seq 9 >a/b/c; seq 8 >a/d", "mv a z; echo more >>z/b/c"},
		"strange names":        {"echo 1 >$'a\\xff\\n'", "mv $'a\\xff\\n' $'\\e[2K'; mkdir ' '; echo 2 >' /-rf'; echo 3 >'\\'"},
		"hard links":           {"echo a >a; ln a b", "echo 2 >>a; ln -f a b; ln a c"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			fixtures(t, func(t *testing.T, x *fixture) {
				x.host(test.host)
				x.agent(test.agent)
				if held := x.apply(Selection{All: true}); len(held) > 0 {
					t.Errorf("held: %+v", held)
				}
				if diff := cmp.Diff(x.seen(), x.project()); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff([]string(nil), lines(x.review())); diff != "" {
					t.Errorf("changes that are left: %s", diff)
				}
			})
		})
	}
}

func TestSelection(t *testing.T) {
	const host = "echo a >a; mkdir d; echo b >d/b; echo c >d/c"
	const agent = "echo 2 >>a; rm -r d; mkdir -p n/o; echo x >n/o/x; echo y >n/o/y; mkdir .git .git/hooks; echo h >.git/hooks/pre-commit; echo s >secret; echo p >prot"
	tests := map[string]struct {
		selection Selection
		held      []string
		left      []string // of the review
	}{
		"one file":                               {Selection{Paths: []string{"a"}}, nil, []string{"A .git/", "A .git/hooks/", "A .git/hooks/pre-commit", "D d/", "D d/b", "D d/c", "A n/", "A n/o/", "A n/o/x", "A n/o/y", "A prot (protected: key)", "A secret (masked: key)"}},
		"a file brings its directories":          {Selection{Paths: []string{"n/o/x"}}, nil, []string{"A .git/", "A .git/hooks/", "A .git/hooks/pre-commit", "M a", "D d/", "D d/b", "D d/c", "A n/o/y", "A prot (protected: key)", "A secret (masked: key)"}},
		"a directory stays while something does": {Selection{Paths: []string{"d/b"}}, nil, []string{"A .git/", "A .git/hooks/", "A .git/hooks/pre-commit", "M a", "D d/", "D d/c", "A n/", "A n/o/", "A n/o/x", "A n/o/y", "A prot (protected: key)", "A secret (masked: key)"}},
		"all but what must be named":             {Selection{All: true}, []string{".git", ".git/hooks", ".git/hooks/pre-commit", "prot", "secret"}, []string{"A .git/", "A .git/hooks/", "A .git/hooks/pre-commit", "A prot (protected: key)", "A secret (masked: key)"}},
		"hand-off files are allowed":             {Selection{All: true, AllowHandoff: true}, []string{"prot", "secret"}, []string{"A prot (protected: key)", "A secret (masked: key)"}},
		"a directory does not name them":         {Selection{Paths: []string{".git"}}, []string{".git", ".git/hooks", ".git/hooks/pre-commit"}, []string{"A .git/", "A .git/hooks/", "A .git/hooks/pre-commit", "M a", "D d/", "D d/b", "D d/c", "A n/", "A n/o/", "A n/o/x", "A n/o/y", "A prot (protected: key)", "A secret (masked: key)"}},
		"all of them by name":                    {Selection{All: true, Paths: []string{".git/hooks/pre-commit", "prot", "secret"}}, nil, nil},
	}
	only := func(want string) func(string, bool) (string, bool) {
		return func(name string, _ bool) (string, bool) { return "key", name == want }
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			x := newFixture(t, Trusted)
			x.rules = Rules{Masked: only("secret"), Protected: only("prot")}
			x.host(host)
			x.agent(agent)
			var held []string
			for _, h := range x.apply(test.selection) {
				held = append(held, h.Change.Path)
			}
			if diff := cmp.Diff(test.held, held); diff != "" {
				t.Errorf("held: %s", diff)
			}
			if diff := cmp.Diff(test.left, lines(x.review())); diff != "" {
				t.Errorf("left: %s", diff)
			}
		})
	}
}

func TestANewNameOfAnUnchangedFileIsALink(t *testing.T) {
	x := newFixture(t, Trusted)
	x.host("echo a >a; echo b >b")
	x.agent("ln a c; ln b d; echo more >>b")
	x.apply(Selection{All: true})
	for _, names := range [][2]string{{"a", "c"}, {"b", "d"}} {
		one, err1 := os.Stat(filepath.Join(x.lower, names[0]))
		two, err2 := os.Stat(filepath.Join(x.lower, names[1]))
		if err1 != nil || err2 != nil || !os.SameFile(one, two) {
			t.Errorf("%v: %v, %v", names, err1, err2)
		}
	}
}

func TestHunks(t *testing.T) {
	x := newFixture(t, Trusted)
	x.host("seq 40 >a")
	x.agent("sed -i 's/^5$/five/; s/^30$/thirty/' a")
	x.apply(Selection{Hunks: map[string][]int{"a": {1}}})
	data, _ := os.ReadFile(filepath.Join(x.lower, "a"))
	if text := string(data); strings.Contains(text, "five") || !strings.Contains(text, "thirty") {
		t.Errorf("%q", text)
	}
	w := x.open()
	r, err := w.Review(context.Background())
	if err != nil || len(r.Changes) != 1 || r.Changes[0].Conflict != "" {
		t.Fatalf("%v, %v", lines(r), err)
	}
	if d, err := w.FileDiff(&r.Changes[0]); err != nil || len(d.Hunks) != 1 {
		t.Errorf("the other hunk is left: %+v, %v", d, err)
	}
}

func TestModesAreTheCallers(t *testing.T) {
	old := syscall.Umask(0o027)
	defer syscall.Umask(old)
	x := newFixture(t, Trusted)
	x.host("echo a >a; chmod 666 a")
	x.agent("echo b >>a; echo n >n; chmod 777 n; mkdir d; chmod 777 d; echo s >s; chmod 600 s")
	x.apply(Selection{All: true})
	for name, want := range map[string]os.FileMode{"a": 0o666, "n": 0o750, "d": 0o750, "s": 0o600} {
		if fi, err := os.Stat(filepath.Join(x.lower, name)); err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, fi.Mode(), err)
		}
	}
}

func TestTheOwnerIsTheOneThatIsNamed(t *testing.T) {
	x := newFixture(t, Trusted)
	x.host("echo a >a")
	x.agent("echo b >>a; mkdir d; echo c >d/c; ln -s c d/l")
	c := x.config()
	c.Owner = &Owner{UID: 12345, GID: 23456}
	w, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := applyAll(w, nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "d", "d/c", "d/l"} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(x.lower, name), &st); err != nil || st.Uid != 12345 || st.Gid != 23456 {
			t.Errorf("%s: %d:%d, %v", name, st.Uid, st.Gid, err)
		}
	}
}

func TestLoad(t *testing.T) {
	x := newFixture(t, Trusted)
	if _, err := Load(x.session); err == nil || !strings.Contains(err.Error(), "the session has no overlay") {
		t.Error(err)
	}
	x.begin()
	c, err := Load(x.session)
	if err != nil || c.Lower != x.lower || c.Flavour != Trusted || c.Upper != LayersOf(x.session).Upper || c.Began.After(x.began) {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestApprovalBindsToContent(t *testing.T) {
	change := func(where func(x *fixture) string, script string) func(x *fixture) {
		return func(x *fixture) {
			cmd := exec.Command("bash", "-ec", script)
			cmd.Dir = where(x)
			x.run(cmd)
		}
	}
	upper := func(x *fixture) string { return LayersOf(x.session).Upper }
	lower := func(x *fixture) string { return x.lower }
	tests := map[string]struct {
		meanwhile func(x *fixture)
		want      string
	}{
		"the agent's file is another":         {change(upper, "echo evil >a"), "a: the agent changed it since it was reviewed"},
		"the same size and time":              {change(upper, "touch -r a /tmp/ref-$$; echo evi >a; touch -r /tmp/ref-$$ a; rm /tmp/ref-$$"), "a: the agent changed it since it was reviewed"},
		"a link in its place":                 {change(upper, "rm a; ln -s /etc/passwd a"), "a: the agent changed it since it was reviewed"},
		"the host's file is another":          {change(lower, "echo mine >a"), "a: the host changed it since it was reviewed"},
		"the host removed it":                 {change(lower, "rm a"), "a: the host made or removed it since it was reviewed"},
		"the host made one of that name":      {change(lower, "mkdir n"), "n: the host made or removed it since it was reviewed"},
		"the host put a link for a directory": {change(lower, "mv d d2; ln -s d2 d"), "d/f: the host removed its directory"},
		"the host filled what is to go":       {change(lower, "echo new >g/new"), "g/new: the host made it meanwhile"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			x := newFixture(t, Trusted)
			x.host("echo a >a; mkdir d g; echo f >d/f; echo g >g/g")
			x.agent("echo b >a; echo n >n; echo more >>d/f; rm -r g")
			w := x.open()
			r, err := w.Review(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			p, err := w.Plan(r, Selection{All: true})
			if err != nil || len(p.Held) > 0 {
				t.Fatalf("%+v, %v", p, err)
			}
			test.meanwhile(x)
			before := tree(t, x.lower, true)
			_, err = w.Apply(context.Background(), p, nil)
			var changed *ChangedError
			if !errors.As(err, &changed) || !strings.HasPrefix(err.Error(), test.want+";") {
				t.Errorf("%v", err)
			}
			if diff := cmp.Diff(before, tree(t, x.lower, true)); diff != "" {
				t.Errorf("the project: %s", diff)
			}
			if w.Pending() {
				t.Error("something is left to recover")
			}
		})
	}
}

func TestReceipt(t *testing.T) {
	x := newFixture(t, Trusted)
	x.host("echo a >a")
	x.agent("echo b >a; echo n >n")
	w := x.open()
	r, err := w.Review(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Plan(r, Selection{All: true})
	if err != nil {
		t.Fatal(err)
	}
	var recorded Receipt
	got, err := w.Apply(context.Background(), p, func(r Receipt) error { recorded = r; return nil })
	if err != nil || got.UID != os.Getuid() || got.Workspace != x.lower || time.Since(got.When) > time.Minute {
		t.Fatalf("%+v, %v", got, err)
	}
	type short struct{ path, before, after string }
	var items []short
	for _, i := range recorded.Items {
		items = append(items, short{i.Path, i.Before.SHA256, i.After.SHA256})
	}
	want := []short{{"a", digest([]byte("a\n")), digest([]byte("b\n"))}, {"n", "", digest([]byte("n\n"))}}
	if diff := cmp.Diff(want, items, cmp.AllowUnexported(short{})); diff != "" {
		t.Error(diff)
	}
	if data, err := json.Marshal(got); err != nil || !bytes.Contains(data, []byte(`"path":"a"`)) {
		t.Errorf("%s, %v", data, err)
	}
}

func TestDiscardLeavesTheHostAsItWas(t *testing.T) {
	fixtures(t, func(t *testing.T, x *fixture) {
		x.host(manyHost)
		before := tree(t, x.lower, true)
		x.agent(manyAgent + "; mkdir x; echo y >x/y; chmod 0 x/y x")
		deepen(t, LayersOf(x.session).Upper, 1000)
		if err := Discard(x.session, nil); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, tree(t, x.lower, true)); diff != "" {
			t.Error(diff)
		}
		for _, name := range []string{upperName, workName, discardedName} {
			if _, err := os.Lstat(filepath.Join(x.session, name)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// deepen makes directories in each other, far beyond what a path can name.
func deepen(t *testing.T, root string, depth int) {
	t.Helper()
	d, err := openDir(root)
	for range depth {
		if err == nil {
			err = unix.Mkdirat(d.fd, "deep", 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		next, openErr := d.child("deep")
		d.close()
		d, err = next, openErr
	}
	d.close()
}

func TestADeepTreeIsRefusedByName(t *testing.T) {
	x := newFixture(t, Trusted)
	x.begin()
	deepen(t, LayersOf(x.session).Upper, 1000)
	r := x.review()
	if last := r.Changes[len(r.Changes)-1]; len(r.Changes) != maxDepth+1 || !strings.Contains(last.Refused, "deeper") {
		t.Errorf("%d changes, the last one %+v", len(r.Changes), last)
	}
	if err := Discard(x.session, nil); err != nil {
		t.Error(err)
	}
}
