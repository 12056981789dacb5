package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
	"agentbox/internal/workspace"
)

// layer is an upper directory in miniature, with everything in it that an overlay and an agent make.
func layer(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, d := range []string{"sub", "sub/deep", "opaque", "closed"} {
		must(t, os.Mkdir(at(d), 0o755))
	}
	must(t, unix.Setxattr(at("opaque"), "user.overlay.opaque", []byte("y"), 0))
	must(t, os.WriteFile(at("sub/file"), []byte("text"), 0o644))
	must(t, unix.Setxattr(at("sub/file"), "user.mine", []byte{0, 1}, 0))
	must(t, os.WriteFile(at("closed/secret"), []byte("mine"), 0o200))
	must(t, os.WriteFile(at("run"), []byte("#!/bin/sh\n"), 0o755))
	must(t, os.WriteFile(at("line\nbreak \xff"), nil, 0o600))
	must(t, os.Symlink("/etc/passwd", at("away")))
	must(t, os.Link(at("sub/file"), at("sub/deep/again")))
	must(t, unix.Mknod(at("gone"), unix.S_IFCHR, 0))
	must(t, os.Link(at("gone"), at("sub/gone")))
	must(t, unix.Mkfifo(at("pipe"), 0o640))
	must(t, unix.Mknod(at("socket"), unix.S_IFSOCK|0o600, 0))
	holes, err := os.Create(at("holes"))
	must(t, err)
	_, err = holes.WriteAt([]byte("end"), 4<<20)
	must(t, errors.Join(err, holes.Truncate(8<<20), holes.Close()))
	old := []unix.Timespec{{Sec: 1, Nsec: 5}, {Sec: 1_000_000_000, Nsec: 123_456_789}}
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, at("away"), old, unix.AT_SYMLINK_NOFOLLOW))
	must(t, os.Chmod(at("closed"), 0o100))
	for _, name := range []string{"sub/file", "sub", "closed", "."} {
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, at(name), old, 0))
	}
	return dir
}

// description is what a layer is made of, without what no copy can have: inode numbers and times of change.
func description(t *testing.T, dir string) map[string]string {
	t.Helper()
	out, first := map[string]string{}, map[uint64]string{}
	must(t, filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		must(t, err)
		var st unix.Stat_t
		must(t, unix.Lstat(p, &st))
		rel := strings.TrimPrefix(p, dir)
		line := fmt.Sprintf("%o %d:%d %d.%d rdev %d", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec, st.Rdev)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFLNK:
			to, err := os.Readlink(p)
			must(t, err)
			line += " to " + to
		case unix.S_IFREG:
			data, err := os.ReadFile(p)
			must(t, err)
			line += fmt.Sprintf(" %d bytes, %d of holes, %q", st.Size, max(st.Size-st.Blocks*512, 0)>>20, strings.ReplaceAll(string(data), "\x00", ""))
		}
		for _, key := range []string{"user.mine", "user.overlay.opaque"} {
			if value, err := readAll(func(b []byte) (int, error) { return unix.Lgetxattr(p, key, b) }); err == nil {
				line += fmt.Sprintf(" %s=%q", key, value)
			}
		}
		if st.Nlink > 1 && !d.IsDir() {
			if first[st.Ino] == "" {
				first[st.Ino] = rel
			}
			line += fmt.Sprintf(" is %s, %d names", first[st.Ino], st.Nlink)
		}
		out[rel] = line
		return nil
	}))
	return out
}

func opened(t *testing.T, dir string) *os.File {
	t.Helper()
	f, err := os.Open(dir)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// A copy is the same layer: an overlay and a review cannot tell them apart.
func TestCopyOfALayer(t *testing.T) {
	boxtest.Need(t, boxtest.Root) // a closed directory is described as root
	from, to := layer(t), t.TempDir()
	want := description(t, from)
	must(t, copyTree(opened(t, filepath.Dir(from)), filepath.Base(from), opened(t, to), "upper", nil))
	if diff := cmp.Diff(want, description(t, filepath.Join(to, "upper"))); diff != "" {
		t.Errorf("(-layer +copy):\n%s", diff)
	}
}

// As root, what is kept belongs to the caller, whoever it belonged to inside.
func TestCopyBelongsToTheCaller(t *testing.T) {
	boxtest.Need(t, boxtest.Root)
	from, to := layer(t), t.TempDir()
	must(t, os.Lchown(filepath.Join(from, "sub/file"), 4711, 4711))
	must(t, copyTree(opened(t, filepath.Dir(from)), filepath.Base(from), opened(t, to), "upper", &account{12, 34}))
	for name, line := range description(t, filepath.Join(to, "upper")) {
		if !strings.Contains(line, " 12:34 ") {
			t.Errorf("%q: %s", name, line)
		}
	}
}

// No name of an agent's leads out of its tree, and no copy goes on where something is already.
func TestCopyFollowsNothing(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	must(t, os.Mkdir(filepath.Join(from, "real"), 0o755))
	must(t, os.Symlink("real", filepath.Join(from, "link")))
	if err := copyTree(opened(t, from), "link", opened(t, to), "upper", nil); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("a link was followed: %v", err)
	}
	must(t, os.Symlink(from, filepath.Join(to, "taken")))
	if err := copyTree(opened(t, from), "real", opened(t, to), "taken", nil); !errors.Is(err, unix.EEXIST) {
		t.Errorf("the copy went elsewhere: %v", err)
	}
	must(t, copyTree(opened(t, from), "real", opened(t, to), "upper", nil))
}

