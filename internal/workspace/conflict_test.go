package workspace

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentbox/internal/boxtest"
)

func TestConflicts(t *testing.T) {
	tests := map[string]struct {
		first, agent, meanwhile string // first runs after the session began, before the agent
		want                    []string
	}{
		"the host does something else":               {"", "echo b >>a", "echo new >z; echo more >>k", []string{"M a"}},
		"the host changes what the agent changed":    {"", "echo b >>a", "echo c >>a", []string{"M a (conflict: the host changed it since the agent's copy was made)"}},
		"the agent's copy has the host's change":     {"echo c >>a", "echo b >>a", "", []string{"M a"}},
		"the agent writes a new file over it":        {"", "echo b >x; mv x a", "echo c >>a", []string{"M a (conflict: the host changed it since the session began)"}},
		"nobody knows whether the agent saw it":      {"echo c >>a", "echo b >x; mv x a", "", []string{"M a (conflict: the host changed it since the session began)"}},
		"both make a file of one name":               {"", "echo b >n", "echo c >n", []string{"M n (conflict: the host changed it since the session began)"}},
		"both write the same":                        {"", "echo b >>a; echo n >n", "echo b >>a; echo n >n", nil},
		"the host removes what the agent changed":    {"", "echo b >>a", "rm a", []string{"A a (conflict: the host removed it since the session began)"}},
		"the host changes what the agent removed":    {"", "rm a", "echo c >>a", []string{"D a (conflict: the host changed it since the session began)"}},
		"both remove it":                             {"", "rm a", "rm a", nil},
		"the host changes what the agent renamed":    {"", "mv k k2", "echo more >>k", []string{"R k2 from k (conflict: the host changed it since the session began)"}},
		"the host adds to a directory that went":     {"", "rm -r d", "echo new >d/new", []string{"D d/", "D d/f", "D d/new (conflict: the host changed it since the session began)"}},
		"the host changes a mode that the agent did": {"", "chmod 755 a", "chmod 600 a", []string{"M a (conflict: the host changed it since the agent's copy was made)"}},
		"the host removes the directory":             {"", "echo more >>d/f", "rm -r d", []string{"A d/", "A d/f (conflict: the host removed it since the session began)"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			fixtures(t, func(t *testing.T, x *fixture) {
				x.host("echo a >a; seq 20 >k; mkdir d; echo f >d/f")
				x.begin()
				x.host(test.first)
				fileClock(t, x.dir)
				x.agent(test.agent)
				fileClock(t, x.dir)
				x.host(test.meanwhile)
				if diff := cmp.Diff(test.want, lines(x.review())); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestResolutions(t *testing.T) {
	tests := map[string]struct {
		resolution Resolution
		want, held string
	}{
		"undecided stops":   {Stop, "host\n", "the host changed it since the agent's copy was made"},
		"the host's stays":  {KeepHost, "host\n", ""},
		"the agent's comes": {TakeAgent, "a\nagent\n", ""},
		"without a base":    {Merge, "host\n", "it cannot be merged: no version of it from before is known"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			x := newFixture(t, Trusted)
			x.host("echo a >a")
			x.agent("echo agent >>a")
			x.host("echo host >a")
			held := x.apply(Selection{All: true, Resolve: map[string]Resolution{"a": test.resolution}})
			why := ""
			for _, h := range held {
				why = h.Why
			}
			if data, err := os.ReadFile(filepath.Join(x.lower, "a")); string(data) != test.want || why != test.held {
				t.Errorf("%q, held: %q, %v", data, why, err)
			}
		})
	}
}

func TestAfterAnApplyItsResultIsTheBase(t *testing.T) {
	x := newFixture(t, Trusted)
	x.host("echo a >a; echo b >b; echo c >c")
	x.agent("echo 1 >>a; echo 1 >>b; rm c")
	x.apply(Selection{All: true})
	x.agent("echo 2 >>a; echo 2 >>b")
	x.host("echo host >>b; echo again >c")
	want := []string{"M a", "M b (conflict: the host changed it since it was applied)", "D c (conflict: the host changed it since it was applied)"}
	if diff := cmp.Diff(want, lines(x.review())); diff != "" {
		t.Error(diff)
	}
}

// repository makes the project a git repository.
func (x *fixture) repository(script string) {
	x.t.Helper()
	boxtest.Need(x.t, boxtest.Git)
	cmd := exec.Command("bash", "-ec", "git init -q -b main; git config user.email a@b; git config user.name a; "+script+"; git add -A; git commit -q -m one")
	cmd.Dir, cmd.Env = x.lower, append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	x.run(cmd)
	program, err := exec.LookPath("git")
	if err != nil {
		x.t.Fatal(err)
	}
	fileClock(x.t, x.dir)
	x.begin()
	x.base = GitBase{Program: program, Dir: x.lower, Began: x.began}
}

func TestMergeWithGit(t *testing.T) {
	tests := map[string]struct{ agent, host, want, held string }{
		"changes at different places": {"sed -i 's/^2$/two/' a", "sed -i 's/^9$/nine/' a", "1\ntwo\n3\n4\n5\n6\n7\n8\nnine\n", ""},
		"the host has committed":      {"sed -i 's/^2$/two/' a", "sed -i 's/^9$/nine/' a; git commit -qam two", "1\ntwo\n3\n4\n5\n6\n7\n8\nnine\n", ""},
		"changes at the same place":   {"sed -i 's/^2$/two/' a", "sed -i 's/^2$/zwei/' a", "1\nzwei\n3\n4\n5\n6\n7\n8\n9\n", "both sides changed the same lines, first at line 2"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			x := newFixture(t, Trusted)
			x.repository("seq 9 >a")
			x.agent(test.agent)
			x.host(test.host)
			held := x.apply(Selection{All: true, Resolve: map[string]Resolution{"a": Merge}})
			why := ""
			for _, h := range held {
				why = h.Why
			}
			if data, err := os.ReadFile(filepath.Join(x.lower, "a")); string(data) != test.want || why != test.held {
				t.Errorf("%q, held: %q, %v", data, why, err)
			}
		})
	}
}

func TestAFileThatGitKnowsAndTheHostRemoved(t *testing.T) {
	x := newFixture(t, Trusted)
	x.repository("echo a >a; echo b >b")
	x.agent("echo 2 >x; mv x a; echo n >n")
	x.host("rm a")
	want := []string{"A a (conflict: the host removed it since the session began; git still has it)", "A n"}
	if diff := cmp.Diff(want, lines(x.review())); diff != "" {
		t.Error(diff)
	}
}

func TestGitRunsNothingThatTheRepositoryNames(t *testing.T) {
	x := newFixture(t, Trusted)
	x.repository("seq 9 >a; echo '* filter=evil diff=evil' >.gitattributes")
	canary := filepath.Join(x.dir, "canary")
	x.host(strings.NewReplacer("RUN", "touch "+canary).Replace(`for key in core.fsmonitor core.sshCommand core.gitProxy core.pager pager.cat-file diff.external diff.evil.textconv filter.evil.smudge filter.evil.clean \
		core.alternateRefsCommand uploadpack.packObjectsHook credential.helper core.editor; do git config $key 'RUN #'; done
		git config core.hooksPath hooks; mkdir -p hooks; for h in post-checkout reference-transaction pre-auto-gc post-index-change; do printf '#!/bin/sh\nRUN\n' >hooks/$h; chmod +x hooks/$h; done
		git config extensions.partialClone origin; git config remote.origin.url 'ext::sh -c RUN'; git config remote.origin.promisor true; git config protocol.ext.allow always`))
	os.Remove(canary)
	for _, name := range []string{"a", "none"} {
		if data, err := x.base.Blob(name); err != nil || (len(data) > 0) != (name == "a") {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	if _, err := os.Lstat(canary); !errors.Is(err, os.ErrNotExist) {
		t.Error("git ran a program of the repository's")
	}
}
