package boxinit

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A file system comes with the one message that announces it. Anything else is an error, and what came along is closed.
func TestReceiveShared(t *testing.T) {
	message := func(kind Kind, size int) []byte {
		b := make([]byte, messageSize)
		binary.NativeEndian.PutUint32(b, uint32(kind))
		return b[:size]
	}
	for name, tc := range map[string]struct {
		data []byte
		root bool
		want Kind // 0: an error
	}{
		"a file system":                 {message(Shared, messageSize), true, Shared},
		"a step that failed":            {message(Failed, messageSize), false, Failed},
		"a failure with a file system":  {message(Failed, messageSize), true, 0},
		"no file system":                {message(Shared, messageSize), false, 0},
		"another message":               {message(Running, messageSize), false, 0},
		"half a message":                {message(Shared, 8), true, 0},
		"no message at all, at the end": {nil, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			control, child, err := Socketpair()
			if err != nil {
				t.Fatal(err)
			}
			defer control.Close()
			defer child.Close()
			dir, err := os.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			var rights []byte
			if tc.root {
				rights = unix.UnixRights(int(dir.Fd()))
			}
			if tc.data == nil {
				child.Close()
			} else if err := unix.Sendmsg(int(child.Fd()), tc.data, rights, nil, 0); err != nil {
				t.Fatal(err)
			}
			m, root, err := control.ReceiveShared()
			if (err != nil) != (tc.want == 0) || err == nil && m.Kind != tc.want || (root != nil) != (tc.want == Shared) {
				t.Errorf("%+v, %v, %v", m, root, err)
			}
			if tc.data == nil && !errors.Is(err, io.EOF) {
				t.Errorf("at the end: %v", err)
			}
			if root != nil {
				root.Close()
			}
		})
	}
}
