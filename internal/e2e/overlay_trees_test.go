package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// listing is all that a tree is, one line a name: type, permissions, content, links, attributes; with times also the
// inodes and the times of files and directories. It knows nothing of agentbox. What git keeps about files of the very
// disk is left out.
func listing(t testing.TB, root string, times bool) []string {
	t.Helper()
	var list []string
	first := map[uint64]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(path, root), "/")
		if rel == ".git/index" {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		line := fmt.Sprintf("%q %v %d:%d", rel, info.Mode(), st.Uid, st.Gid)
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d %x", len(data), sha256.Sum256(data))
			if name, ok := first[st.Ino]; ok {
				line += " = " + name
			} else if st.Nlink > 1 {
				first[st.Ino] = fmt.Sprintf("%q", rel)
			}
			if st.Blocks*512 < int64(len(data))/2 {
				line += " sparse"
			}
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" -> %q", target)
		}
		if times {
			line += fmt.Sprintf(" %d %d", st.Ino, info.ModTime().UnixNano())
		}
		list = append(list, line+attributes(path, info))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// attributes are the extended ones of users.
func attributes(path string, info fs.FileInfo) string {
	if !info.Mode().IsRegular() && !info.IsDir() {
		return ""
	}
	names, value := make([]byte, 4096), make([]byte, 4096)
	n, err := unix.Llistxattr(path, names)
	if err != nil {
		return ""
	}
	var list []string
	for name := range bytes.SplitSeq(names[:n], []byte{0}) {
		if bytes.HasPrefix(name, []byte("user.")) {
			n, _ := unix.Lgetxattr(path, string(name), value)
			list = append(list, fmt.Sprintf(" %s=%q", name, value[:max(n, 0)]))
		}
	}
	slices.Sort(list)
	return strings.Join(list, "")
}

// An agentTree is a project, and what an agent makes of it.
type agentTree struct{ host, agent string }

const plainTree = `mkdir -p d/sub e; echo a >a; echo b >b; echo x >d/x; echo f >d/sub/f; echo y >d/y; echo e >e/e; ln -s a link; printf raw >$'d/\xff\xfe'; chmod 640 b`

var agentTrees = map[string]agentTree{
	"all is removed":              {plainTree, `find . -mindepth 1 -delete`},
	"directories are renamed":     {plainTree, `mv d g; mv g/sub h; mv e g/e; mkdir d; echo new >d/x; mv a d/a`},
	"a directory and a file swap": {plainTree, `mv d t; mv a d; mv t a; rm link; mkdir link; echo in >link/in; rm -r e; echo file >e`},
	"emptied and made again":      {plainTree, `rm -r d; mkdir d; echo new >d/new; echo x >d/x; rm -r e; mkdir e`},
	"hard links":                  {plainTree, `echo new >n; ln n d/n; ln n e/n; echo other >o; ln o o2; rm o`},
	"a new name of an old file":   {plainTree, `ln d/x d/x2; ln a e/a`},
	"symbolic links":              {plainTree, `ln -sfn d/x link; ln -s nowhere dangling; ln -s d dirlink; ln -s $'d/\xff\xfe' raw; rm a; ln -s b a`},
	"sparse files":                {plainTree, `truncate -s 24M sparse; printf x | dd of=sparse bs=1 seek=16777216 conv=notrunc status=none; truncate -s 1M a`},
	"attributes":                  {plainTree, `/usr/bin/python3 -c 'import os; os.setxattr("b", "user.k", b"v\0w"); os.setxattr("d", "user.d", b"dir"); os.setxattr("d/x", "user.empty", b"")'`},
	"modes alone":                 {plainTree, `chmod 600 a; chmod 755 b; chmod 700 d; chmod 555 e; chmod 444 d/x`},
	"names of all kinds":          {plainTree, `printf 1 >$'\xc3\x28'; printf 2 >$'new\nline'; printf 3 >' space '; printf 4 >'-rf'; mkdir $'\x80dir'; printf 5 >$'\x80dir/\xff'; printf 6 >'back\slash:colon,comma'; printf 7 >$'d/\xff\xfe'; printf 8 >"$(printf '%0250d' 1)"`},
	"another branch": {gitAs + plainTree + `; git init -q .; git add -A; git commit -qm one; git checkout -qb other; git rm -qr d; echo new >a; mkdir n; echo n >n/n; git add -A; git commit -qm two; git checkout -q main`,
		gitAs + `git checkout -q other`},
}

const manyFiles = `for d in {1..500}; do mkdir -p node_modules/p$d/lib; for f in {1..100}; do echo $d $f >node_modules/p$d/lib/$f.js; done; done`

// Applying all gives the tree that the agent saw: the same as its script makes of an independent copy. Discarding
// leaves the host as it was, to the nanosecond.
func TestApplyGivesTheAgentsTree(t *testing.T) {
	for account, find := range accounts() {
		for name, tree := range agentTrees {
			t.Run(account+", "+name, func(t *testing.T) { compareTrees(t, find, tree) })
		}
	}
	t.Run("user, 50000 files", func(t *testing.T) {
		if testing.Short() {
			t.Skip("it takes long")
		}
		compareTrees(t, mappedUser, agentTree{plainTree, manyFiles})
	})
}

func compareTrees(t *testing.T, find who, tree agentTree) {
	w := newOverlay(t, find, "")
	top := w.dir
	w.host(t, `umask 022; mkdir project copy; cd project; `+tree.host)
	w.dir = filepath.Join(top, "project")
	w.host(t, `cp -a . ../copy`)
	before := listing(t, w.dir, true)
	script := "umask 022; " + tree.agent
	w.agent(t, script)
	if r := finish(t, w.agentbox(t, "discard", "--yes")); r.code != 0 {
		t.Fatalf("discard: %+v", r)
	}
	if diff := cmp.Diff(before, listing(t, w.dir, true)); diff != "" {
		t.Fatalf("the host after a run and discard (-before +after):\n%s", diff)
	}
	w.agent(t, script)
	w.apply(t, "--all", "--allow-handoff")
	r := finish(t, w.Command(t, filepath.Join(top, "copy"), "bash", "-ec", script))
	if r.code != 0 {
		t.Fatalf("on the copy: %+v", r)
	}
	if diff := cmp.Diff(listing(t, filepath.Join(top, "copy"), false), listing(t, w.dir, false)); diff != "" {
		t.Errorf("(-the copy +the host after apply):\n%.4000s", diff)
	}
	if strings.Contains(tree.host, "git init") {
		if out := w.host(t, "git status --porcelain; git fsck 2>&1"); out != "" {
			t.Errorf("git says %q", out)
		}
	}
}
