package profile

import (
	"math"
	"testing"
)

func TestParseSize(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want Size
	}{
		"a plain number is bytes":             {"123", 123},
		"zero":                                {"0", 0},
		"b is bytes":                          {"7b", 7},
		"a bare letter counts in 1024s":       {"512k", 512 << 10},
		"the letter's case does not matter":   {"2G", 2 << 30},
		"IEC units count in 1024s":            {"2GiB", 2 << 30},
		"SI units count in 1000s":             {"5MB", 5000000},
		"kB is a thousand":                    {"1kB", 1000},
		"a space before the unit":             {"100 MiB", 100 << 20},
		"a fraction that makes whole bytes":   {"1.5GiB", 3 << 29},
		"the largest size there is":           {"9223372036854775807", math.MaxInt64},
		"seven exbibytes are not an overflow": {"7EiB", 7 << 60},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ParseSize(tc.in); err != nil || got != tc.want {
				t.Errorf("ParseSize(%q) = %d, %v; want %d", tc.in, got, err, tc.want)
			}
		})
	}
}

func TestParseSizeRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"nothing":                    "",
		"a unit alone":               "GiB",
		"a negative number":          "-1",
		"one more than the largest":  "9223372036854775808",
		"a unit that overflows":      "8EiB",
		"parts of a byte":            "0.5",
		"an unknown unit":            "2XiB",
		"hexadecimal":                "0x10",
		"an exponent":                "1e9",
		"underscores":                "1_000",
		"a plus":                     "+1",
		"text after it":              "2GiB!",
		"a number with no end":       "11111111111111111111111111111111111111111",
		"the digits of other alphas": "٢GiB",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ParseSize(in); err == nil {
				t.Errorf("ParseSize(%q) = %d, want an error", in, got)
			}
		})
	}
}

func TestSizeString(t *testing.T) {
	for want, s := range map[string]Size{
		"0": 0, "1": 1, "1023": 1023, "1KiB": 1024, "1kB": 1000, "100MiB": 100 << 20,
		"1536MiB": 3 << 29, "2GB": 2e9, "1025": 1025, "4EiB": 1 << 62,
	} {
		if got := s.String(); got != want {
			t.Errorf("Size(%d) = %q, want %q", int64(s), got, want)
		}
	}
}

func FuzzSize(f *testing.F) {
	for _, s := range []string{"0", "1", "2GiB", "1.5MB", "512k", "-1", "9223372036854775807", "8EiB", "1e9", "0.1kB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		n, err := ParseSize(in)
		if err != nil {
			return
		}
		if n < 0 {
			t.Fatalf("ParseSize(%q) = %d, which is negative", in, n)
		}
		if back, err := ParseSize(n.String()); err != nil || back != n {
			t.Fatalf("%q is %d, which prints %q, which is %d, %v", in, n, n, back, err)
		}
	})
}
