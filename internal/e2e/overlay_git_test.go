package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// gitAs lets scripts commit, with times that do not move.
const gitAs = `export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_AUTHOR_DATE=@1700000000 GIT_COMMITTER_DATE=@1700000000 GIT_CONFIG_GLOBAL=/dev/null
git() { command git -c protocol.file.allow=always -c init.defaultBranch=main "$@"; }
`

// Ways for git's directory to lie outside of the workspace; each leaves the workspace in "work".
var gitOutside = map[string]struct{ make, dir string }{
	"a worktree":                  {`git init -q repo; cd repo; echo 1 >f; git add f; git commit -qm one; git worktree add -q ../work`, "repo/.git"},
	"a worktree of a bare one":    {`git init -q seed; cd seed; echo 1 >f; git add f; git commit -qm one; cd ..; git clone -q --bare seed bare.git; cd bare.git; git worktree add -q -b wt ../work`, "bare.git"},
	"a worktree of relative path": {`git init -q repo; cd repo; echo 1 >f; git add f; git commit -qm one; git worktree add -q ../work; echo "gitdir: ../repo/.git/worktrees/work" >../work/.git; echo ../../../../work/.git >.git/worktrees/work/gitdir`, "repo/.git"},
	"a submodule": {`git init -q lib; cd lib; echo 1 >f; git add f; git commit -qm one; cd ..; git init -q super; cd super; git submodule --quiet add ../lib work; git commit -qm super
cd ..; ln -s super/work work`, "super/.git/modules/work"},
}

const commitInside = gitAs + `git status --porcelain; echo 2 >>f; git commit -qam two; git branch topic; echo 3 >>f; git stash -q; git stash pop -q; git checkout -q -- f; git log --format=%s`

// git works in a worktree and in a submodule as it does in a repository, and on the host nothing happens before apply.
func TestGitOutsideTheWorkspace(t *testing.T) {
	for account, find := range accounts() {
		for kind, tc := range gitOutside {
			t.Run(account+", "+kind, func(t *testing.T) {
				w := newOverlay(t, find, "")
				top := w.dir
				w.host(t, gitAs+tc.make)
				dir := filepath.Join(top, tc.dir)
				w.dir = strings.TrimSpace(w.host(t, "cd work; pwd -P"))
				before := w.host(t, fmt.Sprintf("cd %q; find . -type f -exec md5sum {} + | sort", dir))
				if out := w.agent(t, commitInside); out != "two\none\n" {
					t.Errorf("in the box: %q", out)
				}
				if after := w.host(t, fmt.Sprintf("cd %q; find . -type f -exec md5sum {} + | sort", dir)); after != before {
					t.Errorf("the host's repository before apply:\n%s\nwas\n%s", after, before)
				}
				if held := w.apply(t, "--all"); strings.Contains(held, "held back") {
					t.Errorf("held: %s", held)
				}
				if out := w.host(t, gitAs+`git fsck --no-dangling 2>&1; git status --porcelain; git log --format=%s; git rev-parse --abbrev-ref topic; cat f`); out != "two\none\ntopic\n1\n2\n" {
					t.Errorf("on the host after apply: %q", out)
				}
			})
		}
	}
}

// What git executes and obeys in the shared directory needs its own yes, and so does what leads to another one.
func TestTheSharedGitDirectoryIsProtected(t *testing.T) {
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			w := newOverlay(t, find, "")
			top := w.dir
			w.host(t, gitAs+gitOutside["a worktree"].make)
			w.dir = filepath.Join(top, "work")
			repo := filepath.Join(top, "repo/.git")
			w.agent(t, fmt.Sprintf(`cd %q; echo evil >hooks/pre-commit; echo evil >>config; echo evil >config.worktree; echo evil >info/attributes; mkdir -p modules/m/hooks
echo evil >modules/m/hooks/x; echo evil >modules/m/config; echo evil >worktrees/work/config.worktree; echo evil >worktrees/work/commondir; echo evil >worktrees/work/gitdir; echo fine >worktrees/work/NOTE`, repo))
			w.apply(t, "--all")
			if got := w.host(t, fmt.Sprintf("cd %q; grep -rl evil . || true; cat worktrees/work/NOTE", repo)); got != "fine\n" {
				t.Errorf("on the host: %s", got)
			}
			w.apply(t, filepath.Join(repo, "hooks/pre-commit"))
			if got := w.host(t, fmt.Sprintf("cd %q; grep -rl evil .", repo)); got != "./hooks/pre-commit\n" {
				t.Errorf("when it is named: %s", got)
			}
		})
	}
}

