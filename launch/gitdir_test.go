package launch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentbox/mounts"
)

// A git directory outside the workspace is shown when it leads back to it, and nothing else is.
func TestGitDirectoryOutsideTheWorkspace(t *testing.T) {
	worktree := func(text map[string]string) map[string]string {
		files := map[string]string{"ws/.git": "gitdir: %/repo/.git/worktrees/x\n", "repo/.git/HEAD": "ref: refs/heads/main\n", "repo/.git/objects/.keep": "", "repo/.git/refs/.keep": "",
			"repo/.git/worktrees/x/commondir": "../..\n", "repo/.git/worktrees/x/gitdir": "%/ws/.git\n"}
		for name, content := range text {
			files[name] = content
		}
		return files
	}
	module := func(config string) map[string]string {
		return map[string]string{"ws/.git": "gitdir: ../repo/.git/modules/m\n", "repo/.git/modules/m/HEAD": "x", "repo/.git/modules/m/objects/.keep": "",
			"repo/.git/modules/m/refs/.keep": "", "repo/.git/modules/m/config": config}
	}
	for name, tc := range map[string]struct {
		files map[string]string
		links map[string]string
		want  string // below the scratch directory
		why   string
	}{
		"no .git":                           {files: map[string]string{"ws/f": ""}},
		"a directory":                       {files: map[string]string{"ws/.git/HEAD": "x"}},
		"a file that is none of git's":      {files: map[string]string{"ws/.git": "hello"}},
		"a worktree":                        {files: worktree(nil), want: "repo/.git"},
		"with relative names":               {files: worktree(map[string]string{"ws/.git": "gitdir: ../repo/.git/worktrees/x", "repo/.git/worktrees/x/gitdir": "../../../../ws/.git"}), want: "repo/.git"},
		"of another workspace":              {files: worktree(map[string]string{"repo/.git/worktrees/x/gitdir": "%/other/.git\n"}), why: "does not name this workspace"},
		"with another common directory":     {files: worktree(map[string]string{"repo/.git/worktrees/x/commondir": "%/victim\n", "victim/HEAD": "x", "victim/objects/.keep": "", "victim/refs/.keep": ""}), why: "no git repository"},
		"not below worktrees":               {files: map[string]string{"ws/.git": "gitdir: %/a/b/c", "a/b/c/commondir": "../..", "a/b/c/gitdir": "%/ws/.git", "a/HEAD": "", "a/objects/.keep": "", "a/refs/.keep": ""}, why: "no git repository"},
		"of what is no repository":          {files: map[string]string{"ws/.git": "gitdir: %/r/worktrees/x", "r/worktrees/x/commondir": "../..", "r/worktrees/x/gitdir": "%/ws/.git"}, why: "no git repository"},
		"through a link":                    {files: worktree(map[string]string{"ws/.git": "gitdir: %/link/worktrees/x"}), links: map[string]string{"link": "repo/.git"}, why: "cannot be read"},
		"whose objects are a link":          {files: map[string]string{"ws/.git": "gitdir: %/r/worktrees/x", "r/worktrees/x/commondir": "../..", "r/worktrees/x/gitdir": "%/ws/.git", "r/HEAD": "", "r/refs/.keep": "", "o/x": ""}, links: map[string]string{"r/objects": "../o"}, why: "no git repository"},
		"in the workspace itself":           {files: map[string]string{"ws/.git": "gitdir: g", "ws/g/HEAD": "x"}},
		"a submodule":                       {files: module("[core]\n\trepositoryformatversion = 0\n\tworktree = ../../../../ws\n"), want: "repo/.git/modules/m"},
		"a submodule, quoted and absolute":  {files: module("[CORE]\n\tWorkTree = \"%/ws\"\n"), want: "repo/.git/modules/m"},
		"a submodule of another":            {files: module("[core]\n\tworktree = ../../../../other\n"), why: "does not name this workspace"},
		"a submodule without a work tree":   {files: module("[core]\n\tbare = false\n[remote \"worktree\"]\n\turl = ../../../../ws\n"), why: "does not name this workspace"},
		"a repository that names no other":  {files: map[string]string{"ws/.git": "gitdir: %/v", "v/HEAD": "x", "v/objects/.keep": "", "v/refs/.keep": ""}, why: "does not name this workspace"},
		"the last work tree is the one":     {files: module("[core]\n\tworktree = ../../../../ws\n\tworktree = /elsewhere\n"), why: "does not name this workspace"},
		"a name with bytes of another kind": {files: worktree(map[string]string{"ws/.git": "gitdir: %/\xff\n"}), why: "does not name this workspace"},
	} {
		t.Run(name, func(t *testing.T) {
			top := scratchDir(t)
			for file, text := range tc.files {
				full := filepath.Join(top, file)
				must(t, os.MkdirAll(filepath.Dir(full), 0o755))
				must(t, os.WriteFile(full, []byte(strings.ReplaceAll(text, "%", top)), 0o644))
			}
			for link, to := range tc.links {
				must(t, os.Symlink(to, filepath.Join(top, link)))
			}
			h := Host{CallerUID: uint32(os.Geteuid())}
			h.Files.Workspace.Path = filepath.Join(top, "ws")
			must(t, h.lookGit(mounts.Patterns{}))
			want := ""
			if tc.want != "" {
				want = filepath.Join(top, tc.want)
			}
			if g := h.Files.Git; g.Path != want || (g.Why != "") != (tc.why != "") || !strings.Contains(g.Why, tc.why) {
				t.Errorf("shown %q because %q, want %q, %q", g.Path, g.Why, want, tc.why)
			}
		})
	}
}

func TestAGitDirectoryOfSomebodyElse(t *testing.T) {
	top := scratchDir(t)
	plant(t, top, "ws/f", "repo/.git/HEAD", "repo/.git/objects/", "repo/.git/refs/", "repo/.git/worktrees/x/")
	for name, text := range map[string]string{"ws/.git": "gitdir: ../repo/.git/worktrees/x", "repo/.git/worktrees/x/commondir": "../..", "repo/.git/worktrees/x/gitdir": top + "/ws/.git"} {
		must(t, os.WriteFile(filepath.Join(top, name), []byte(text), 0o644))
	}
	for uid, shown := range map[int]bool{os.Geteuid(): true, os.Geteuid() + 1: false} {
		h := Host{CallerUID: uint32(uid)}
		h.Files.Workspace.Path = filepath.Join(top, "ws")
		must(t, h.lookGit(mounts.ParsePatterns("workspace.mask", []string{"*.key"})))
		if got := h.Files.Git.Path != ""; got != shown {
			t.Errorf("caller %d: shown %v, %s", uid, got, h.Files.Git.Why)
		}
	}
}

// The text is an agent's. Whatever it says, the answer is one of its values.
func FuzzCoreWorktree(f *testing.F) {
	f.Add("[core]\n\tworktree = ../x\n")
	f.Add("[core]\nworktree=\"a\\\"b\"")
	f.Fuzz(func(t *testing.T, text string) {
		if value, ok := coreWorktree(text); !ok && value != "" || strings.Contains(value, "\n") {
			t.Errorf("%q: %q, %v", text, value, ok)
		}
	})
}