// An agent may make a tree that is deeper than any path. What a review would refuse is left out, and nothing fails.
func TestCopyOfAnEndlessTree(t *testing.T) {
	from, to := opened(t, t.TempDir()), t.TempDir()
	top := filepath.Join(from.Name(), "upper")
	at, err := unix.Open(from.Name(), unix.O_PATH|unix.O_DIRECTORY, 0)
	must(t, err)
	for n, name := 0, "upper"; n < 2*copyDepth; n, name = n+1, strings.Repeat("d", 100) {
		must(t, unix.Mkdirat(at, name, 0o755))
		next, err := unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY, 0)
		must(t, err)
		unix.Close(at)
		at = next
	}
	unix.Close(at)
	must(t, copyTree(from, "upper", opened(t, to), "upper", nil))
	sum, err := scan(opened(t, filepath.Join(to, "upper")))
	must(t, err)
	if sum.inodes != copyDepth+1 {
		t.Errorf("%d directories were copied", sum.inodes)
	}
	must(t, errors.Join(workspace.Remove(top), workspace.Remove(filepath.Join(to, "upper"))))
}

// What was in memory is in the session's directory afterwards; a copy that fails leaves nothing that looks like changes.
func TestMemoryIsKept(t *testing.T) {
	memory, dir := t.TempDir(), t.TempDir()
	must(t, errors.Join(os.Mkdir(filepath.Join(memory, "upper"), 0o755), os.WriteFile(filepath.Join(memory, "upper/new"), []byte("x"), 0o644)))
	must(t, errors.Join(os.Mkdir(filepath.Join(dir, "upper"), 0o755), os.WriteFile(filepath.Join(dir, memoryName), nil, 0o600)))
	if kept, err := OpenKept(dir); err != nil || !kept.Memory {
		t.Errorf("while it is in memory: %v, %v", kept, err)
	}
	boxtest.Need(t, boxtest.Root)
	device := filepath.Join(memory, "upper/bad")
	must(t, unix.Mknod(device, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	if err := keepTmpfs(opened(t, memory), dir, nil); err == nil || !strings.Contains(err.Error(), "is a device") {
		t.Errorf("a device was kept: %v", err)
	}
	if list, err := os.ReadDir(filepath.Join(dir, "upper")); err != nil || len(list) > 0 {
		t.Errorf("half of it is there: %v, %v", list, err)
	}
	must(t, os.Remove(device))
	must(t, errors.Join(keepTmpfs(opened(t, memory), dir, nil), removeMark(dir)))
	kept, err := OpenKept(dir)
	must(t, err)
	defer kept.Close()
	if kept.Memory {
		t.Error("it is said to be in memory")
	}
	if data, err := os.ReadFile(filepath.Join(kept.Upper, "new")); err != nil || string(data) != "x" {
		t.Errorf("%q, %v", data, err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("beside it: %v, %v", list, err)
	}
}

// The time of a copy is the agent's, not ours.
func TestCopyKeepsNanoseconds(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	when := time.Unix(1_000_000_000, 123_456_789)
	must(t, errors.Join(os.Mkdir(filepath.Join(from, "upper"), 0o700), os.Chtimes(filepath.Join(from, "upper"), when, when)))
	must(t, copyTree(opened(t, from), "upper", opened(t, to), "upper", nil))
	if info, err := os.Stat(filepath.Join(to, "upper")); err != nil || !info.ModTime().Equal(when) {
		t.Errorf("%v, %v", info.ModTime(), err)
	}
}
