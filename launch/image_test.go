package launch

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
	"agentbox/limits"
)

const reviewed = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV

func needImage(t *testing.T) {
	t.Helper()
	boxtest.Need(t, boxtest.Root, "mkfs.ext4")
	if why := noImage(IDRange); why != "" {
		t.Skip(why)
	}
}

func mounted(t *testing.T, dir string, attrs int) *os.File {
	t.Helper()
	m, err := mountImage(filepath.Join(dir, imageName), attrs)
	must(t, err)
	return m
}

// madeImage is an image that is whole.
func madeImage(dir string, w limits.Writes) error {
	if _, err := os.Lstat(filepath.Join(dir, imageName)); err == nil {
		return nil
	}
	return errors.Join(makeImage(dir, w), os.Rename(filepath.Join(dir, imagePart), filepath.Join(dir, imageName)))
}

func inMount(m *os.File, name string) string { return fmt.Sprintf("/proc/self/fd/%d/%s", m.Fd(), name) }

// fill writes until there is no room, and says how much there was.
func fill(t *testing.T, name string) int {
	t.Helper()
	f, err := os.Create(name)
	must(t, err)
	defer f.Close()
	for n, block := 0, make([]byte, 1<<16); ; {
		some, err := f.Write(block)
		n += some
		if errors.Is(err, unix.ENOSPC) {
			return n
		}
		must(t, err)
	}
}

// The kernel lets a file system of a fixed size hold the limit, in bytes and in names, and very little more.
func TestImageHoldsItsLimit(t *testing.T) {
	needImage(t)
	for name, w := range map[string]limits.Writes{
		"the smallest": {Bytes: 1 << 20, Inodes: 10_000}, "32 MiB": {Bytes: 32 << 20, Inodes: 10_000}, "256 MiB": {Bytes: 256 << 20, Inodes: 16_384},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, madeImage(dir, w))
			m := mounted(t, dir, 0)
			defer m.Close()
			n := fill(t, inMount(m, "big"))
			t.Logf("%d bytes of %d", n, w.Bytes)
			if slack := int(w.Bytes/256) + 2<<20; n < int(w.Bytes) || n > int(w.Bytes)+slack {
				t.Errorf("it holds %d bytes, the limit is %d", n, w.Bytes)
			}
			must(t, os.Remove(inMount(m, "big")))
			var st unix.Statfs_t
			must(t, unix.Fstatfs(int(m.Fd()), &st))
			if st.Ffree+16 < w.Inodes || st.Ffree > w.Inodes+w.Inodes/8+4096 {
				t.Errorf("it holds %d names, the limit is %d", st.Ffree, w.Inodes)
			}
		})
	}
}

// What was written is there for the review afterwards, and no table of mounts shows it.
func TestImageIsReadAgain(t *testing.T) {
	needImage(t)
	dir := t.TempDir()
	w := limits.Writes{Bytes: 8 << 20, Inodes: 10_000}
	must(t, madeImage(dir, w))
	m := mounted(t, dir, 0)
	must(t, os.WriteFile(inMount(m, "new"), []byte("kept"), 0o600))
	must(t, unix.Setxattr(inMount(m, "new"), "user.overlay.opaque", []byte("y"), 0))
	table, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	if strings.Contains(string(table), dir) || strings.Contains(string(table), "/dev/loop") {
		t.Errorf("it is mounted for everybody:\n%s", table)
	}
	m.Close()
	must(t, madeImage(dir, w)) // a session that starts again finds what it left
	m = mounted(t, dir, reviewed)
	defer m.Close()
	if data, err := os.ReadFile(inMount(m, "new")); err != nil || string(data) != "kept" {
		t.Errorf("%q, %v", data, err)
	}
	if err := os.WriteFile(inMount(m, "other"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("a review can write: %v", err)
	}
}

// A review while the box runs sees what it writes: both have the same file system, on one loop device.
func TestImageHasOneLoopDevice(t *testing.T) {
	needImage(t)
	dir := t.TempDir()
	must(t, madeImage(dir, limits.Writes{Bytes: 8 << 20, Inodes: 10_000}))
	box := mounted(t, dir, 0)
	review := mounted(t, dir, reviewed)
	must(t, os.WriteFile(inMount(box, "new"), []byte("now"), 0o600))
	if data, err := os.ReadFile(inMount(review, "new")); err != nil || string(data) != "now" {
		t.Errorf("%q, %v", data, err)
	}
	if n := loops(t, dir); n != 1 {
		t.Errorf("there are %d loop devices", n)
	}
	box.Close()
	if _, err := os.ReadFile(inMount(review, "new")); err != nil {
		t.Errorf("after the box: %v", err)
	}
	review.Close()
	if n := loops(t, dir); n != 0 {
		t.Errorf("%d loop devices are left", n)
	}
}

// loops counts the loop devices of a directory's image.
func loops(t *testing.T, dir string) (n int) {
	t.Helper()
	out, err := exec.Command("losetup", "--associated", filepath.Join(dir, imageName)).Output()
	must(t, err)
	return strings.Count(string(out), "\n")
}

// An image that was cut off while it was made, or filled, is not taken for what an agent wrote, and is made again.
func TestImageThatWasNotFinished(t *testing.T) {
	needImage(t)
	dir := t.TempDir()
	must(t, errors.Join(os.Mkdir(filepath.Join(dir, "upper"), 0o755), os.WriteFile(filepath.Join(dir, "upper/before"), nil, 0o600)))
	must(t, os.WriteFile(filepath.Join(dir, imagePart), []byte("half"), 0o600))
	for range 2 {
		kept, err := OpenKept(dir)
		must(t, err)
		if _, err := os.Lstat(filepath.Join(kept.Upper, "before")); err != nil {
			t.Error(err)
		}
		kept.Close()
		must(t, makeImage(dir, limits.Writes{Bytes: 1 << 20, Inodes: 10_000}))
	}
	m, err := openImage(dir, 0, nil)
	must(t, err)
	m.Close()
	kept, err := OpenKept(dir)
	must(t, err)
	defer kept.Close()
	if _, err := os.Lstat(filepath.Join(kept.Upper, "before")); err != nil || !strings.HasPrefix(kept.Upper, "/proc/self/fd/") {
		t.Errorf("%s: %v", kept.Upper, err)
	}
}

// What an earlier box wrote needs its room; where it has none, it stays where it is.
func TestImageThatIsTooSmall(t *testing.T) {
	needImage(t)
	dir := t.TempDir()
	must(t, errors.Join(os.Mkdir(filepath.Join(dir, "upper"), 0o755), os.WriteFile(filepath.Join(dir, "upper/big"), make([]byte, 8<<20), 0o600)))
	must(t, makeImage(dir, limits.Writes{Bytes: 1 << 20, Inodes: 10_000}))
	if _, err := openImage(dir, 0, nil); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%v", err)
	}
	kept, err := OpenKept(dir)
	must(t, err)
	defer kept.Close()
	if info, err := os.Lstat(filepath.Join(kept.Upper, "big")); err != nil || info.Size() != 8<<20 {
		t.Errorf("%v", err)
	}
	must(t, makeImage(dir, limits.Writes{Bytes: 16 << 20, Inodes: 10_000}))
	m, err := openImage(dir, 0, nil)
	must(t, err)
	m.Close()
}

func TestImageIsForRoot(t *testing.T) {
	for _, ids := range []IDMode{IDMapped, IDNested, ""} {
		if why := noImage(ids); why == "" {
			t.Errorf("ids %q may mount one", ids)
		}
	}
}
