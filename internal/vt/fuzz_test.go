package vt

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

var seeds = []string{
	"plain\r\n", clipboard, iterm, kitty, "\x1b[31mred\x1b[0m", "\x1b]8;;https://a.b/\ax\x1b]8;;\x1b\\", "\u009b31m",
	"\x1bP0;1q~~\x1b\\", "\x1bPtmux;\x1b\x1b]52;c;eA==\a\x1b\\", "\xe2\x9c", "\x9d52;c;x\a", "\x1b]P123456789", "\x1b%@",
	"\x1b[?1049;38;1000h\x1b[>1u\x1b[2;5r\x1b(0\x0e", "\x1b]4;1;red;2;?\a\x1b[22t\x1b]9;4;1;1\a\x1b[>4;2m\x1b[=1;2u",
	"\x1b]2;\xe2\x9c\xb3 a\x05b\u009cx", "\x1bkt\x1b\\\x1b[21t\x05\x18**\x18B00", "\x1b]52\x1b;c;a\a", "\x1b[<3u\x1bc\x1b[!p",
}

func FuzzFilter(f *testing.F) {
	for i, s := range seeds {
		f.Add([]byte(s+seeds[(i+1)%len(seeds)]), uint8(i*8%256))
	}
	f.Fuzz(func(t *testing.T, data []byte, bits uint8) {
		allow := Allow{bits&1 != 0, bits&2 != 0, bits&4 != 0}
		whole := through(allow, string(data))
		if bits&7 == 0 {
			if at, why := forbidden(whole); why != "" {
				t.Fatalf("%q became %q, which at %d has %s", data, whole, at, why)
			}
		}
		if got := inPieces(allow, data, 1); got != whole {
			t.Fatalf("%q is %q whole and %q byte by byte", data, whole, got)
		}
		if got := inPieces(allow, data, 1+int(bits>>3)); got != whole {
			t.Fatalf("%q is %q whole and %q in pieces of %d", data, whole, got, 1+bits>>3)
		}
		if again := through(allow, whole); again != whole {
			t.Fatalf("%q became %q and then %q", data, whole, again)
		}
		if left := leftAfterReset(allow, data); left != "" {
			t.Fatalf("%q and its reset leave what %q would undo", data, left)
		}
	})
}

// inPieces filters data n bytes at a time.
func inPieces(allow Allow, data []byte, n int) string {
	f := New(allow)
	var out []byte
	for piece := range slices.Chunk(data, n) {
		out = f.Filter(out, piece)
	}
	return string(append(out, f.Flush()...))
}

// leftAfterReset gives a second filter what the first one wrote, its reset included, and asks it for its own reset.
func leftAfterReset(allow Allow, data []byte) string {
	f, second := New(allow), New(allow)
	out := f.Filter(nil, data)
	second.Filter(nil, append(out, f.Reset()...))
	return string(second.Reset())
}

func TestSplitAnywhereGivesTheSame(t *testing.T) {
	for _, s := range append(seeds, strings.Join(seeds, "ż")) {
		whole := through(Allow{}, s)
		for i := range len(s) + 1 {
			f := New(Allow{})
			out := f.Filter(nil, []byte(s[:i]))
			out = f.Filter(out, []byte(s[i:]))
			if got := string(append(out, f.Flush()...)); got != whole {
				t.Errorf("%q split at %d: %q, want %q", s, i, got, whole)
			}
		}
	}
}

// The grammar of what may come out, written apart from the parser: a terminal's view of the output.
var (
	outText = regexp.MustCompile(`^[^\x00-\x1f\x{80}-\x{9f}]+`)
	outC0   = regexp.MustCompile(`^[\x00-\x04\x06-\x17\x19\x1c-\x1f]`)
	outESC  = regexp.MustCompile(`^\x1b(?:[6-9=>DEHMNOZcno]|#[3-8]|[()*+\-./]["%&]?[0-~])`)
	outCSI  = regexp.MustCompile(`^\x1b\[([<=>?]?)([0-9:;]*)([ -/]*)([@-~])`)
	outOSC  = regexp.MustCompile(`^\x1b\]([0-9]+)(?:;([^\x00-\x1f\x7f\x{80}-\x{9f}]*))?(?:\x07|\x1b\\)`)
	outDCS  = regexp.MustCompile(`^\x1bP(?:[0-9;]*q[ -~]*|\$q[ -/]{0,2}[@-~]|\+q[0-9a-fA-F;]*)\x1b\\`)
	outName = regexp.MustCompile(`^\x1bk[^\x00-\x1f\x7f\x{80}-\x{9f}]*\x1b\\`)
)

func forbidden(s string) (int, string) {
	if !utf8.ValidString(s) {
		return 0, "bytes that are not UTF-8"
	}
	for i := 0; i < len(s); {
		rest := s[i:]
		n := 0
		for _, re := range []*regexp.Regexp{outText, outESC, outDCS, outName} {
			n = max(n, len(re.FindString(rest)))
		}
		if m := outCSI.FindStringSubmatch(rest); m != nil {
			if why := forbiddenCSI(m[1], m[2], m[3], m[4]); why != "" {
				return i, why
			}
			n = len(m[0])
		}
		if m := outOSC.FindStringSubmatch(rest); m != nil {
			if why := forbiddenOSC(m[1], m[2]); why != "" {
				return i, why
			}
			n = len(m[0])
		}
		if n == 0 && rest[0] != esc {
			n = len(outC0.FindString(rest))
		}
		if n == 0 {
			return i, "a control that is none of those that pass"
		}
		i += n
	}
	return 0, ""
}

func forbiddenCSI(mark, params, mids, final string) string {
	first, _, _ := strings.Cut(params, ";")
	switch {
	case final == "i" || final == "y" || final == "]" || final == "w" || final == "p" && mids == "\"":
		return "CSI " + mids + final
	case final == "t" && mids == "" && !slices.Contains([]string{"14", "16", "18", "22", "23"}, first):
		return "a window operation"
	case mark == "?" && (final == "r" || final == "s"):
		return "saved modes"
	case final == "h" || final == "l":
		for p := range strings.SplitSeq(params, ";") {
			n, err := strconv.Atoi(p)
			if err != nil || mark == "?" && slices.Contains([]int{2, 3, 18, 19, 38, 40, 1001, 5522}, n) ||
				mark == "" && n != 4 && n != 20 {
				return fmt.Sprintf("mode %q", p)
			}
		}
	}
	return ""
}

func forbiddenOSC(number, rest string) string {
	n, err := strconv.Atoi(number)
	known := n <= 2 || n == 4 || n == 5 || n >= 8 && n <= 19 || n == 22 || n == 104 || n == 105 || n >= 110 && n <= 119 || n == 133
	if err != nil || number != strconv.Itoa(n) || !known {
		return "OSC " + number
	}
	if _, uri, _ := strings.Cut(rest, ";"); n == 8 && uri != "" && !regexp.MustCompile(`^(?i)https?://[!-~]*$`).MatchString(uri) {
		return "a link to " + uri
	}
	if n == 9 && !strings.HasPrefix(rest, "4;") && rest != "4" && regexp.MustCompile(`^[0-9]+(;|$)`).MatchString(rest) {
		return "a command of ConEmu's"
	}
	return ""
}
