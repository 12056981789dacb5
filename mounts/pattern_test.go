package mounts

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"agentbox/internal/boxtest"
)

func TestPatterns(t *testing.T) {
	for name, tc := range map[string]struct {
		patterns []string
		path     string // with a slash at the end: a directory
		want     string // the key that decides, or "": not named
	}{
		"a name without a slash is meant at any depth":        {[]string{".env"}, "a/b/.env", "k[0]"},
		"a name is not the beginning of a longer one":         {[]string{".env"}, ".envrc", ""},
		"a slash in front means the top":                      {[]string{"/agentbox.toml"}, "a/agentbox.toml", ""},
		"a slash in the middle means the top, too":            {[]string{".git/hooks"}, "vendor/.git/hooks", ""},
		"a slash at the end means directories":                {[]string{"build/"}, "build", ""},
		"a slash at the end alone is no anchor":               {[]string{"build/"}, "a/build/", "k[0]"},
		"a star stays in its component":                       {[]string{"a/*.key"}, "a/b/c.key", ""},
		"two stars pass any number of directories":            {[]string{"a/**/hooks"}, "a/b/c/hooks", "k[0]"},
		"two stars pass none as well":                         {[]string{"a/**/hooks"}, "a/hooks", "k[0]"},
		"two stars at the end mean what is inside":            {[]string{"a/**"}, "a/", ""},
		"the last pattern that matches decides":               {[]string{"*.pem", "!ca.pem"}, "ca.pem", ""},
		"an exception can be taken back":                      {[]string{"*.pem", "!ca.pem", "ca.*"}, "ca.pem", "k[2]"},
		"an exception with a path leaves the others":          {[]string{"*.pem", "!testdata/**/*.pem"}, "ca.pem", "k[0]"},
		"a class may be negated with an exclamation mark":     {[]string{"[!ab].key"}, "c.key", "k[0]"},
		"a class has members that look like a negation":       {[]string{"[[!].key"}, "!.key", "k[0]"},
		"a class of POSIX has its meaning":                    {[]string{"key[[:digit:]]"}, "key7", "k[0]"},
		"a bracket can be escaped":                            {[]string{`\[!x].key`}, "[!x].key", "k[0]"},
		"an exclamation mark can be escaped":                  {[]string{`\!a`}, "!a", "k[0]"},
		"a name that is not UTF-8 is matched by a star":       {[]string{"*.key"}, "\xff\xfe.key", "k[0]"},
		"a pattern of the home is not one of the workspace":   {[]string{"~/.ssh"}, ".ssh", ""},
		"what is left out does not shift the keys":            {[]string{"~/.ssh", "*.key"}, "a.key", "k[1]"},
		"two stars at the end are everything below":           {[]string{"a/**"}, "a/b", "k[0]"},
		"a pattern that cannot be read matches nothing":       {[]string{"[", "x"}, "x", "k[1]"},
		"a later pattern overrides an exception":              {[]string{"!.env", ".env*"}, ".env", "k[1]"},
		"many stars and a deep path are decided at once":      {[]string{strings.Repeat("**/a/", 30) + "b"}, strings.Repeat("a/", 80) + "c", ""},
		"a line break in a name hides nothing from a pattern": {[]string{"*.key"}, "a\nb.key", "k[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			p := ParsePatterns("k", tc.patterns)
			if key, ok := p.Match(strings.TrimSuffix(tc.path, "/"), strings.HasSuffix(tc.path, "/")); ok != (tc.want != "") || ok && key != tc.want {
				t.Errorf("%q: got %q, %v, want %q", tc.path, key, ok, tc.want)
			}
		})
	}
}

func TestPatternsLead(t *testing.T) {
	for name, tc := range map[string]struct {
		pattern, path string
		want          bool
	}{
		"the first component leads":                 {".git/hooks", ".git", true},
		"a component with a star leads":             {"*/hooks", "sub", true},
		"the last component does not":               {".git/hooks", ".git/hooks", false},
		"another name does not":                     {".git/hooks", ".github", false},
		"a name deeper down does not":               {".git/hooks", "vendor/.git", false},
		"what may lie anywhere is led to by nobody": {"**/hooks", "a", false},
		"an exception leads nowhere":                {"!.git/hooks", ".git", false},
		"before the two stars it leads":             {".git/modules/**/config", ".git/modules", true},
		"behind the two stars it does not":          {".git/modules/**/config", ".git/modules/a/b", false},
	} {
		t.Run(name, func(t *testing.T) {
			if key := ParsePatterns("k", []string{tc.pattern}).Leads(tc.path); (key != "") != tc.want {
				t.Errorf("%q leads to %q: got %q", tc.path, tc.pattern, key)
			}
		})
	}
}

// decide gives the key that a walk from the top finds for a path: what is below a named directory is named with it.
func decide(p Patterns, name string) string {
	bare := strings.TrimSuffix(name, "/")
	for _, above := range parents("/" + bare) {
		if key, ok := p.Match(above[1:], true); ok {
			return key
		}
	}
	if key, ok := p.Match(bare, bare != name); ok {
		return key
	}
	return ""
}

// Names and components are made of few letters, so that many match. Stars behind a letter ("a**/b") are left out: git
// takes the letter off first and then sees "**/b", which gitignore(5) does not say.
var (
	someNames = []string{"a", "b", "ab", "ba", "a.key", ".env", ".env.b", "!a", "[!a]", "a b"}
	someParts = []string{"a", "b", "ab", "*", "?", "*.key", ".env*", "a*", "*b", "[ab]", "[!a]", "[^b]", "[a-b]*", "[[!]*", "[[:alpha:]]",
		"[![:alpha:]]*", `\!a`, `\[*`, `\a`, "**", "**a", "***", "a b"}
)

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

