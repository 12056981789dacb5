package escape

import (
	"encoding/json"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestVisible(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"plain text stays":                       {"ls -l", "ls -l"},
		"letters of other scripts stay":          {"naïve 漢字 😀", "naïve 漢字 😀"},
		"an escape sequence is shown":            {"\x1b[2K\x1b[1Ano changes", `\x1b[2K\x1b[1Ano changes`},
		"a carriage return does not overwrite":   {"rm -rf x\rls", `rm -rf x\x0dls`},
		"a newline does not begin a line":        {"a\nagentbox: ok", `a\nagentbox: ok`},
		"DEL and backspace are shown":            {"a\x7f\b", `a\x7f\x08`},
		"C1 as a character is shown":             {"\u009b2J", `\u009b2J`},
		"C1 as a byte is shown":                  {"\x9b2J", `\x9b2J`},
		"text direction cannot be turned":        {"a\u202etxt.exe", `a\u202etxt.exe`},
		"isolates and marks are shown":           {"\u2066a\u2069\u200f", `\u2066a\u2069\u200f`},
		"invisible characters are shown":         {"a\u200bb\ufeff", `a\u200bb\ufeff`},
		"tags beyond the first plane are shown":  {"\U000e0041", `\U000e0041`},
		"bytes that are not UTF-8 are shown":     {"a\xff\xc3", `a\xff\xc3`},
		"the replacement character itself stays": {"\ufffd", "\ufffd"},
		"a separator of lines is shown":          {"a\u2028b", `a\u2028b`},
	} {
		if diff := cmp.Diff(test.want, Text(test.in)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

func FuzzVisible(f *testing.F) {
	f.Add("\x1b]52;c;eA==\a")
	f.Add("\u202e\x9b\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := Text(s)
		if !utf8.ValidString(got) {
			t.Fatalf("%q became %q, which is not UTF-8", s, got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q became %q, which holds %q", s, got, r)
			}
		}
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		safe := JSON(data)
		var before, after string
		if json.Unmarshal(data, &before) != nil || json.Unmarshal(safe, &after) != nil || before != after {
			t.Fatalf("%s became %s, another value", data, safe)
		}
		for _, r := range string(safe) {
			if !unicode.IsPrint(r) {
				t.Fatalf("%s became %s, which holds %q", data, safe, r)
			}
		}
	})
}

func TestCommandLine(t *testing.T) {
	for name, test := range map[string]struct {
		argv []string
		want string
	}{
		"words":          {[]string{"ls", "-l"}, "ls -l"},
		"a shell's line": {[]string{"sh", "-c", "exit 3"}, "sh -c 'exit 3'"},
		"an empty word":  {[]string{"echo", ""}, "echo ''"},
		"a quote":        {[]string{"echo", "it's"}, `echo 'it'\''s'`},
		"an escape":      {[]string{"echo", "\x1b[2J"}, `echo '\x1b[2J'`},
	} {
		if diff := cmp.Diff(test.want, Line(test.argv)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

func TestShorten(t *testing.T) {
	if got := Shorten("漢字漢字", 3); got != "漢字…" {
		t.Errorf("got %q", got)
	}
	if got := Shorten("abc", 3); got != "abc" {
		t.Errorf("got %q", got)
	}
}
