package session

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// sizeDepth is how deep DiskUse goes; it holds a descriptor for each directory that it is in.
const sizeDepth = 250

// sizeBatch is how many names are looked at between two looks at the clock.
const sizeBatch = 256

// DiskUse counts the bytes that a directory takes on disk, with all below it: a file with several names once, one with
// holes by its blocks. It follows no link, enters no mount, and leaves the directories in except out. What lies too deep,
// what may not be looked into, and what is left when the time is over is not counted; whole is false then.
func DiskUse(path string, until time.Time, except ...string) (bytes int64, whole bool) {
	u := diskUse{until: until, whole: true, seen: map[fileID]struct{}{}}
	for _, out := range except {
		var st unix.Stat_t
		if unix.Lstat(out, &st) == nil {
			u.seen[fileID{uint64(st.Dev), st.Ino}] = struct{}{}
		}
	}
	up, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, errors.Is(err, unix.ENOENT)
	}
	defer unix.Close(up)
	u.entry(up, filepath.Base(path), 0)
	return u.bytes, u.whole
}

// A fileID tells one file from another.
type fileID struct{ dev, ino uint64 }

type diskUse struct {
	until time.Time
	bytes int64
	whole bool
	seen  map[fileID]struct{} // with several names, and what is left out
}

func (u *diskUse) entry(up int, name string, depth int) {
	var st unix.Stat_t
	if err := unix.Fstatat(up, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		u.missed(err)
		return
	}
	isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	id := fileID{uint64(st.Dev), st.Ino}
	if _, known := u.seen[id]; known {
		return
	}
	if !isDir && st.Nlink > 1 {
		u.seen[id] = struct{}{}
	}
	u.bytes += st.Blocks * 512
	if isDir {
		u.dir(up, name, depth)
	}
}

func (u *diskUse) dir(up int, name string, depth int) {
	if depth >= sizeDepth {
		u.whole = false
		return
	}
	fd, err := unix.Openat2(up, name, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	})
	if err != nil {
		u.missed(err)
		return
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	for {
		if time.Now().After(u.until) {
			u.whole = false
			return
		}
		names, err := f.Readdirnames(sizeBatch)
		for _, one := range names {
			u.entry(fd, one, depth+1)
		}
		if err != nil || len(names) == 0 {
			return
		}
	}
}

// missed notes what could not be looked at. What has vanished meanwhile takes nothing.
func (u *diskUse) missed(err error) {
	if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
		u.whole = false
	}
}
