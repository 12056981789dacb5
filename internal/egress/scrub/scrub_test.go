package scrub

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestFindAndCut(t *testing.T) {
	for name, tc := range map[string]struct {
		needles    map[string][]string
		text, want string
		found      []string
	}{
		"nothing to look for":      {nil, "hunter22", "hunter22", nil},
		"an empty text":            {map[string][]string{"a": {""}}, "hunter22", "hunter22", nil},
		"nothing there":            {map[string][]string{"a": {"hunter22"}}, "hunter2", "hunter2", nil},
		"the whole":                {map[string][]string{"a": {"hunter22"}}, "hunter22", "********", []string{"a"}},
		"twice":                    {map[string][]string{"a": {"hunter22"}}, "hunter22 hunter22!", "******** ********!", []string{"a"}},
		"two names":                {map[string][]string{"b": {"12345678"}, "a": {"hunter22"}}, "x12345678hunter22", "x****************", []string{"a", "b"}},
		"two names of one text":    {map[string][]string{"b": {"hunter22"}, "a": {"hunter22"}}, "<hunter22>", "<********>", []string{"a", "b"}},
		"one name of two texts":    {map[string][]string{"a": {"hunter22", "12345678"}}, "12345678 hunter22", "******** ********", []string{"a"}},
		"overlapping itself":       {map[string][]string{"a": {"abaabaab"}}, "abaabaabaabx", "***********x", []string{"a"}},
		"overlapping another":      {map[string][]string{"a": {"12345678"}, "b": {"67890abc"}}, "-1234567890abc-", "-*************-", []string{"a", "b"}},
		"one in another":           {map[string][]string{"a": {"0123456789abcdef"}, "b": {"3456789a"}}, "3456789 0123456789abcdef", "3456789 ****************", []string{"a", "b"}},
		"a short text":             {map[string][]string{"a": {"ab"}, "b": {"x"}}, "abcxab", "**c***", []string{"a", "b"}},
		"of a long and of a short": {map[string][]string{"a": {"abcdef"}, "b": {"hunter22hunter22hunter22"}}, "hunter22hunter22abcdef", "hunter22hunter22******", []string{"a"}},
		"another case":             {map[string][]string{"a": {"hunter22"}}, "Hunter22", "Hunter22", nil},
		"bytes of no text":         {map[string][]string{"a": {"\xff\x00\xfe\x01\x80"}}, "\x00\xff\x00\xfe\x01\x80", "\x00*****", []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewSet(tc.needles)
			p := []byte(tc.text)
			got, found := s.Cut(p)
			if string(got) != tc.want || !slices.Equal(found, tc.found) || string(p) != tc.text {
				t.Errorf("%q of %q, %q", got, p, found)
			}
			if tc.found == nil && len(p) > 0 && &got[0] != &p[0] {
				t.Error("it was copied")
			}
			if found := s.Find(p); !slices.Equal(found, tc.found) {
				t.Errorf("found %q", found)
			}
		})
	}
}

func TestNoSetFindsNothing(t *testing.T) {
	for _, s := range []*Set{nil, {}} {
		if got, found := s.Cut([]byte("hunter22")); string(got) != "hunter22" || found != nil || s.Find(got) != nil || s.FindFold("x") != nil {
			t.Errorf("%q, %q", got, found)
		}
		if out, _ := read(t, s, []string{"hunter22"}, 512); out != "hunter22" {
			t.Errorf("%q", out)
		}
	}
}

func TestFindFold(t *testing.T) {
	s := NewSet(map[string][]string{"a": {"sk-PLACEholder01"}, "b": {"İstanbul-key"}})
	for text, want := range map[string][]string{
		"SK-placeHOLDER01.example.com": {"a"},
		"sk-placeholder0.example.com":  nil,
		"\xff\xffsk-placeholder01":     {"a"},
		"İSTANBUL-KEY":                 {"b"},
		"istanbul-key":                 nil,
	} {
		if got := s.FindFold(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q", text, got)
		}
	}
	if found := s.Find([]byte("sk-placeholder01")); found != nil {
		t.Errorf("by its own case: %q", found)
	}
}

func TestEncodings(t *testing.T) {
	if got := Encodings("hunter2"); slices.Contains(got, "hunter2") {
		t.Errorf("what is short is looked for: %q", got)
	}
	if got := Encodings(""); len(got) != 0 {
		t.Errorf("%q", got)
	}
	want := []string{
		"68756e7465723232", "68756E7465723232", "hunter22",
		"aHVudGVyMj", "h1bnRlcjIy", "odW50ZXIyM",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, Encodings("hunter22")); diff != "" {
		t.Error(diff)
	}
}

