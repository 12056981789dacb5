package route

import (
	"net/url"
	"strings"
	"testing"
)

func TestPathPatterns(t *testing.T) {
	for pattern, cases := range map[string]struct{ yes, no string }{
		"/a/*":       {"/a/ /a/b", "/a /a/b/c /b/a"},
		"/a/**":      {"/a /a/ /a/b/c", "/b /ab"},
		"/**/x":      {"/x /a/x /a/b/x", "/a/y /x/a"},
		"/a/**/b/*c": {"/a/b/c /a/x/y/b/abc", "/a/b/cd /a/c"},
		"/**":        {"/ /a /a/b", ""},
	} {
		for p := range strings.FieldsSeq(cases.yes) {
			if !match(pattern, p) {
				t.Errorf("%s does not match %s", pattern, p)
			}
		}
		for p := range strings.FieldsSeq(cases.no) {
			if match(pattern, p) {
				t.Errorf("%s matches %s", pattern, p)
			}
		}
	}
	if match(strings.Repeat("/**/a", 40), strings.Repeat("/a", 2000)+"/b") {
		t.Error("what ends otherwise matches")
	}
}

func TestOnePathOrNone(t *testing.T) {
	for name, tc := range map[string]struct {
		in, clean string
		exact     bool
	}{
		"a plain one":             {"/a/b", "/a/b", true},
		"none":                    {"", "/", true},
		"an escape of a letter":   {"/%61", "/a", true},
		"a slash at the end":      {"/a/", "/a/", true},
		"a part that goes up":     {"/a/../b", "/a/../b", false},
		"an escaped one":          {"/a/%2e%2e/b", "/a/../b", false},
		"a part that is nothing":  {"/a/./b", "/a/./b", false},
		"an empty part":           {"/a//b", "/a//b", false},
		"an escaped slash":        {"/a%2Fb", "/a/b", false},
		"an escaped escape":       {"/a%252Fb", "/a%2Fb", false},
		"a backslash":             {"/a%5cb", "/a\\b", false},
		"a parameter of the path": {"/a;x/b", "/a;x/b", false},
	} {
		u, err := url.Parse("https://host" + tc.in)
		if err != nil {
			t.Fatal(err)
		}
		if clean, exact := Path(u); clean != tc.clean || exact != tc.exact {
			t.Errorf("%s: %q, %v", name, clean, exact)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"/", "/a/b", "/%2e%2e/", "//", "/a%2fb", "/\\..\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.ParseRequestURI(s)
		if err != nil {
			return
		}
		// What is exact is not changed by reading it once more, nor by resolving it as a server would.
		if clean, exact := Path(u); exact {
			again := (&url.URL{Path: "/"}).ResolveReference(&url.URL{Path: clean})
			if again.Path != clean || strings.Contains(clean, "..") && strings.Contains("/"+clean+"/", "/../") {
				t.Errorf("%q is called exact: %q, %q", s, clean, again.Path)
			}
		}
	})
}
