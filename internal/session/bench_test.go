package session

import "testing"

func BenchmarkCreateAndClose(b *testing.B) {
	root := testRoot(b)
	for b.Loop() {
		s, err := Create(root, Info{Workspace: "/work", Command: []string{"true"}})
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
