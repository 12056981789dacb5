package profile

import (
	"fmt"
	"math/big"
	"strings"
	"time"
)

// Duration is a length of time. It reads "4h", "90d" or "1h30m", and prints so
// that reading it again gives the same length.
type Duration time.Duration

// durationUnits is ordered as String prints them. A day is 24 hours.
var durationUnits = []struct {
	name  string
	nanos int64
}{
	{"d", int64(24 * time.Hour)}, {"h", int64(time.Hour)}, {"m", int64(time.Minute)}, {"s", int64(time.Second)},
	{"ms", int64(time.Millisecond)}, {"us", int64(time.Microsecond)}, {"ns", 1},
}

var durationToken = lazily(`^([0-9]{1,19})(\.[0-9]{1,9})?(w|d|h|ms|us|µs|ns|m|s)`)

// ParseDuration reads a duration; a number without a unit is refused, but for 0.
func ParseDuration(s string) (Duration, error) {
	if s == "0" {
		return 0, nil
	}
	if strings.HasPrefix(s, "-") {
		return 0, fmt.Errorf("%q is negative", s)
	}
	total := new(big.Rat)
	rest := s
	for first := true; first || rest != ""; first = false {
		m := durationToken().FindStringSubmatch(rest)
		if m == nil {
			return 0, fmt.Errorf("%q is not a duration", s)
		}
		n, ok := new(big.Rat).SetString(m[1] + m[2])
		if !ok {
			return 0, fmt.Errorf("%q is not a duration", s)
		}
		total.Add(total, n.Mul(n, new(big.Rat).SetInt64(unitNanos(m[3]))))
		rest = rest[len(m[0]):]
	}
	if !total.IsInt() {
		return 0, fmt.Errorf("%q is finer than a nanosecond", s)
	}
	if !total.Num().IsInt64() {
		return 0, fmt.Errorf("%q is longer than a duration can be", s)
	}
	return Duration(total.Num().Int64()), nil
}

func unitNanos(name string) int64 {
	switch name {
	case "w":
		return int64(7 * 24 * time.Hour)
	case "µs":
		return int64(time.Microsecond)
	}
	for _, u := range durationUnits {
		if u.name == name {
			return u.nanos
		}
	}
	return 0
}

// String returns the exact length, largest unit first: "90d", "1h30m".
func (d Duration) String() string {
	if d <= 0 {
		return time.Duration(d).String()
	}
	var b strings.Builder
	left := int64(d)
	for _, u := range durationUnits {
		if n := left / u.nanos; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			left -= n * u.nanos
		}
	}
	return b.String()
}

// MarshalText returns [Duration.String].
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what [ParseDuration] reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = v
	return nil
}
