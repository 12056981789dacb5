package session

import (
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
)

// A descriptor reaches the handler of the one operation that takes it, and no other one.
func TestDescriptorsOnTheControlSocket(t *testing.T) {
	var called atomic.Int32
	root, s := serving(t, 0, func(r Request) Reply {
		called.Add(1)
		if r.File == nil {
			return Reply{OK: true}
		}
		text, err := io.ReadAll(r.File)
		return Reply{OK: err == nil && r.Joined == 3, Error: string(text)}
	})
	for name, tc := range map[string]struct {
		r    Request
		file bool
		says string // in the refusal; empty: it is handled
	}{
		"programs with one":         {Request{Op: OpPrograms, Joined: 3}, true, ""},
		"programs without":          {Request{Op: OpPrograms, Joined: 3}, false, "comes with a descriptor"},
		"programs without a number": {Request{Op: OpPrograms}, true, "takes the number"},
		"another with one":          {Request{Op: OpInfo}, true, "comes with a descriptor"},
		"another without":           {Request{Op: OpInfo}, false, ""},
		"another with a number":     {Request{Op: OpInfo, Joined: 3}, false, "takes the number"},
	} {
		t.Run(name, func(t *testing.T) {
			called.Store(0)
			if tc.file {
				ours, theirs, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer ours.Close()
				io.WriteString(theirs, "text")
				theirs.Close()
				tc.r.File = ours
			}
			reply, err := Call(root, s.ID(), tc.r, patience)
			said := reply.Error
			if err != nil {
				said = err.Error()
			}
			if tc.says == "" && (!reply.OK || called.Load() != 1 || tc.file != (said == "text")) {
				t.Errorf("%+v, %v", reply, err)
			}
			if tc.says != "" && (reply.OK || called.Load() != 0 || !strings.Contains(said, tc.says)) {
				t.Errorf("%+v, %v; the handler was called %d times", reply, err, called.Load())
			}
		})
	}
}
