package vt

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// through gives input to a filter in one piece and ends the stream.
func through(allow Allow, input string) string {
	f := New(allow)
	out := f.Filter(nil, []byte(input))
	return string(append(out, f.Flush()...))
}

const (
	clipboard = "\x1b]52;c;Y3VybCB4fHNo\a"
	iterm     = "\x1b]1337;File=name=eA==;inline=0:AAAA\a"
	kitty     = "\x1b_Gt=f;L2V0Yy9wYXNzd2Q=\x1b\\"
)

func TestFilterPassesWhatIsSafe(t *testing.T) {
	tests := map[string]string{
		"text":                    "hello, world\r\n\tand more\b\a\x7f",
		"text in many scripts":    "żółć, 日本語, 🦊, \u00a0 and C3 9D is Ý",
		"colours":                 "\x1b[1;38;2;1;2;3;4:3mred\x1b[m",
		"cursor movement":         "\x1b[2J\x1b[H\x1b[10;20H\x1b[K\x1b[3A\x1b7\x1b8\x1bM",
		"modes":                   "\x1b[?1049h\x1b[?25l\x1b[?1000;1006h\x1b[?2004h\x1b[?2026h\x1b[4h",
		"kitty's keyboard":        "\x1b[>1u\x1b[?u\x1b[=5;1u\x1b[<1u",
		"xterm's keyboard":        "\x1b[>4;2m\x1b[?4m\x1b[>4m",
		"a title":                 "\x1b]0;build: ✳ done\a\x1b]2;x\x1b\\",
		"screen's title":          "\x1bkvi\x1b\\",
		"a link to the web":       "\x1b]8;id=1;https://example.com/a?b#c\x1b\\text\x1b]8;;\x1b\\",
		"colours of the palette":  "\x1b]4;1;rgb:ff/00/00\x1b\\\x1b]10;?\x1b\\\x1b]11;#102030\a\x1b]104\a\x1b]111\a",
		"a notification":          "\x1b]9;3 tests failed\a",
		"progress":                "\x1b]9;4;1;50\a\x1b]9;4;0\a",
		"prompt marks":            "\x1b]133;A\a$ \x1b]133;C\a",
		"the pointer":             "\x1b]22;hand2\x1b\\",
		"questions":               "\x1b[c\x1b[>c\x1b[>q\x1b[6n\x1b[?996n\x1b[?2026$p\x1bP$qm\x1b\\\x1bP+q544e;436f\x1b\\",
		"a picture in sixel":      "\x1bP0;1;0q\"1;1;10;10#0;2;0;0;0~~@@-\x1b\\",
		"window sizes":            "\x1b[14t\x1b[16t\x1b[18t",
		"the stack of titles":     "\x1b[22;0t\x1b[23;0t",
		"line drawing":            "\x1b(0lqqk\x1b(B\x0ex\x0f\x1b)0",
		"scrolling":               "\x1b[2;10r\x1b[S\x1b[r",
		"a soft and a hard reset": "\x1b[!p\x1bc",
		"the cursor's shape":      "\x1b[5 q\x1b[ q",
		"keypad":                  "\x1b=\x1b>",
	}
	for name, s := range tests {
		if got := through(Allow{}, s); got != s {
			t.Errorf("%s: %q became %q", name, s, got)
		}
	}
}

