package launch

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// scanDepth is how deep a scan goes; it holds a descriptor for each directory that it is in.
const scanDepth = 250

// A tally is what a directory of writes holds.
type tally struct {
	bytes, inodes uint64
	hidden        bool // it has places that cannot be looked into
}

// scan counts what lies below an open directory, itself included: a file with several names once, one with holes by
// its blocks. An agent may close a directory to its owner, or make one of endless depth: then the scan says so.
func scan(dir *os.File) (tally, error) {
	s := scanner{seen: map[inode]struct{}{}}
	var st unix.Stat_t
	fd, err := openBelow(int(dir.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY) // a read position of its own
	if err != nil {
		return tally{}, err
	}
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return tally{}, err
	}
	s.count(st)
	s.dir(fd, 0)
	return s.sum, nil
}

type scanner struct {
	sum  tally
	seen map[inode]struct{} // with several names
}

func (s *scanner) count(st unix.Stat_t) {
	s.sum.inodes++
	s.sum.bytes += uint64(st.Blocks) * 512
}

// dir takes over the descriptor. What vanishes meanwhile holds nothing any more.
func (s *scanner) dir(fd int, depth int) {
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	for {
		names, err := f.Readdirnames(512)
		for _, name := range names {
			s.entry(fd, name, depth)
		}
		if err != nil || len(names) == 0 {
			return
		}
	}
}

func (s *scanner) entry(dir int, name string, depth int) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		s.missed(err)
		return
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		if st.Nlink > 1 {
			id := inode{uint64(st.Dev), st.Ino}
			if _, known := s.seen[id]; known {
				return
			}
			s.seen[id] = struct{}{}
		}
		s.count(st)
		return
	}
	s.count(st)
	if depth >= scanDepth {
		s.sum.hidden = true
		return
	}
	fd, err := openBelow(dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		s.missed(err)
		return
	}
	s.dir(fd, depth+1)
}

func (s *scanner) missed(err error) {
	if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
		s.sum.hidden = true
	}
}
