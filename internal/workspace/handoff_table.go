package workspace

// A Handoff says that something outside the box executes a file later, or takes
// orders from it.
type Handoff struct {
	Class string `json:"class"` // what kind of program does
	When  string `json:"when"`  // "runs when you next commit"
}

// A rule names hand-off files. A pattern matches the last components of a path, at
// any depth and in any case; one that ends in a slash matches everything below
// such a directory, and a link or file in the directory's place.
type rule struct {
	class, when string
	patterns    []string
	only        func(before, after []byte) bool // looks at the content; nil means always
}

// rules is the table of hand-off files. To add one: put its pattern in the line of
// the program that acts on it, and a path in handoff_test.go.
var rules = []rule{
	{class: "git", when: "git reads it when you next run a git command here", patterns: []string{".gitconfig", ".gitmodules", ".lfsconfig", ".git-blame-ignore-revs.d/"}},
	{class: "git", when: "decides which configured programs git runs on your files", patterns: []string{".gitattributes"}, only: attributesChanged},
	{class: "git hooks", when: "runs when you next commit or push", patterns: []string{
		".husky/", ".githooks/", ".git-hooks/", "lefthook.yml", "lefthook.yaml", "lefthook.toml", "lefthook.json", ".lefthook.yml", ".lefthook.yaml",
		"lefthook-local.yml", ".lefthook/", ".lefthook-local/", ".pre-commit-config.yaml", ".pre-commit-config.yml", ".pre-commit-hooks.yaml", ".overcommit.yml", ".lintstagedrc*", "lint-staged.config.*", ".simple-git-hooks.*", ".czrc", ".commitlintrc*"}},
	{class: "CI", when: "runs in your CI when you push", patterns: []string{
		".github/workflows/", ".github/actions/", "action.yml", "action.yaml", ".github/dependabot.yml", ".github/codeowners", ".gitlab-ci.yml", ".gitlab-ci.yaml", ".gitlab/", ".gitlab-ci/", ".circleci/", ".travis.yml", "jenkinsfile", "jenkinsfile.*", "azure-pipelines*.yml",
		".azure-pipelines/", ".azuredevops/", "bitbucket-pipelines.yml", ".drone.yml", ".drone.star", ".woodpecker.yml", ".woodpecker/", ".buildkite/", "appveyor.yml", ".appveyor.yml", ".cirrus.yml", ".cirrus.star", ".teamcity/",
		"cloudbuild.yaml", "cloudbuild.yml", "buildspec.yml", "buildspec.yaml", ".forgejo/workflows/", ".gitea/workflows/", ".semaphore/", "wercker.yml", ".concourse/", ".tekton/", "netlify.toml", "vercel.json", "renovate.json", ".renovaterc*"}},
	{class: "editor", when: "your editor acts on it when you open the project", patterns: []string{
		".vscode/", "*.code-workspace", ".idea/", "*.iml", "*.ipr", "*.iws", ".run/", ".zed/", ".fleet/", ".vs/", ".sublime-project", "*.sublime-project", ".dir-locals.el", ".dir-locals-2.el", ".exrc", ".vimrc", ".nvimrc", ".nvim.lua", ".lvimrc", ".local.vimrc", "_vimrc", ".theia/", ".nova/",
		".settings/", ".project", ".classpath", ".ensime", ".clangd", ".ycm_extra_conf.py", ".netrwhist", ".eslintrc*", ".prettierrc*", ".stylelintrc*"}},
	{class: "container", when: "runs when you build or start its containers", patterns: []string{
		"dockerfile", "dockerfile.*", "*.dockerfile", "containerfile", "containerfile.*", "docker-compose*.yml", "docker-compose*.yaml", "compose.yml", "compose.yaml", "compose.*.yml", "compose.*.yaml", "docker-bake.hcl", "docker-bake.json", ".devcontainer/", ".devcontainer.json", "devcontainer.json",
		"vagrantfile", "tiltfile", "skaffold.yaml", "procfile", "procfile.*", ".gitpod.yml", ".gitpod.dockerfile", ".replit", "earthfile"}},
	{class: "agent", when: "your next agent outside the box takes orders from it", patterns: []string{
		".claude/", "claude.md", "claude.local.md", "claude.*.md", ".mcp.json", "mcp.json", ".codex/", ".agents/", ".agent/", "agents.md", "agents.override.md", "agent.md", ".cursor/", ".cursorrules", ".cursorignore", ".gemini/", "gemini.md", ".geminiignore", ".aider*", ".continue/", ".continuerc.json", ".windsurf/",
		".windsurfrules", ".clinerules", ".clinerules/", ".cline/", ".roo/", ".roorules*", ".roomodes", ".kilocode/", ".opencode/", "opencode.json", "opencode.jsonc", ".amazonq/", ".kiro/", ".goosehints", ".goose/", ".junie/", ".qwen/", "qwen.md", ".factory/", ".crush/", "crush.json", ".crush.json", "crush.md", ".amp/", ".augment/", ".trae/", "skill.md",
		".github/copilot-instructions.md", ".github/instructions/", ".github/prompts/", ".github/agents/", ".github/chatmodes/", ".rules", ".agentbox.toml", "agentbox.toml"}},
	{class: "shell", when: "runs when you next open a shell or enter the directory", patterns: []string{
		".envrc", ".env.sh", ".direnvrc", ".direnv/", ".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".profile", ".zshrc", ".zshenv", ".zprofile", ".zlogin", ".zlogout", ".kshrc", ".cshrc", ".tcshrc", ".login", ".inputrc", ".config/fish/", "config.fish", ".tmux.conf", ".screenrc", ".xinitrc", ".xprofile", ".xsessionrc",
		".config/autostart/", ".config/systemd/", ".autoenv", ".autoenv.zsh", ".env.zsh", ".in", ".out", ".ripgreprc", ".wgetrc", ".curlrc", ".gdbinit", ".lldbinit", ".irbrc", ".pryrc", ".sqliterc", ".psqlrc", ".ssh/", "crontab"}},
	{class: "tool versions", when: "chooses the programs that your tools run", patterns: []string{
		".tool-versions", ".mise.toml", "mise.toml", ".mise.*.toml", "mise.*.toml", ".mise/", ".config/mise/", ".config/mise.toml", ".rtx.toml", ".nvmrc", ".node-version", ".python-version", ".ruby-version", ".sdkmanrc", "rust-toolchain", "rust-toolchain.toml", ".terraform-version", ".java-version", ".go-version", "devbox.json", "flake.nix", "shell.nix", "default.nix", ".asdfrc", "global.json", "hermit.hcl", "volta.json", "proto.toml", ".prototools"}},
	{class: "package manager", when: "runs when you next install or run a script", patterns: []string{"package.json"}, only: packageScriptsChanged},
	{class: "package manager", when: "runs when you next install, or changes where packages come from", patterns: []string{
		".npmrc", ".yarnrc", ".yarnrc.yml", ".yarn/plugins/", ".yarn/releases/", ".yarn/sdks/", ".pnp.cjs", ".pnp.loader.mjs", ".pnpmfile.cjs", "pnpmfile.js", ".pnpmfile.mjs", "pnpm-workspace.yaml", "bunfig.toml", "binding.gyp", ".node-gyp/", "lerna.json", "deno.json", "deno.jsonc",
		"setup.py", "pip.conf", ".pypirc", "pip.ini", "uv.toml", ".condarc", "environment.yml", "poetry.toml", ".cargo/config", ".cargo/config.toml", "build.rs", "gemfile", "*.gemspec", ".bundle/config", "podfile", "*.podspec", ".mvn/", "settings.xml", "nuget.config", "paket.dependencies", "go.work", "vendor/modules.txt", "conanfile.py", "vcpkg.json"}},
	{class: "package manager", when: "runs when you next install or build", patterns: []string{"cargo.toml"}, only: linesChanged("build", "links", "proc-macro", "linker", "[patch", "[replace", "[profile")},
	{class: "package manager", when: "runs when you next install or build", patterns: []string{"pyproject.toml"}, only: linesChanged("build-backend", "backend-path", "requires", "[build-system", "[tool.", "addopts", "[project.scripts", "[project.entry-points", "index-url", "extra-index-url", "url")},
	{class: "package manager", when: "runs when you next install or run a script", patterns: []string{"composer.json"}, only: packageScriptsChanged},
	{class: "go toolchain", when: "chooses the Go program that builds, or where a module comes from", patterns: []string{"go.mod"}, only: linesChanged("toolchain", "replace", "tool")},
	{class: "package manager", when: "is found before your own programs by package scripts", patterns: []string{"node_modules/.bin/"}},
	{class: "build", when: "runs when you next build", patterns: []string{
		"makefile", "gnumakefile", "bsdmakefile", "makefile.inc", "makefile.common", "makefile.local", "*.mk", "*.mak", "makefile.am", "makefile.in", "justfile", ".justfile", "*.just", "taskfile.yml", "taskfile.yaml", "taskfile.*.yml", "taskfile.dist.*", "magefile.go", "magefiles/", "cmakelists.txt", "*.cmake", "cmakepresets.json", "cmakeuserpresets.json", "configure", "configure.ac", "configure.in", "autogen.sh", "bootstrap.sh", "meson.build", "meson_options.txt", "sconstruct", "sconscript", "wscript", "*.bzl", "build.bazel", "workspace.bazel", "module.bazel", ".bazelrc", ".bazelversion", "tools/bazel", ".buckconfig", "buck",
		"build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts", "gradle.properties", "init.gradle", "gradlew", "gradlew.bat", "gradle/wrapper/", "buildsrc/", "mvnw", "mvnw.cmd", "pom.xml", "build.xml", "build.sbt", "project/build.properties", "project/plugins.sbt", "rakefile", "rakefile.rb", "*.rake", "directory.build.props", "directory.build.targets", "*.csproj", "*.vcxproj", "*.targets", "*.props", "build.zig", "build.ninja", "dune", "dune-project", "mix.exs", "rebar.config", "project.clj", "deps.edn", "package.swift", "build.sc", "pants.toml", "please", ".plzconfig", "build.xsh", "dodo.py", "noxfile.py", "tasks.py", "fabfile.py", "gulpfile.*", "gruntfile.*", "jakefile*", "cakefile"}},
	{class: "tests", when: "runs when you next run the tests", patterns: []string{
		"conftest.py", "sitecustomize.py", "usercustomize.py", "*.pth", "pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg", ".coveragerc", ".rspec", "spec_helper.rb", ".mocharc*", "jest.setup.*", "vitest.workspace.*", "phpunit.xml*", "codecov.yml", ".pylintrc", "pylintrc", "mypy.ini", ".mypy.ini", ".flake8", ".rubocop.yml"}},
	{class: "tool configuration", when: "runs inside your build tools, linters and editor", patterns: []string{
		"*.config.js", "*.config.cjs", "*.config.mjs", "*.config.ts", "*.config.cts", "*.config.mts", ".babelrc*", "babel.config.*", ".swcrc", ".postcssrc*", ".parcelrc", ".mdxrc*", "metro.config.*", "angular.json", "nx.json", "turbo.json", ".golangci.yml", ".golangci.yaml", ".golangci.toml", ".terraform/", ".terraformrc", "ansible.cfg", "makepkg.conf", ".releaserc*", ".goreleaser.yml", ".goreleaser.yaml", "*.desktop"}},
}
