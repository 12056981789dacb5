package profile

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for name, tc := range map[string]struct {
		in, print string
		want      time.Duration
	}{
		"seconds":                    {"30s", "30s", 30 * time.Second},
		"hours":                      {"4h", "4h", 4 * time.Hour},
		"days":                       {"90d", "90d", 90 * 24 * time.Hour},
		"weeks print as days":        {"2w", "14d", 14 * 24 * time.Hour},
		"several units":              {"1h30m", "1h30m", 90 * time.Minute},
		"units in any order":         {"30m1h", "1h30m", 90 * time.Minute},
		"more than the unit holds":   {"90m", "1h30m", 90 * time.Minute},
		"a fraction":                 {"1.5h", "1h30m", 90 * time.Minute},
		"milliseconds":               {"250ms", "250ms", 250 * time.Millisecond},
		"minutes are not confounded": {"5m5ms", "5m5ms", 5*time.Minute + 5*time.Millisecond},
		"zero needs no unit":         {"0", "0s", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseDuration(tc.in)
			if err != nil || time.Duration(got) != tc.want || got.String() != tc.print {
				t.Errorf("ParseDuration(%q) = %v, %v; want %v printed as %q", tc.in, got, err, tc.want, tc.print)
			}
		})
	}
}

func TestParseDurationRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"nothing": "", "a number without a unit": "30", "a unit without a number": "h", "a negative length": "-1h",
		"months": "2mo", "too long a time": "200000d", "parts of a nanosecond": "0.5ns", "a space": "1h 30m", "text after it": "1h!",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ParseDuration(in); err == nil {
				t.Errorf("ParseDuration(%q) = %v, want an error", in, got)
			}
		})
	}
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"0", "1s", "90d", "1h30m", "1.5d", "5m5ms", "1ns", "106751d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		d, err := ParseDuration(in)
		if err != nil {
			return
		}
		if back, err := ParseDuration(d.String()); err != nil || back != d {
			t.Fatalf("%q prints %q, which is %v, %v", in, d, back, err)
		}
	})
}
