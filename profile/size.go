package profile

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// Size is a number of bytes. It reads "2GiB", "512k" or a plain number, and
// prints so that reading it again gives the same number.
type Size int64

// sizeUnits is ordered as String prefers them. A bare letter counts in 1024s, as
// docker and systemd read it; the decimal spelling is kB, MB, GB.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"EiB", 1 << 60}, {"PiB", 1 << 50}, {"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"EB", 1e18}, {"PB", 1e15}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3},
}

var sizePattern = lazily(`^([0-9]{1,19})(\.[0-9]{1,18})?[ ]?([A-Za-z]{0,3})$`)

// ParseSize reads a size. A fraction is accepted when it makes whole bytes.
func ParseSize(s string) (Size, error) {
	if strings.HasPrefix(s, "-") {
		return 0, fmt.Errorf("%q is negative", s)
	}
	m := sizePattern().FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is not a size", s)
	}
	unit, ok := unitBytes(m[3])
	if !ok {
		return 0, fmt.Errorf("%q is not a size: there is no unit %q", s, m[3])
	}
	n, ok := new(big.Rat).SetString(m[1] + m[2])
	if !ok {
		return 0, fmt.Errorf("%q is not a size", s)
	}
	n.Mul(n, new(big.Rat).SetInt64(unit))
	if !n.IsInt() {
		return 0, fmt.Errorf("%q is not a whole number of bytes", s)
	}
	if !n.Num().IsInt64() {
		return 0, fmt.Errorf("%q is more than a size can be", s)
	}
	return Size(n.Num().Int64()), nil
}

func unitBytes(name string) (int64, bool) {
	if name == "" || strings.EqualFold(name, "b") {
		return 1, true
	}
	for _, u := range sizeUnits {
		if strings.EqualFold(u.name, name) {
			return u.bytes, true
		}
		binary := strings.HasSuffix(u.name, "iB")
		if binary && strings.EqualFold(u.name[:1], name) {
			return u.bytes, true
		}
	}
	return 0, false
}

// String returns the shortest exact spelling, binary units before decimal ones.
func (s Size) String() string {
	best := strconv.FormatInt(int64(s), 10)
	if s <= 0 {
		return best
	}
	digits := len(best)
	for _, u := range sizeUnits {
		if int64(s)%u.bytes != 0 {
			continue
		}
		n := strconv.FormatInt(int64(s)/u.bytes, 10)
		if len(n) < digits {
			best, digits = n+u.name, len(n)
		}
	}
	return best
}

// MarshalText returns [Size.String].
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what [ParseSize] reads.
func (s *Size) UnmarshalText(text []byte) error {
	v, err := ParseSize(string(text))
	if err != nil {
		return err
	}
	*s = v
	return nil
}
