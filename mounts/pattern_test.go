package mounts

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"agentbox/internal/boxtest"
)

func TestPatterns(t *testing.T) {
	for name, tc := range map[string]struct {
		patterns []string
		path     string
		dir      bool
		want     string // the key that decides, or "" for no match
	}{
		"a name without a slash is found at any depth":  {[]string{".env"}, "a/b/.env", false, "k[0]"},
		"a star stays within one component":             {[]string{"a/*.pem"}, "a/b/x.pem", false, ""},
		"a leading slash anchors":                       {[]string{"/x"}, "a/x", false, ""},
		"a slash in the middle anchors, too":            {[]string{"a/x"}, "b/a/x", false, ""},
		"two stars cross directories":                   {[]string{"a/**/x"}, "a/b/c/x", false, "k[0]"},
		"two stars are also no directory":               {[]string{"a/**/x"}, "a/x", false, "k[0]"},
		"two stars at the end are everything below":     {[]string{"a/**"}, "a/b", false, "k[0]"},
		"a trailing slash is for directories":           {[]string{"x/"}, "x", false, ""},
		"and finds them":                                {[]string{"x/"}, "x", true, "k[0]"},
		"an exception takes out what came before":       {[]string{".env*", "!.env.example"}, ".env.example", false, ""},
		"a later pattern overrides an exception":        {[]string{"!.env", ".env*"}, ".env", false, "k[1]"},
		"a class is negated as in gitignore":            {[]string{"[!a]x"}, "bx", false, "k[0]"},
		"a name that is not UTF-8 is a name":            {[]string{"*.key"}, "a/\xff.key", false, "k[0]"},
		"a home pattern is not of a workspace":          {[]string{"~/.ssh"}, ".ssh", true, ""},
		"a pattern that cannot be read matches nothing": {[]string{"[", "x"}, "x", false, "k[1]"},
	} {
		t.Run(name, func(t *testing.T) {
			if key, _ := ParsePatterns("k", tc.patterns).match(tc.path, tc.dir); key != tc.want {
				t.Errorf("%q decides, not %q", key, tc.want)
			}
		})
	}
}

// match leaves out the key of an exception.
func (p Patterns) match(name string, dir bool) (string, bool) {
	key, ok := p.Match(name, dir)
	if !ok {
		return "", false
	}
	return key, true
}

// Git is the oracle: random patterns over random trees must decide as `git check-ignore` does. A parent that is
// ignored ends git's look below it, so only trees of which no parent matches are compared.
func TestPatternsDecideAsGitDoes(t *testing.T) {
	boxtest.Need(t, boxtest.Git)
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	word := func() string { return pick("a", "b", "ab", "a.b", ".env", "x.pem") }
	for i := range 40 {
		dir := t.TempDir()
		var paths, patterns []string
		for range 12 {
			p := word()
			for range random.IntN(3) {
				p += "/" + word()
			}
			if os.MkdirAll(filepath.Dir(filepath.Join(dir, p)), 0o755) == nil && os.WriteFile(filepath.Join(dir, p), nil, 0o644) == nil {
				paths = append(paths, p)
			}
		}
		for range 3 {
			p := pick("", "", "/", "!") + pick("", "", "**/", "a/", "*/") + pick(word(), "*", "*.pem", "?", "a*", "[ab]") + pick("", "", "/**", "/")
			patterns = append(patterns, p)
		}
		ours := ParsePatterns("k", patterns)
		for path, ignored := range checkIgnore(t, dir, patterns, paths) {
			if parentMatches(ours, path) {
				continue
			}
			if _, ok := ours.Match(path, false); ok != ignored {
				t.Errorf("run %d: %q of %q: git says %v", i, path, patterns, ignored)
			}
		}
	}
}

func parentMatches(p Patterns, path string) bool {
	for dir := filepath.Dir(path); dir != "."; dir = filepath.Dir(dir) {
		if _, ok := p.Match(dir, true); ok {
			return true
		}
	}
	return false
}

func checkIgnore(t *testing.T, dir string, patterns, paths []string) map[string]bool {
	t.Helper()
	git := func(input string, args ...string) string {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "core.excludesFile=/dev/null"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+dir)
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.Output()
		if exit, ok := err.(*exec.ExitError); ok && exit.ExitCode() != 1 {
			t.Fatalf("git %v: %v: %s", args, err, exit.Stderr)
		}
		return string(out)
	}
	git("", "init", "-q")
	if err := os.WriteFile(filepath.Join(dir, ".git/info/exclude"), []byte(strings.Join(patterns, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	for _, p := range paths {
		said[p] = false
	}
	for line := range strings.Lines(git(strings.Join(paths, "\n"), "check-ignore", "--no-index", "--stdin")) {
		said[strings.TrimSuffix(line, "\n")] = true
	}
	return said
}

func FuzzPatterns(f *testing.F) {
	f.Add("a/**/b", "a/b", true)
	f.Add("!**", "x", false)
	f.Fuzz(func(t *testing.T, pattern, path string, dir bool) {
		if path == "" || strings.Contains(path, "//") || strings.HasPrefix(path, "/") {
			return
		}
		p := ParsePatterns("k", []string{pattern})
		_, plain := p.Match(path, dir)
		p.Add("all", "**")
		if key, ok := p.Match(path, dir); !ok || key != "all" {
			t.Errorf("%q then ** does not match %q (%v, %v)", pattern, path, key, plain)
		}
		p.Add("none", "!**")
		if _, ok := p.Match(path, dir); ok {
			t.Errorf("%q is matched after an exception of everything", path)
		}
	})
}
