package cli

import (
	"strings"
	"testing"
)

func TestDetachKeys(t *testing.T) {
	for name, tc := range map[string]struct {
		keys   string
		typed  []string // one for each read
		want   string   // what the agent gets
		detach bool
	}{
		"the keys":                        {"ctrl-p,ctrl-q", []string{"ab\x10\x11cd"}, "ab", true},
		"one key a read":                  {"ctrl-p,ctrl-q", []string{"a", "\x10", "\x11"}, "a", true},
		"the first key alone waits":       {"ctrl-p,ctrl-q", []string{"a\x10"}, "a", false},
		"and arrives with the next":       {"ctrl-p,ctrl-q", []string{"a\x10", "b"}, "a\x10b", false},
		"the first key twice":             {"ctrl-p,ctrl-q", []string{"\x10\x10\x11"}, "\x10", true},
		"characters":                      {"~,.", []string{"x~", "."}, "x", true},
		"one key":                         {"ctrl-]", []string{"x\x1dy"}, "x", true},
		"none":                            {"none", []string{"\x10\x11"}, "\x10\x11", false},
		"kitty's protocol":                {"ctrl-p,ctrl-q", []string{"\x1b[112;5u\x1b[113;5u"}, "", true},
		"with caps lock":                  {"ctrl-p,ctrl-q", []string{"\x1b[112;69u\x1b[113;69:1u"}, "", true},
		"and keys that are let go":        {"ctrl-p,ctrl-q", []string{"\x1b[112;5:1u\x1b[112;5:3u\x1b[113;5:1u"}, "\x1b[112;5:3u", true},
		"xterm's modified keys":           {"ctrl-p,ctrl-q", []string{"\x1b[27;5;112~\x1b[27;5;113~"}, "", true},
		"another modifier is another key": {"ctrl-p,ctrl-q", []string{"\x1b[112;6u\x1b[113;5u"}, "\x1b[112;6u\x1b[113;5u", false},
		"an arrow in between":             {"ctrl-p,ctrl-q", []string{"\x10\x1b[A\x11"}, "\x10\x1b[A\x11", false},
		"half a sequence":                 {"ctrl-p,ctrl-q", []string{"\x1b[112;", "5u"}, "\x1b[112;5u", false},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := parseKeys(tc.keys)
			if err != nil {
				t.Fatal(err)
			}
			w := &keyWatch{keys: keys}
			var got strings.Builder
			detach := false
			for _, typed := range tc.typed {
				var forAgent []byte
				forAgent, detach = w.feed([]byte(typed))
				got.Write(forAgent)
			}
			if got.String() != tc.want || detach != tc.detach {
				t.Errorf("the agent gets %q, detached: %v", &got, detach)
			}
		})
	}
}

func TestDetachKeysThatAreNone(t *testing.T) {
	for _, text := range []string{"ctrl-", "ctrl-pp", "ctrl-1", "ab", "a,,b", "é", " "} {
		if keys, err := parseKeys(text); err == nil {
			t.Errorf("%q is taken for %q", text, keys)
		}
	}
}

// Nothing that a person types is lost or changed, unless they detach.
func FuzzKeyWatch(f *testing.F) {
	f.Add([]byte("\x1b[112;5u\x10x"), 3)
	f.Fuzz(func(t *testing.T, typed []byte, cut int) {
		cut = max(0, min(cut, len(typed)))
		w := &keyWatch{keys: []byte{0x10, 0x11}}
		one, detach := w.feed(typed[:cut])
		got := string(one)
		if !detach {
			var two []byte
			two, detach = w.feed(typed[cut:])
			got += string(two)
		}
		if !detach && len(got)+len(w.held) != len(typed) {
			t.Errorf("%q became %q with %q held", typed, got, w.held)
		}
	})
}
