package workspace

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClassify(t *testing.T) {
	handoffs := strings.Fields(`.git/hooks/pre-commit .git/config .git/config.worktree .git/info/attributes .git/modules/a/b/hooks/x .git/modules/sub/config .git/worktrees/w/commondir .git/worktrees/w/gitdir
		.git .git/hooks sub/.git .GIT/config a/b/.git/hooks/post-merge .git/rebase-merge/git-rebase-todo .git/modules .gitmodules .gitconfig
		.github/workflows/x.yml .github/actions/a/action.yml .gitlab-ci.yml .circleci/config.yml .travis.yml Jenkinsfile azure-pipelines.yml .drone.yml .forgejo/workflows/a.yml
		.vscode/tasks.json .vscode/settings.json .vscode/launch.json .vscode sub/.vscode/tasks.json x.code-workspace .idea/workspace.xml .idea/runConfigurations/a.xml .dir-locals.el .exrc
		Makefile makefile GNUmakefile a/Makefile x.mk justfile Taskfile.yml CMakeLists.txt build.gradle gradlew gradle/wrapper/gradle-wrapper.properties pom.xml Rakefile gulpfile.js
		.envrc .bashrc .zshrc .profile .husky/pre-commit .husky lefthook.yml .pre-commit-config.yaml .githooks/pre-push
		setup.py conftest.py tests/conftest.py sitecustomize.py pytest.ini tox.ini noxfile.py a.pth build.rs .cargo/config.toml .cargo/config crates/x/.cargo/config.toml Gemfile x.gemspec
		.npmrc .yarnrc.yml .pnpmfile.cjs bunfig.toml .yarn/releases/yarn.cjs package.json composer.json Cargo.toml pyproject.toml go.mod .gitattributes go.work
		Dockerfile Dockerfile.dev docker-compose.yml docker-compose.override.yaml compose.yaml .devcontainer/devcontainer.json Vagrantfile
		.claude/settings.json .claude/settings.local.json .claude/agents/a.md CLAUDE.md docs/CLAUDE.md AGENTS.md .mcp.json .codex/config.toml .cursor/mcp.json .cursorrules .gemini/settings.json GEMINI.md .agentbox.toml agentbox.toml .github/copilot-instructions.md
		.tool-versions .mise.toml .nvmrc .python-version rust-toolchain.toml flake.nix shell.nix webpack.config.js eslint.config.mjs .eslintrc.json .ripgreprc node_modules/.bin/tsc`)
	ordinary := strings.Fields(`main.go README.md src/hooks/use.ts .git/index .git/HEAD .git/objects/ab/cdef .git/refs/heads/hooks .git/refs/heads/hooks/config .git/logs/HEAD .git/COMMIT_EDITMSG .gitignore config hooks
		docs/config src/makefile.go Makefile.md.txt package-lock.json go.sum .github/ISSUE_TEMPLATE.md x/claude.mdx node_modules/a/package.json node_modules/a/Makefile vscode/tasks.json .vscodex/x git/hooks/x test.py setup.pyc Dockerfilex`)
	for _, name := range handoffs {
		if len(Classify(name, File)) == 0 {
			t.Errorf("%s is no hand-off file", name)
		}
	}
	for _, name := range ordinary {
		if got := Classify(name, File); len(got) > 0 {
			t.Errorf("%s is a hand-off file: %+v", name, got)
		}
	}
	for _, name := range []string{".github", ".cargo", ".vscode", ".git", "x/gradle"} {
		if len(Classify(name, Symlink)) == 0 {
			t.Errorf("%s may be a link to a directory of hand-off files", name)
		}
	}
	for _, name := range []string{".git", ".git/hooks", ".vscode", ".claude", "Makefile", ".github/workflows"} {
		if got := Classify(name, Dir); len(got) > 0 {
			t.Errorf("the directory %s runs nowhere: %+v", name, got)
		}
	}
}

func TestHandoffsByContent(t *testing.T) {
	tests := map[string]struct {
		host, agent string
		want        []string // the classes
	}{
		"a package's dependency":    {`echo '{"scripts":{"a":"b"}}' >package.json`, `echo '{"scripts":{"a":"b"},"dependencies":{"x":"1"}}' >package.json`, nil},
		"a package's script":        {`echo '{"scripts":{"a":"b"}}' >package.json`, `echo '{"scripts":{"a":"c"}}' >package.json`, []string{"package manager"}},
		"a package that is no JSON": {`echo '{}' >package.json`, `echo '{' >package.json`, []string{"package manager"}},
		"a package that is new":     {``, `echo '{"scripts":{"a":"c"}}' >package.json`, []string{"package manager"}},
		"a package that goes":       {`echo '{}' >package.json`, `rm package.json`, []string{"package manager"}},
		"an attribute for text":     {``, `echo '*.txt text' >.gitattributes`, nil},
		"an attribute for a filter": {``, `echo '* filter=x' >.gitattributes`, []string{"git"}},
		"a module's version":        {`printf 'module a\ngo 1.26\n' >go.mod`, `printf 'module a\ngo 1.26\nrequire b v1.0.0\n' >go.mod`, nil},
		"a module's replacement":    {`printf 'module a\n' >go.mod`, `printf 'module a\nreplace b => ./c\n' >go.mod`, []string{"go toolchain"}},
		"a renamed Makefile":        {`seq 9 >Makefile`, `mv Makefile x`, []string{"build"}},
		"a file renamed to one":     {`seq 9 >x`, `mv x Makefile`, []string{"build"}},
		"a repository in disguise":  {`mkdir -p .git/objects; touch .git/HEAD`, `cp -r .git x; echo evil >x/config`, []string{"git"}},
		"hooks in disguise":         {``, `mkdir -p x/objects x/hooks; touch x/HEAD; echo evil >x/hooks/pre-commit`, []string{"git hooks"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			x := newFixture(t, Trusted)
			x.host(test.host)
			x.agent(test.agent)
			var got []string
			for _, c := range x.review().Changes {
				for _, h := range c.Handoffs {
					got = append(got, h.Class)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheTableOfHandoffs(t *testing.T) {
	seen := map[string]string{}
	for _, r := range rules {
		for _, p := range r.patterns {
			if p != strings.ToLower(p) || strings.HasPrefix(p, "/") {
				t.Errorf("%q can match nothing", p)
			}
			if first, ok := seen[p]; ok && r.only == nil {
				t.Errorf("%q stands in two rules: %s and %s", p, first, r.class)
			}
			seen[p] = r.class
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	for b.Loop() {
		Classify("node/packages/some/where/deep/in/the/tree/index.ts", File)
	}
}
