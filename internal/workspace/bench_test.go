package workspace

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// large is a project of 100 000 files, of which an agent changed some.
func large(b *testing.B, changed int) *fixture {
	b.Helper()
	x := newFixture(b, Trusted)
	const files, perDir = 100_000, 100
	line := bytes.Repeat([]byte("a line of some length, as source code has it\n"), 40)
	for i := range files {
		dir := filepath.Join(x.lower, fmt.Sprintf("d%03d", i/perDir))
		if i%perDir == 0 {
			os.Mkdir(dir, 0o755)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%02d", i%perDir)), line, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	x.begin()
	upper := LayersOf(x.session).Upper
	for i := range changed { // as a copy-up leaves it, but for the overlay's notes
		at := i * (files / changed)
		dir := filepath.Join(upper, fmt.Sprintf("d%03d", at/perDir))
		os.MkdirAll(dir, 0o755)
		text := append(bytes.Clone(line), fmt.Sprintf("changed %d\n", i)...)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%02d", at%perDir)), text, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return x
}

func BenchmarkDiff(b *testing.B) {
	for _, changed := range []int{10, 10_000} {
		b.Run(fmt.Sprint(changed, " of 100000"), func(b *testing.B) {
			x := large(b, changed)
			for b.Loop() {
				w, err := Open(x.config())
				if err != nil {
					b.Fatal(err)
				}
				r, err := w.Review(context.Background())
				if err != nil || len(r.Changes) != changed {
					b.Fatal(len(r.Changes), err)
				}
				var out bytes.Buffer
				if err := w.Diff(&out, r); err != nil {
					b.Fatal(err)
				}
				w.Close()
			}
		})
	}
}

func BenchmarkApply(b *testing.B) {
	for _, changed := range []int{10, 10_000} {
		b.Run(fmt.Sprint(changed, " of 100000"), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				x := large(b, changed)
				b.StartTimer()
				if err := applyAll(x.open(), nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