func TestFilterDropsWhatIsNot(t *testing.T) {
	tests := map[string]string{
		"the clipboard is not written":               clipboard,
		"nor read":                                   "\x1b]52;c;?\x1b\\",
		"nor as a C1 control":                        "\u009d52;c;eA==\u009c",
		"nor with a leading zero":                    "\x1b]052;c;eA==\a",
		"nor with a control in the number":           "\x1b]5\x012;c;eA==\a\x1b]5\x002;c;eA==\a\x1b]\x7f52;c;eA==\a",
		"nor through kitty's protocol":               "\x1b]5522;type=read\a",
		"nor are pastes reported":                    "\x1b[?5522h",
		"files are not written":                      iterm,
		"nor through kitty":                          "\x1b]5113;ac=send\x1b\\",
		"nor named as pictures":                      kitty,
		"ZMODEM does not start":                      "\x18",
		"the title is not reported":                  "\x1b[21t\x1b[20t",
		"the window is not moved, sized or reported": "\x1b[3;0;0t\x1b[8;1;1t\x1b[1t\x1b[2t\x1b[11t\x1b[13t\x1b[19t\x1b[40t\x1b[t",
		"a title the agent did not push":             "\x1b[23t",
		"the answerback message is not sent":         "\x05",
		"the screen is not read":                     "\x1b[1;1;1;1;10;10*y\x1b[1#y",
		"nothing is printed":                         "\x1b[i\x1b[5i\x1b[?5i\x1b[4i",
		"keys are not programmed":                    "\x1bP0;0|17/6c73\x1b\\",
		"a multiplexer passes nothing on":            "\x1bPtmux;abc\x1b\\",
		"nor in its quoted form":                     "\x1bPtmux;\x1b\x1b]52;c;eA==\a\x1b\\",
		"terminfo is not set":                        "\x1bP+p544e=78\x1b\\",
		"a macro is not defined":                     "\x1bP1;0;0!zabc\x1b\\",
		"a strange question":                         "\x1bP$q\"pp\x1b\\\x1bP$qcat /etc/passwd\x1b\\\x1bP+qxyz\x1b\\",
		"ReGIS":                                      "\x1bPpS(E)\x1b\\",
		"a link to a file":                           "\x1b]8;;file:///etc/passwd\x1b\\",
		"a link to a program":                        "\x1b]8;;ssh://host\x1b\\\x1b]8;;javascript:x\a",
		"the working directory":                      "\x1b]7;file://host/tmp\a",
		"fonts, Emacs, logs":                         "\x1b]50;?\a\x1b]51;x\a\x1b]46;/tmp/x\a\x1b]3;X=y\a",
		"a notification with a title":                "\x1b]777;notify;a;b\a\x1b]99;i=1;x\a",
		"a program for ConEmu to run":                "\x1b]9;7;calc\a\x1b]9;6;macro\a\x1b]9;2\a\x1b]9;4;x\a",
		"an editor's command line":                   "\x1b]633;E;ls\a",
		"no number":                                  "\x1b]\a\x1b];x\a\x1b]a;x\a\x1b]lx\x1b\\\x1b]2\a",
		"privacy messages":                           "\x1b^secret\x1b\\\x1bXsos\x1b\\",
		"another parser":                             "\x1b[?38h\x1b[?2l\x1b[62;1\"p\x1b%@\x1b%G\x1b G\x1b F",
		"keyboard locked":                            "\x1b[2h\x1b[12l",
		"mouse that waits":                           "\x1b[?1001h\x1b[?3h\x1b[?40h",
		"rxvt's graphics":                            "\x1bG",
		"another Linux console":                      "\x1b[12;1]",
		"a Linux console's palette":                  "\x1b]R\x1b]P0000000",
		"a malformed sequence":                       "\x1b[1?25h\x1b[ 1q\x1b[<=>m\x1b[>4:2m",
		"a sequence that is too long":                "\x1b[" + strings.Repeat("1;", maxCSI) + "m",
		"a title that is too long":                   "\x1b]2;" + strings.Repeat("x", maxOSC) + "\a",
		"a link that is too long":                    "\x1b]8;;http://" + strings.Repeat("x", maxLink) + "\a",
		"a sequence cut off":                         "\x1b[31\x18\x1b]2;x\x1a\x1b]52;c;",
		"C1 controls without a 7-bit twin we know":   "\u0080\u0091\u0086\u0099",
		"popping another's keyboard":                 "\x1b[<u\x1b[<9u",
	}
	for name, s := range tests {
		if got := through(Allow{}, s+"end"); name != "a sequence cut off" && got != "end" || strings.Contains(got, "\x1b") {
			t.Errorf("%s: %q became %q", name, s, got)
		}
	}
}

