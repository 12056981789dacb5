package launch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// found lists what a look has noted in the workspace, as "mask a/b" and "protect c"; "!" marks what no pattern names.
func found(h Host) (list []string) {
	for _, m := range h.Files.Masked {
		list = append(list, "mask "+m.Path+map[bool]string{true: " !"}[m.Key == ownRule])
	}
	for _, m := range h.Files.Protected {
		list = append(list, "protect "+m.Path+map[bool]string{true: " !"}[m.Key == ownRule])
	}
	slices.Sort(list)
	return list
}

func TestWalkThroughTheWorkspace(t *testing.T) {
	for name, tc := range map[string]struct {
		tree          []string
		mask, protect []string
		want          []string
	}{
		"what a pattern names": {tree: []string{"a/.env", "a/b/.env", "a/env"}, mask: []string{".env"}, want: []string{"mask a/.env", "mask a/b/.env"}},
		"below a masked directory nothing is looked for": {
			tree: []string{"secrets/a.key", "b.key"}, mask: []string{"secrets/", "*.key"}, want: []string{"mask b.key", "mask secrets"}},
		"an exception":                           {tree: []string{".env", ".env.example"}, mask: []string{".env*", "!.env.example"}, want: []string{"mask .env"}},
		"a name that is not UTF-8":               {tree: []string{"\xff\xfe.key", "a\nb.key"}, mask: []string{"*.key"}, want: []string{"mask a\nb.key", "mask \xff\xfe.key"}},
		"a mask outweighs a protection":          {tree: []string{".env"}, mask: []string{".env"}, protect: []string{".env"}, want: []string{"mask .env"}},
		"a mask in what is protected":            {tree: []string{".vscode/.env", ".vscode/x"}, mask: []string{".env"}, protect: []string{".vscode"}, want: []string{"mask .vscode/.env", "protect .vscode"}},
		"a link and the file to which it leads":  {tree: []string{"conf/real", ".env -> conf/real"}, mask: []string{".env"}, want: []string{"mask .env", "mask conf/real"}},
		"a link that leads out of the workspace": {tree: []string{".env -> /etc/hostname"}, mask: []string{".env"}, want: []string{"mask .env"}},
		"a link that leads to the workspace":     {tree: []string{".env -> ."}, mask: []string{".env"}, want: []string{"mask .env"}},
		"links in a circle":                      {tree: []string{".env -> b", "b -> .env", "c -> c"}, mask: []string{".env", "c"}, want: []string{"mask .env", "mask c"}},
		"a directory that is in itself":          {tree: []string{"a/.env", "a/again -> .."}, mask: []string{".env"}, want: []string{"mask a/.env"}},
		"every name of a masked file":            {tree: []string{"z.key", "b/copy = z.key"}, mask: []string{"*.key"}, want: []string{"mask b/copy", "mask z.key"}},
		"every name of a file in a protected directory": {
			tree: []string{".git/hooks/pre-commit", "copy = .git/hooks/pre-commit"}, protect: []string{".git/hooks"}, want: []string{"protect .git/hooks", "protect .git/hooks/pre-commit !", "protect copy !"}},
		"a file that says where the directory is": {tree: []string{".git"}, protect: []string{".git/hooks"}, want: []string{"protect .git"}},
		"a directory under another name": {
			tree: []string{"conf/settings.json", "conf/other", ".claude -> conf"}, protect: []string{".claude/settings*.json"}, want: []string{"protect .claude", "protect conf/settings.json"}},
		"a socket that somebody holds": {tree: []string{"agent.sock ((", "old.sock ("}, want: []string{"mask agent.sock !"}},
		"a FIFO that a pattern names":  {tree: []string{"x.key |"}, mask: []string{"*.key"}, want: []string{"mask x.key"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := person(scratchDir(t))
			plant(t, h.Dir, append(tc.tree, "README")...)
			p := bare("rw")
			p.Workspace.Mask, p.Workspace.Protect = tc.mask, tc.protect
			must(t, h.lookWorkspace(p))
			if diff := cmp.Diff(tc.want, found(h)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, m := range slices.Concat(h.Files.Masked, h.Files.Protected) {
				for dir := filepath.Dir(m.Path); dir != "."; dir = filepath.Dir(dir) {
					if h.Files.Ancestors[dir].Ino == 0 {
						t.Errorf("nobody looked at %s, which is above %s", dir, m.Path)
					}
				}
			}
		})
	}
}

func TestNothingIsProtectedInAReadOnlyWorkspace(t *testing.T) {
	h := person(scratchDir(t))
	plant(t, h.Dir, ".git/hooks/", ".env")
	p := bare("ro")
	p.Workspace.Mask, p.Workspace.Protect = []string{".env"}, []string{".git/hooks"}
	must(t, h.lookWorkspace(p))
	if diff := cmp.Diff([]string{"mask .env"}, found(h)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The agent owns what the caller owns, so it could open again what is closed to both.
func TestADirectoryThatCannotBeReadIsCovered(t *testing.T) {
	asOrdinaryUser(t)
	h := person(scratchDir(t))
	plant(t, h.Dir, "open/.env", "closed/ 000")
	p := bare("rw")
	p.Workspace.Mask = []string{".env"}
	must(t, h.lookWorkspace(p))
	if diff := cmp.Diff([]string{"mask closed !", "mask open/.env"}, found(h)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	must(t, os.Chmod(h.Dir, 0))
	defer os.Chmod(h.Dir, 0o755)
	if err := h.lookWorkspace(p); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a project that cannot be read: %v", err)
	}
}

func TestWorkspacesThatAreNone(t *testing.T) {
	for name, path := range map[string]string{"a file": "file", "nothing": "absent", "a circle of links": "circle", "a FIFO": "fifo"} {
		h := person(scratchDir(t))
		plant(t, h.Dir, "file", "circle -> circle", "fifo |")
		p := bare("rw")
		p.Workspace.Path = path
		if err := h.lookWorkspace(p); err == nil || !strings.Contains(err.Error(), "workspace.path") {
			t.Errorf("%s as the workspace: %v", name, err)
		}
	}
}

// Root that works on somebody's files does so for their owner.
func TestRootWorksForTheOwnerOfTheProject(t *testing.T) {
	h := person(scratchDir(t))
	plant(t, h.Dir, "file")
	h.EUID, h.CallerUID, h.CallerGID = 0, 0, 0
	must(t, h.lookWorkspace(bare("rw")))
	if int(h.CallerUID) != os.Geteuid() || int(h.CallerGID) != os.Getegid() {
		t.Errorf("the caller is %d:%d", h.CallerUID, h.CallerGID)
	}
	h.CallerUID, h.CallerGID = 7, 8 // sudo says who called
	must(t, h.lookWorkspace(bare("rw")))
	if h.CallerUID != 7 || h.CallerGID != 8 {
		t.Errorf("under sudo the caller is %d:%d", h.CallerUID, h.CallerGID)
	}
}
