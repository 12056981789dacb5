package workspace

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// A couple is a project and its git directory.
type couple struct{ project, git *fixture }

// newPair has a change of each kind in both.
func newPair(t *testing.T) couple {
	p := couple{newFixture(t, Trusted), newFixture(t, Trusted)}
	p.project.host("echo 1 >f; mkdir d; echo x >d/x")
	p.project.agent("echo 2 >>f; rm -r d; echo n >new")
	p.git.host("mkdir -p objects refs/heads hooks; echo ref >HEAD; echo one >refs/heads/main; echo old >gone")
	p.git.agent("mkdir objects/ab; echo o >objects/ab/cd; echo two >refs/heads/main; rm gone")
	return p
}

func (p couple) copyOf(t *testing.T) couple { return couple{p.project.copyOf(t), p.git.copyOf(t)} }

func (p couple) open(t *testing.T, step func(string) error) *Roots {
	t.Helper()
	git := p.git.config()
	r, err := OpenRoots(p.project.config(), &git)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	r.project.hand.step, r.git.hand.step = step, step
	return r
}

func (p couple) apply(t *testing.T, s Selection, step func(string) error, before func()) (*Receipt, error) {
	t.Helper()
	r := p.open(t, nil)
	review, err := r.Review(context.Background())
	if err != nil {
		return nil, err
	}
	plan, err := r.Plan(review, s)
	if err != nil || len(plan.Items) == 0 {
		return nil, err
	}
	if before != nil {
		before()
	}
	r.project.hand.step, r.git.hand.step = step, step
	return r.Apply(context.Background(), plan, nil)
}

// trees are those of both, "g " before the lines of git's.
func (p couple) trees(t *testing.T, times bool) []string {
	list := tree(t, p.project.lower, times)
	for _, line := range tree(t, p.git.lower, times) {
		list = append(list, "g "+line)
	}
	return list
}