// A ".git" file is the workspace's word. What it names is shown only if that leads back.
func TestAGitFileShowsNothingElse(t *testing.T) {
	const victim = `git init -q victim; echo token >victim/.git/secret; mkdir work; `
	for name, lie := range map[string]string{
		"another repository":                  `echo "gitdir: $PWD/victim/.git" >work/.git`,
		"a worktree of somebody else":         `cd victim; git commit -q --allow-empty -m x; git worktree add -q ../other; cd ..; cp other/.git work/.git`,
		"a directory of its own in between":   `mkdir -p work/g/worktrees/x; echo "gitdir: $PWD/work/g/worktrees/x" >work/.git; echo "$PWD/victim/.git" >work/g/worktrees/x/commondir; echo "$PWD/work/.git" >work/g/worktrees/x/gitdir; echo "ref: refs/heads/x" >work/g/worktrees/x/HEAD`,
		"a link of its own":                   `mkdir work/l; ln -s "$PWD/victim/.git" work/l/git; echo "gitdir: l/git" >work/.git`,
		"no repository":                       `mkdir -p victim/.git/sub; echo "gitdir: $PWD/victim/.git/sub" >work/.git`,
		"a worktree with a false common part": `mkdir -p fake/worktrees/x; echo "gitdir: $PWD/fake/worktrees/x" >work/.git; echo "$PWD/victim/.git" >fake/worktrees/x/commondir; echo "$PWD/work/.git" >fake/worktrees/x/gitdir`,
	} {
		for account, find := range accounts() {
			t.Run(account+", "+name, func(t *testing.T) {
				for _, mode := range []string{"overlay", "ro", "rw"} {
					w := newWorld(t, find, fmt.Sprintf("[workspace]\nmode = %q\n", mode))
					top := w.dir
					w.host(t, gitAs+victim+lie)
					w.dir = filepath.Join(top, "work")
					r := w.sh(t, fmt.Sprintf("cat %s/victim/.git/secret; true", top))
					if r.code != 0 || strings.Contains(r.out, "token") {
						t.Errorf("mode %s: %+v", mode, r)
					}
					if name == "another repository" && !strings.Contains(r.err, "git in the box: ") {
						t.Errorf("mode %s: not said: %s", mode, r.err)
					}
				}
			})
		}
	}
}

// In the other modes the repository can be read.
func TestGitOutsideAWorkspaceWithoutOverlay(t *testing.T) {
	for account, find := range accounts() {
		for _, mode := range []string{"ro", "rw"} {
			t.Run(account+", "+mode, func(t *testing.T) {
				w := newWorld(t, find, fmt.Sprintf("[workspace]\nmode = %q\n", mode))
				top := w.dir
				w.host(t, gitAs+gitOutside["a worktree"].make)
				w.dir = filepath.Join(top, "work")
				r := w.run(t, "bash", "-c", gitAs+`git log --format=%s; git status --porcelain; echo evil >`+top+`/repo/.git/hooks/x; git commit -q --allow-empty -m no && echo COMMITTED`)
				if r.out != "one\n" {
					t.Errorf("%+v", r)
				}
			})
		}
	}
}

// A submodule below the workspace has its git directory there, and a repository in a repository too.
func TestSubmodulesInTheWorkspace(t *testing.T) {
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			w := newOverlay(t, find, "")
			w.host(t, gitAs+`git init -q lib; cd lib; echo 1 >f; git add f; git commit -qm one; cd ..; git init -q super; cd super; git submodule --quiet add ../lib sub; git commit -qm super`)
			w.dir = filepath.Join(w.dir, "super")
			w.agent(t, gitAs+`cd sub; echo 2 >>f; git commit -qam two; echo evil >../.git/modules/sub/hooks/pre-commit; echo evil >>../.git/modules/sub/config; cd ..; git commit -qam bump`)
			w.apply(t, "--all")
			if out := w.host(t, gitAs+`git log --format=%s; git -C sub log --format=%s; git status --porcelain; grep -rl evil . || true`); out != "bump\nsuper\ntwo\none\n" {
				t.Errorf("on the host: %q", out)
			}
		})
	}
}