func TestAllowLetsItsClassThroughAndNoOther(t *testing.T) {
	titles := "\x1b[21t"
	tests := map[string]struct {
		allow Allow
		want  string
	}{
		"nothing":   {Allow{}, ""},
		"clipboard": {Allow{Clipboard: true}, clipboard},
		"title":     {Allow{Title: true}, titles},
		"files":     {Allow{Files: true}, iterm + kitty + "\x18"},
		"all":       {Allow{true, true, true}, clipboard + titles + iterm + kitty + "\x18"},
	}
	for name, tc := range tests {
		if got := through(tc.allow, clipboard+titles+iterm+kitty+"\x18"); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestFilterRewrites(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"a C1 control leaves as ESC and a letter":     {"\u009b31mx\u009d2;t\u009c", "\x1b[31mx\x1b]2;t\x1b\\"},
		"a raw C1 byte is no control and no text":     {"a\x9b31mb\x9d52;c;eA==\x9c", "a\uFFFD31mb\uFFFD52;c;eA==\uFFFD"},
		"a byte that is not UTF-8":                    {"caf\xe9\r\n", "caf\uFFFD\r\n"},
		"a character cut off at the end":              {"x\xe2\x9c", "x\uFFFD\uFFFD"},
		"a long form of a control":                    {"\xc0\x9b31m", "\uFFFD\uFFFD31m"},
		"controls in a title":                         {"\x1b]2;a\n\x01b\x7fc\a", "\x1b]2;abc\a"},
		"a byte of a title that looks like an end":    {"\x1b]2;\u2733 \u00dd\a", "\x1b]2;\u2733 \u00dd\a"},
		"a newline inside a sequence goes first":      {"\x1b[3\n1mx", "\n\x1b[31mx"},
		"the answerback inside a sequence":            {"\x1b[3\x051m", "\x1b[31m"},
		"one mode of several":                         {"\x1b[?1000;1001;38;1006h", "\x1b[?1000;1006h"},
		"ESC cuts a string off":                       {"\x1b]2;abc\x1b[31mx", "\x1b[31mx"},
		"ESC cuts a sequence off":                     {"\x1b[3\x1b[32m", "\x1b[32m"},
		"text cuts a sequence off":                    {"\x1b[3é", "é"},
		"text after ESC in a string":                  {"\x1b]2;a\x1bé", "é"},
		"a picture cut off is closed":                 {"\x1bPq~~\x1b[31mx", "\x1bPq~~\x1b\\\x1b[31mx"},
		"a picture at the end is closed":              {"\x1bPq~~", "\x1bPq~~\x1b\\"},
		"a picture has printable bytes alone":         {"\x1bPq~\n\a\u009dé\x05~\x1b\\", "\x1bPq~\x1b\\"},
		"a link that may not be ends the one before":  {"\x1b]8;;http://a\ax\x1b]8;;file:///b\ay", "\x1b]8;;http://a\ax\x1b]8;;\ay"},
		"no more pops than pushes":                    {"\x1b[>1u\x1b[<9u", "\x1b[>1u\x1b[<1u"},
		"the rest of a Linux palette's line":          {"\x1b]P1ff00zz", "zz"},
		"text after a question in tmux's quoted form": {"\x1bPtmux;\x1b\x1b]2;t\a\x1b\\x", "\x1b]2;t\ax"},
	}
	for name, tc := range tests {
		if got := through(Allow{}, tc.in); got != tc.want {
			t.Errorf("%s: %q became %q, want %q", name, tc.in, got, tc.want)
		}
	}
}

func TestResetUndoesWhatWasLeft(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"nothing":                          {"hello\x1b[31mx\x1b[0m\x1b[?1000h\x1b[?1000l\x1b[?25l\x1b[?25h", ""},
		"questions leave nothing":          {"\x1b]11;?\a\x1b[c\x1b[?u", ""},
		"a reset leaves nothing":           {"\x1b[?1049h\x1b[?1000h\x1b[>1u\x1b[31m\x1b(0\x1bc", ""},
		"mouse":                            {"\x1b[?1000;1006h", "\x1b[?1000l\x1b[?1006l"},
		"the other screen":                 {"\x1b[?1049h", "\x1b[?1049l"},
		"left by another name":             {"\x1b[?1049h\x1b[?47l", ""},
		"hidden cursor and wrap":           {"\x1b[?25;7l", "\x1b[?25h\x1b[?7h"},
		"paste, focus, keys, keypad":       {"\x1b[?2004;1004h\x1b[?1h\x1b=", "\x1b[?1004l\x1b[?2004l\x1b[?1l\x1b>"},
		"kitty's keyboard":                 {"\x1b[>1u\x1b[>5u\x1b[<u", "\x1b[<1u"},
		"kitty's keyboard on both screens": {"\x1b[>1u\x1b[?1049h\x1b[>1u\x1b[>1u", "\x1b[<2u\x1b[?1049l\x1b[<1u"},
		"kitty's flags":                    {"\x1b[=5;1u", "\x1b[=0u"},
		"xterm's keyboard":                 {"\x1b[>4;2m", "\x1b[>4m"},
		"colour of text":                   {"\x1b[1;31m", "\x1b[0m"},
		"line drawing":                     {"\x1b(0\x0e", "\x0f\x1b(B"},
		"the scrolling region":             {"\x1b[2;5r", "\x1b7\x1b[r\x1b8"},
		"insert mode":                      {"\x1b[4h", "\x1b[4l"},
		"the cursor's shape":               {"\x1b[5 q", "\x1b[0 q"},
		"a link":                           {"\x1b]8;;http://a\a", "\x1b]8;;\x1b\\"},
		"progress":                         {"\x1b]9;4;1;10\a", "\x1b]9;4;0\x1b\\"},
		"the palette":                      {"\x1b]4;1;red\a\x1b]10;red;blue\a\x1b]111\a", "\x1b]104\x1b\\\x1b]110\x1b\\"},
		"a pushed title":                   {"\x1b[22t\x1b]2;x\a", "\x1b[23t"},
		"a string half out":                {"\x1bPq~~", "\x1b\\"},
		"a mode that did not pass":         {"\x1b[?1001h\x1b[?38h", ""},
	}
	for name, tc := range tests {
		f := New(Allow{})
		f.Filter(nil, []byte(tc.in))
		if got := string(f.Reset()); got != tc.want {
			t.Errorf("%s: after %q: %q, want %q", name, tc.in, got, tc.want)
		}
		if again := f.Reset(); len(again) > 0 {
			t.Errorf("%s: a second reset gives %q", name, again)
		}
	}
}