func TestRootsAreReviewedAsOne(t *testing.T) {
	p := newPair(t)
	r := p.open(t, nil)
	review, err := r.Review(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"A G/objects/ab/", "A G/objects/ab/cd", "D G/gone", "M G/refs/heads/main", "D d/", "D d/x", "M f", "A new"}
	got := lines(review)
	for i := range got {
		got[i] = strings.ReplaceAll(got[i], p.git.lower, "G")
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var out strings.Builder
	if err := r.Diff(&out, review); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"--- a/f\n+++ b/f\n@@ -1 +1,2 @@\n 1\n+2\n", "--- aG/refs/heads/main\n+++ bG/refs/heads/main\n@@ -1 +1 @@\n-one\n+two\n"} {
		if text := strings.ReplaceAll(out.String(), p.git.lower, "G"); !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
	out.Reset()
	omitted, err := r.Patch(&out, review)
	if err != nil || strings.Contains(out.String(), p.git.lower) || len(omitted) != 4 {
		t.Errorf("the patch: %v, %v\n%s", omitted, err, out.String())
	}
}

func TestSelectionsOfRoots(t *testing.T) {
	for name, tc := range map[string]struct {
		choose  func(git string) Selection
		project bool
		git     []string
	}{
		"all":               {func(string) Selection { return Selection{All: true} }, true, []string{"o", "two"}},
		"the project alone": {func(string) Selection { return Selection{Paths: []string{"f"}} }, true, []string{"one"}},
		"git alone":         {func(git string) Selection { return Selection{Paths: []string{git}} }, false, []string{"o", "two"}},
		"one file of git's": {func(git string) Selection { return Selection{Paths: []string{git + "/refs/heads/main"}} }, false, []string{"two"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			if _, err := p.apply(t, tc.choose(p.git.lower), nil, nil); err != nil {
				t.Fatal(err)
			}
			p.project.host("test $(wc -l <f) = " + map[bool]string{true: "2", false: "1"}[tc.project])
			p.git.host(`test "$(cat objects/ab/cd refs/heads/main 2>/dev/null | xargs)" = "` + strings.Join(tc.git, " ") + `"`)
		})
	}
}

// What git runs is a hand-off file there, too, and the profile's lines hold.
func TestRulesOfAGitDirectory(t *testing.T) {
	p := newPair(t)
	p.git.agent("echo x >hooks/pre-commit; echo x >config; echo x >a.key; echo x >index")
	p.project.rules = Rules{Masked: func(name string, _ bool) (string, bool) { return "mask", strings.HasSuffix(name, ".key") },
		Protected: func(name string, _ bool) (string, bool) { return "protect", name == ".git/hooks" }}
	p.git.rules = p.project.rules
	review, err := p.open(t, nil).Review(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range review.Changes {
		if name, ok := strings.CutPrefix(c.Path, p.git.lower+"/"); ok && (c.Masked+c.Protected != "" || len(c.Handoffs) > 0) {
			got[name] = c.Masked + c.Protected
			for _, h := range c.Handoffs {
				got[name] += " " + h.Class
			}
		}
	}
	if diff := cmp.Diff(map[string]string{"hooks/pre-commit": "protect git hooks", "config": " git", "a.key": "mask"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Both are applied or neither is, wherever the cut is.
func TestRootsCutOffAtEveryCall(t *testing.T) {
	x, steps := newPair(t), 0
	y := x.copyOf(t)
	before := y.trees(t, true)
	if _, err := y.apply(t, Selection{All: true}, func(string) error { steps++; return nil }, nil); err != nil {
		t.Fatal(err)
	}
	after := y.trees(t, false)
	was, is := 0, 0
	for n := range steps {
		y := x.copyOf(t)
		if _, err := y.apply(t, Selection{All: true}, cutAfter(n), nil); !errors.Is(err, errCut) {
			t.Fatalf("cut after %d calls: %v", n, err)
		}
		// The recovery is cut, too, and the next one is not.
		_, _ = y.open(t, cutAfter(n%11)).Recover(nil)
		if _, err := y.open(t, nil).Recover(nil); err != nil {
			t.Fatalf("cut after %d calls: recover: %v", n, err)
		}
		switch {
		case slices.Equal(y.trees(t, true), before):
			was++
		case slices.Equal(y.trees(t, false), after):
			is++
		default:
			t.Fatalf("cut after %d of %d calls: neither: %s", n, steps, cmp.Diff(before, y.trees(t, true)))
		}
		y.project.settled(t)
		y.git.settled(t)
	}
	if was == 0 || is == 0 {
		t.Errorf("of %d cuts %d were undone and %d finished", steps, was, is)
	}
}

// A call that fails leaves neither half behind, and nothing to repair.
func TestRootsWhenACallFails(t *testing.T) {
	x, steps := newPair(t), 0
	y := x.copyOf(t)
	before := y.trees(t, true)
	if _, err := y.apply(t, Selection{All: true}, func(string) error { steps++; return nil }, nil); err != nil {
		t.Fatal(err)
	}
	after := y.trees(t, false)
	for n := range steps {
		y := x.copyOf(t)
		_, err := y.apply(t, Selection{All: true}, failOnce(n, unix.ENOSPC), nil)
		if _, err := y.open(t, nil).Recover(nil); err != nil {
			t.Fatalf("call %d failed: recover: %v", n, err)
		}
		if !slices.Equal(y.trees(t, true), before) && !slices.Equal(y.trees(t, false), after) {
			t.Fatalf("call %d of %d failed with %v: neither: %s", n, steps, err, cmp.Diff(before, y.trees(t, true)))
		}
	}
}

// What the host changes in one after the review stops both.
func TestRootsBindToWhatWasShown(t *testing.T) {
	for name, change := range map[string]func(p couple){
		"the project": func(p couple) { p.project.host("echo host >f") },
		"git":         func(p couple) { p.git.host("echo host >refs/heads/main") },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			var before []string
			_, err := p.apply(t, Selection{All: true}, nil, func() { change(p); before = p.trees(t, true) })
			var changed *ChangedError
			if !errors.As(err, &changed) {
				t.Errorf("got %v", err)
			}
			if diff := cmp.Diff(before, p.trees(t, true)); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
		})
	}
}