// Whatever way a secret is written, and whatever is beside it, it is found.
func TestEncodingsAreFound(t *testing.T) {
	for _, secret := range []string{"sk-ant-api03-Zm9v_YmFy", `p"a\ss<w>&/örd+ =?%`, "\xfb\xff\xfe\xfb\xff\xfe\xfb\xff", strings.Repeat("~", 9), "it's(a)!*secret"} {
		s := NewSet(map[string][]string{"it": Encodings(secret)})
		for name, write := range map[string]func(string) string{
			"as it is":           func(t string) string { return t },
			"a query":            func(t string) string { return url.Values{"k": {t}}.Encode() },
			"a query, lower":     func(t string) string { return lowerEscapes(url.QueryEscape(t)) },
			"a path":             func(t string) string { return (&url.URL{Path: "/" + url.PathEscape(t)}).Path },
			"base64":             func(t string) string { return base64.StdEncoding.EncodeToString([]byte(t)) },
			"base64 of URLs":     func(t string) string { return base64.URLEncoding.EncodeToString([]byte(t)) },
			"after a user":       func(t string) string { return base64.StdEncoding.EncodeToString([]byte("user:" + t)) },
			"after a short user": func(t string) string { return base64.StdEncoding.EncodeToString([]byte("u:" + t)) },
			"amid others":        func(t string) string { return base64.RawURLEncoding.EncodeToString([]byte("x" + t + "yz")) },
		} {
			if text := write(secret); s.Find([]byte(text)) == nil {
				t.Errorf("%q, %s: not in %q", secret, name, text)
			}
		}
		if text, err := json.Marshal(secret); utf8.ValidString(secret) && (err != nil || s.Find(text) == nil) {
			t.Errorf("%q: not in %s (%v)", secret, text, err)
		}
	}
}

// A reference does the same as Cut, by trying every text at every position.
func reference(needles map[string][]string, p []byte) ([]byte, []string) {
	out, found := slices.Clone(p), []string(nil)
	for name, texts := range needles {
		for _, text := range texts {
			for i := range p {
				if text != "" && bytes.HasPrefix(p[i:], []byte(text)) {
					star(out[i : i+len(text)])
					found = append(found, name)
				}
			}
		}
	}
	slices.Sort(found)
	return out, slices.Compact(found)
}

func FuzzCut(f *testing.F) {
	f.Add("hunter22", "12345678", "hunter2212345678", byte(3))
	f.Add("abaabaab", "aab", "abaabaabaabaabx", byte(1))
	f.Add("aaaaaaaa", "aaab", strings.Repeat("a", 40)+"b", byte(2))
	f.Add("\xff", "", "a\xff", byte(0))
	f.Fuzz(func(t *testing.T, one, two, text string, size byte) {
		needles := map[string][]string{"one": {one}, "two": {two, one + two}}
		s := NewSet(needles)
		want, names := reference(needles, []byte(text))
		if got, found := s.Cut([]byte(text)); !bytes.Equal(got, want) || !slices.Equal(found, names) {
			t.Fatalf("%q and %q in %q: %q, %q", one, two, text, got, found)
		}
		streams(t, needles, divided(text, func() int { return int(size)%7 + 1 }))
	})
}

func TestAnyDivisionFindsTheSame(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	letters := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteByte("ab\n"[random.IntN(3)])
		}
		return b.String()
	}
	for range 3000 {
		needles := map[string][]string{}
		for _, name := range []string{"one", "two", "three"} {
			needles[name] = []string{letters(1 + random.IntN(9)), letters(4 + random.IntN(9))}
		}
		text := letters(random.IntN(60))
		streams(t, needles, divided(text, func() int { return 1 }))
		streams(t, needles, divided(text, func() int { return 1 + random.IntN(12) }))
		if t.Failed() {
			t.Fatalf("%q in %q", needles, text)
		}
	}
}

func divided(text string, size func() int) (pieces []string) {
	for len(text) > 0 {
		n := min(size(), len(text))
		pieces, text = append(pieces, text[:n]), text[n:]
	}
	return pieces
}

func benchmarkSet() *Set {
	needles := map[string][]string{}
	for i, prefix := range []string{"sk-ant-api03-", "ghp_", "sk-proj-"} {
		random := rand.New(rand.NewPCG(uint64(i), 0))
		secret := prefix
		for range 60 {
			secret += string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"[random.IntN(64)])
		}
		needles[prefix] = Encodings(secret)
	}
	return NewSet(needles)
}

// shortSet has texts of the shortest length that Encodings gives.
func shortSet() *Set {
	needles := map[string][]string{}
	for _, secret := range []string{"hunter22", "swordfish", "the quick brown bear"} {
		needles[secret] = Encodings(secret)
	}
	return NewSet(needles)
}

func benchmarkText() []byte {
	line := `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" the quick brown fox jumps over the lazy dog, and asks for a skeleton key"}}` + "\n\n"
	return []byte(strings.Repeat(line, 1<<20/len(line)))
}

func BenchmarkFind(b *testing.B) {
	random := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(random)
	for name, text := range map[string][]byte{"text": benchmarkText(), "random": random, "beginnings": bytes.Repeat([]byte("sk-ant-api03-"), 1<<16)} {
		for kind, s := range map[string]*Set{"keys": benchmarkSet(), "short": shortSet()} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					s.Find(text)
				}
			})
		}
	}
}
