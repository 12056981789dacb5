package wire_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentbox/internal/boxtest/vm/wire"
)

func TestFramesStandAlone(t *testing.T) {
	want := []wire.Request{
		{ID: 1, Tree: []byte{0, 1, 255}},
		{ID: 2, Boot: &wire.Boot{}},
		{ID: 3, Command: &wire.Command{Script: "true", Cgroup: wire.Tree}},
	}
	var stream bytes.Buffer
	for _, r := range want {
		if err := wire.Send(&stream, r); err != nil {
			t.Fatal(err)
		}
	}
	frames := bytes.Clone(stream.Bytes())
	var got []wire.Request
	for range want {
		r, err := wire.Receive[wire.Request](&stream)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := wire.Receive[wire.Request](&stream); !errors.Is(err, io.EOF) {
		t.Errorf("the end of the stream: %v", err)
	}
	for _, cut := range []int{1, 4, 10} {
		if _, err := wire.Receive[wire.Request](bytes.NewReader(frames[:cut])); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("a frame cut at byte %d: %v", cut, err)
		}
	}
}
