package session

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestFind(t *testing.T) {
	root := testRoot(t)
	for i, s := range []struct{ id, workspace string }{
		{"0aaaaaaaaaaa", "/src"},
		{"0aaaaaaaaaab", "/src/app"},
		{"0bbbbbbbbbbb", "/src/app"},
		{"0ccccccccccc", "/src"},
		{"0ddddddddddd", ""},
	} {
		mustCreate(t, root, Info{ID: s.id, Workspace: s.workspace, Started: time.Unix(int64(1000+i), 0)})
	}
	for name, tc := range map[string]struct {
		prefix, workspace, want, err string
		is                           error
	}{
		"a whole ID":                          {prefix: "0aaaaaaaaaab", want: "0aaaaaaaaaab"},
		"a unique prefix":                     {prefix: "0b", want: "0bbbbbbbbbbb"},
		"capitals":                            {prefix: "0B", want: "0bbbbbbbbbbb"},
		"a prefix of two":                     {prefix: "0a", is: ErrAmbiguous, err: "0aaaaaaaaaaa and 0aaaaaaaaaab"},
		"a prefix of none":                    {prefix: "0z", is: ErrNotFound, err: `no such session: "0z"`},
		"not an ID":                           {prefix: "../x", is: ErrNotFound, err: "is not a session ID"},
		"too long":                            {prefix: "0aaaaaaaaaaaa", is: ErrNotFound, err: "is not a session ID"},
		"the workspace's newest":              {workspace: "/src", want: "0ccccccccccc"},
		"below a workspace, the nearest wins": {workspace: "/src/app/cmd", want: "0bbbbbbbbbbb"},
		"a sibling that begins alike":         {workspace: "/src/application", want: "0ccccccccccc"},
		"above every workspace":               {workspace: "/", is: ErrNotFound, err: `nothing runs in "/"`},
		"a relative directory":                {workspace: "src", is: ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			info, err := Find(root, tc.prefix, tc.workspace)
			if info.ID != tc.want || !errors.Is(err, tc.is) {
				t.Errorf("got %q, %v; want %q, %v", info.ID, err, tc.want, tc.is)
			}
			if tc.err != "" && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("error %q lacks %q", err, tc.err)
			}
		})
	}
	if infos, err := List(root + "/none"); len(infos) > 0 || err != nil {
		t.Errorf("a root that does not exist: %v %v", infos, err)
	}
}
