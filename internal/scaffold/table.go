package scaffold

import (
	"path"
	"slices"
	"strings"
	"unicode"
)

// A language is known by its files; registry is the word by which network.allow names where its packages come from.
type language struct {
	name, registry string
	files          []string // names, or patterns of them
	cache          string   // below the home: what its tool has already fetched
}

// languages is in the order in which a profile speaks of them. To add one: its line here, and a project in testdata.
var languages = []language{
	{"Go", "@go", []string{"go.mod", "go.work"}, "go/pkg/mod"},
	{"JavaScript", "@npm", []string{"package.json", "deno.json", "deno.jsonc"}, ".npm"},
	{"Python", "@pip", []string{"pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "requirements-*.txt", "Pipfile", "environment.yml"}, ".cache/pip"},
	{"Rust", "@cargo", []string{"Cargo.toml"}, ".cargo/registry"},
	{"Java", "", []string{"pom.xml", "build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"}, ""},
	{"Ruby", "", []string{"Gemfile", "*.gemspec"}, ""},
	{"PHP", "", []string{"composer.json"}, ""},
	{".NET", "", []string{"*.csproj", "*.fsproj", "*.sln"}, ""},
	{"C or C++", "", []string{"CMakeLists.txt", "configure.ac", "meson.build"}, ""},
	{"Elixir", "", []string{"mix.exs"}, ""},
	{"Swift", "", []string{"Package.swift"}, ""},
	{"Dart", "", []string{"pubspec.yaml"}, ""},
}

// lockFiles tells the tool by the file in which it pins versions.
var lockFiles = map[string]string{
	"go.sum": "go", "package-lock.json": "npm", "npm-shrinkwrap.json": "npm", "yarn.lock": "yarn", "pnpm-lock.yaml": "pnpm",
	"bun.lock": "bun", "bun.lockb": "bun", "deno.lock": "deno", "poetry.lock": "poetry", "uv.lock": "uv", "pdm.lock": "pdm",
	"Pipfile.lock": "pipenv", "Cargo.lock": "cargo", "Gemfile.lock": "bundler", "composer.lock": "composer", "mix.lock": "mix",
	"gradle.lockfile": "gradle", "packages.lock.json": "nuget", "pubspec.lock": "pub", "flake.lock": "nix",
}

var toolFiles = []struct {
	name  string
	files []string
}{
	{"make", []string{"Makefile", "GNUmakefile", "makefile"}}, {"just", []string{"justfile", "Justfile", ".justfile"}},
	{"task", []string{"Taskfile.yml", "Taskfile.yaml"}}, {"docker", []string{"Dockerfile", "Containerfile", "*.Dockerfile", "Dockerfile.*"}},
	{"compose", []string{"compose.yml", "compose.yaml", "docker-compose*.yml", "docker-compose*.yaml"}},
	{"pre-commit", []string{".pre-commit-config.yaml"}}, {"tox", []string{"tox.ini"}}, {"nox", []string{"noxfile.py"}},
	{"bazel", []string{"MODULE.bazel", "WORKSPACE.bazel", "BUILD.bazel"}}, {"terraform", []string{"*.tf"}}, {"cmake", []string{"CMakeLists.txt"}},
	{"maven", []string{"pom.xml"}}, {"gradle", []string{"build.gradle", "build.gradle.kts"}},
}

// ciSystems has, by its path in the project, what a CI system obeys.
var ciSystems = map[string]string{
	".github/workflows": "GitHub Actions", ".gitlab-ci.yml": "GitLab", ".gitlab/ci": "GitLab", ".circleci": "CircleCI", ".travis.yml": "Travis",
	"Jenkinsfile": "Jenkins", "azure-pipelines.yml": "Azure Pipelines", ".azure-pipelines": "Azure Pipelines", "bitbucket-pipelines.yml": "Bitbucket",
	".drone.yml": "Drone", ".woodpecker.yml": "Woodpecker", ".woodpecker": "Woodpecker", ".buildkite": "Buildkite", "appveyor.yml": "AppVeyor",
	".cirrus.yml": "Cirrus", ".gitea/workflows": "Gitea", ".forgejo/workflows": "Forgejo", "cloudbuild.yaml": "Cloud Build", ".semaphore": "Semaphore",
	".teamcity": "TeamCity", ".tekton": "Tekton", ".ci": "CI",
}

// notSecret ends the names of patterns to fill in.
var notSecret = []string{".example", ".sample", ".template", ".dist", ".tmpl", ".j2", ".pub", ".baseline", ".schema"}

// secretEndings are of files that hold a key or a state with secrets in it.
var secretEndings = []string{".ppk", ".gpg", ".ovpn", ".tfstate", ".tfstate.backup", ".tfvars", ".mobileprovision", ".p8", ".kubeconfig", ".agekey"}

var secretNames = []string{
	"kubeconfig", ".dockercfg", ".boto", ".s3cfg", ".pgpass", ".my.cnf", ".vault_pass", ".vault-password", "wp-config.php", "auth.json", "firebase-adminsdk*.json",
	"service-account*.json", "serviceaccount*.json", "service_account*.json", "client_secret*.json", ".terraformrc", ".envrc.local", ".secrets", ".passwd",
}

// secretWords are words of a name that say what a data file holds.
var secretWords = []string{"secret", "secrets", "credential", "credentials", "creds", "password", "passwords", "passwd", "token", "apikey", "apikeys", "privatekey"}

// dataEndings are of files that hold values; "secrets.go" holds code.
var dataEndings = []string{"", ".json", ".json5", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".txt", ".xml", ".properties", ".csv", ".bak", ".enc"}

// secretName reports whether a file is named like a secret.
func secretName(p string) bool {
	name := strings.ToLower(strings.TrimSpace(path.Base(p)))
	ends := func(list []string) bool {
		return slices.ContainsFunc(list, func(e string) bool { return strings.HasSuffix(name, e) })
	}
	switch {
	case ends(notSecret):
		return false
	case matchesAny(secretNames, name) || ends(secretEndings):
		return true
	}
	ext := path.Ext(name)
	if ext == name {
		ext = "" // a hidden file without an ending
	}
	words := strings.FieldsFunc(strings.TrimSuffix(name, ext), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return slices.Contains(dataEndings, ext) && slices.ContainsFunc(words, func(w string) bool { return slices.Contains(secretWords, w) })
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return ok && err == nil
	})
}