func TestTextAndSequencesPassWithoutDelay(t *testing.T) {
	f := New(Allow{})
	for _, s := range []string{"a", "é", "\x1b[31m", "\n", "x\x1b[?25l", "\x1b]2;t\a", "\x1bPq", "~~"} {
		if got := string(f.Filter(nil, []byte(s))); got != s {
			t.Errorf("%q: %q came out at once", s, got)
		}
	}
}

func TestAnEndlessStringHoldsNothingBack(t *testing.T) {
	f := New(Allow{})
	f.Filter(nil, []byte("\x1b]2;"))
	for range 100 {
		if out := f.Filter(nil, bytes.Repeat([]byte("x"), 1<<16)); len(out) > 0 {
			t.Fatalf("%d bytes came out", len(out))
		}
	}
	if len(f.seq) > maxLink || cap(f.seq) > 4*maxLink {
		t.Errorf("%d bytes are held back", cap(f.seq))
	}
}

func TestFilterAppendsToItsDestination(t *testing.T) {
	got := New(Allow{}).Filter([]byte("kept "), []byte("a\x05b"))
	if string(got) != "kept ab" {
		t.Errorf("%q", got)
	}
}

func BenchmarkFilter(b *testing.B) {
	inputs := map[string]string{
		"text":   strings.Repeat("the quick brown fox jumps over the lazy dog, and on it goes for a line of text\n", 800),
		"utf8":   strings.Repeat("zażółć gęślą jaźń 日本語のテキスト ✳ │ ─ ─ ─\r\n", 800),
		"colour": strings.Repeat("\x1b[38;5;208mword\x1b[0m \x1b[1mbold\x1b[22m and text\x1b[K\r\n", 800),
	}
	for name, s := range inputs {
		b.Run(name, func(b *testing.B) {
			f, src, dst := New(Allow{}), []byte(s), make([]byte, 0, len(s))
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				dst = f.Filter(dst[:0], src)
			}
			if len(dst) != len(src) {
				b.Fatal(fmt.Sprint(len(dst), " of ", len(src)))
			}
		})
	}
}
