package profile

import "testing"

// BenchmarkDefault is the share of a start that reading the profile takes.
func BenchmarkDefault(b *testing.B) {
	l, _ := Preset("default")
	for b.Loop() {
		e, _ := Merge([]Layer{l}, nil)
		if len(Check(e)) > 0 {
			b.Fatal("the default preset has findings")
		}
	}
}