func randomPattern(r *rand.Rand) string {
	var parts []string
	for range 1 + r.IntN(3) {
		parts = append(parts, pick(r, someParts))
	}
	line := strings.Join(parts, "/")
	for _, mark := range []string{"/", "!"} {
		if r.IntN(4) == 0 {
			line = mark + line
		}
	}
	if r.IntN(4) == 0 {
		line += "/"
	}
	return line
}

// randomTree makes some files and directories below dir, and returns their paths with a slash behind directories.
func randomTree(t *testing.T, r *rand.Rand, dir string) []string {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	dirs, all := []string{"."}, []string(nil)
	for range 16 {
		rel := path.Join(pick(r, dirs), pick(r, someNames))
		full := filepath.Join(dir, rel)
		if _, err := os.Lstat(full); err == nil {
			continue
		}
		if r.IntN(2) == 0 {
			if err := os.Mkdir(full, 0o755); err != nil {
				t.Fatal(err)
			}
			dirs, all = append(dirs, rel), append(all, rel+"/")
			continue
		}
		writeFile(t, full, "")
		all = append(all, rel)
	}
	return all
}

// Whoever writes a mask knows .gitignore, so git itself is asked: about directories of one repository, each with a tree
// and a .gitignore of its own, which changes from round to round.
func TestPatternsDecideAsGitDoes(t *testing.T) {
	boxtest.Need(t, boxtest.Git)
	seed := rand.Uint64()
	r, repo := rand.New(rand.NewPCG(seed, 0)), t.TempDir()
	git(t, repo, "", "init", "--quiet", ".")
	trees := make([][]string, 24)
	for n := range trees {
		trees[n] = randomTree(t, r, filepath.Join(repo, fmt.Sprint(n)))
	}
	for range 8 {
		var ask strings.Builder
		lists := make([][]string, len(trees))
		for n, tree := range trees {
			for range 1 + r.IntN(4) {
				lists[n] = append(lists[n], randomPattern(r))
			}
			writeFile(t, filepath.Join(repo, fmt.Sprint(n), ".gitignore"), strings.Join(lists[n], "\n")+"\n")
			for _, p := range tree {
				fmt.Fprintf(&ask, "%d/%s\x00", n, strings.TrimSuffix(p, "/"))
			}
		}
		out := git(t, repo, ask.String(), "check-ignore", "--no-index", "--verbose", "--non-matching", "--stdin", "-z")
		answers := slices.Collect(slices.Chunk(strings.Split(out, "\x00"), 4)) // source, line, pattern, path
		for n, tree := range trees {
			patterns := numbered(lists[n])
			for _, p := range tree {
				want := ""
				if answers[0][1] != "" && !strings.HasPrefix(answers[0][2], "!") {
					want = answers[0][1]
				}
				if got := decide(patterns, p); got != want {
					t.Errorf("seed %d: %q of %q: line %q decides, git says %q", seed, p, lists[n], got, want)
				}
				answers = answers[1:]
			}
		}
	}
}

func git(t *testing.T, dir, input string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1"}
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) { // 1: nothing is ignored
		t.Fatal(err)
	}
	return string(out)
}

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// numbered gives each pattern the number of its line as its key.
func numbered(lines []string) Patterns {
	var p Patterns
	for i, line := range lines {
		p.Add(fmt.Sprint(i+1), line)
	}
	return p
}

// FuzzPatterns asks what no pattern may do, however it is written.
func FuzzPatterns(f *testing.F) {
	for _, part := range someParts {
		f.Add(part, "a/b.key")
	}
	f.Add("a/**/b", "a/c/d/b")
	f.Add("!a/[", "a/[")
	f.Fuzz(func(t *testing.T, line, name string) {
		if name == "" || strings.Contains("/"+name+"/", "//") {
			return // no path of a walk
		}
		if key, _ := numbered([]string{line, "**"}).Match(name, true); key != "2" {
			t.Errorf("%q does not give way to a pattern of everything", line)
		}
		if _, ok := numbered([]string{line, "!**"}).Match(name, true); ok {
			t.Errorf("%q outweighs an exception of everything", line)
		}
		alone := numbered([]string{line})
		_, file := alone.Match(name, false)
		_, dir := alone.Match(name, true)
		if file && !dir {
			t.Errorf("%q is named as a file and not as a directory", name)
		}
		if strings.HasPrefix(line, "!") {
			if dir || alone.Leads(name) != "" {
				t.Errorf("the exception %q names or leads to %q by itself", line, name)
			}
			return
		}
		if _, ok := numbered([]string{"*", "!" + line}).Match(name, true); ok == dir {
			t.Errorf("%q names %q: %v; its exception takes it out: %v", line, name, dir, !ok)
		}
		_, below := alone.Match("x/"+name, true)
		if anchored := strings.Contains(strings.TrimSuffix(line, "/"), "/"); !anchored && dir && !below {
			t.Errorf("%q has no slash and does not name %q further down", line, name)
		}
		if _, top := numbered([]string{"/" + line}).Match("x/"+name, true); top && literal(line) {
			t.Errorf("%q is at the top and names x/%q", line, name)
		}
		if _, whole := numbered([]string{"/" + name}).Match(name, true); literal(name) && !whole && !strings.HasPrefix(name, "!") {
			t.Errorf("%q does not name itself", name)
		}
	})
}

// literal reports a pattern that can only name one path.
func literal(line string) bool {
	return !strings.ContainsAny(line, `*?[\`) && !strings.HasPrefix(line, "x/")
}
