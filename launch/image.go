package launch

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"agentbox/limits"
)

// imageName is the file of a session's workspace directory that holds the file system of its overlay's writes. It is
// sparse: it takes what was written, and never more than the limit and what ext4 itself needs.
const imageName = "writes.img"

// imagePart is its name until there is in it what the directory held before: nobody takes it for what an agent wrote.
const imagePart = imageName + ".part"

// noImage says why this caller can have no file system in a file, or "". The answers come from the kernel's devices:
// a container may have the privileges and lack those.
func noImage(ids IDMode) string {
	if ids != IDRange {
		return "only root mounts a file system of a fixed size"
	}
	if _, err := SystemProgram(makeExt4); err != nil {
		return err.Error() + " (package e2fsprogs)"
	}
	control, err := os.OpenFile(loopControl, os.O_RDWR, 0)
	if err != nil {
		return "there are no loop devices: " + err.Error()
	}
	defer control.Close()
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err == nil {
		_, err = os.Stat(loopDevice(n))
	}
	if err != nil {
		return "there is no free loop device: " + err.Error()
	}
	return ""
}

const (
	makeExt4    = "mkfs.ext4"
	loopControl = "/dev/loop-control"
)

func loopDevice(n int) string { return "/dev/loop" + strconv.Itoa(n) }

// imageSize is how large the file has to be for a limit: what ext4 keeps for itself comes on top.
func imageSize(w limits.Writes) (size int64, journal int) {
	const inode, mib = 256, 1 << 20
	set := min(w.Bytes/49, 16*mib) // ext4 sets a fiftieth aside for its own books (ext4_calculate_resv_clusters)
	journal = 4                    // MiB; the smallest that ext4 takes
	if w.Bytes >= 1<<30 {
		journal = 32
	}
	own := set + w.Inodes*inode + uint64(journal)*mib + w.Bytes/1024 + mib // and tables, journal, bitmaps, descriptors
	return int64((w.Bytes + own + 4095) &^ 4095), journal
}

// makeImage makes the file system that is to hold an overlay's writes, under its first name. Nothing of it is written
// before it is needed: neither the tables of inodes nor the journal.
func makeImage(dir string, w limits.Writes) error {
	part := filepath.Join(dir, imagePart)
	program, err := SystemProgram(makeExt4)
	if err != nil {
		return err
	}
	_ = os.Remove(part)
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	size, journal := imageSize(w)
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return err
	}
	cmd := exec.Command(program, "-q", "-F", "-b", "4096", "-I", "256", "-m", "0", "-N", strconv.FormatUint(w.Inodes, 10),
		"-J", "size="+strconv.Itoa(journal), "-O", "^resize_inode", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", part)
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + systemPath, "LC_ALL=C"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", makeExt4, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// mountImage mounts the file system in a file nowhere: the descriptor is the mount, and no
// table of mounts of the host shows it. It goes when the last descriptor and the last box that use it have gone. Of
// the same file there is never a second loop device, whoever asks: two would not know of each other's writes.
func mountImage(name string, attrs int) (*os.File, error) {
	lock, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW, 0) // the loop device would keep a lock on its own
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, &os.PathError{Op: "lock", Path: name, Err: err}
	}
	image, err := os.OpenFile(name, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer image.Close()
	loop, err := attachedLoop(image)
	if err == nil && loop == nil {
		loop, err = attachLoop(image)
	}
	if err != nil {
		return nil, err
	}
	defer loop.Close()
	// The tables of inodes are read as empty where they are holes; a thread of the kernel that fills them with zeros
	// would make the file grow.
	return mountFS("ext4", loop.Name(), []string{"noinit_itable"}, nil, attrs)
}

// attachLoop makes a loop device of a file. It detaches itself when nobody uses it any more.
func attachLoop(image *os.File) (*os.File, error) {
	control, err := os.OpenFile(loopControl, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	config := &unix.LoopConfig{Fd: uint32(image.Fd()), Size: 4096}
	config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR | unix.LO_FLAGS_DIRECT_IO // or the host caches everything twice
	copy(config.Info.File_name[:len(config.Info.File_name)-1], "agentbox")
	for range loopAttempts {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("a free loop device: %w", err)
		}
		loop, err := os.OpenFile(loopDevice(n), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		if err = unix.IoctlLoopConfigure(int(loop.Fd()), config); err == nil {
			return loop, nil
		}
		loop.Close()
		if !errors.Is(err, unix.EBUSY) { // else another process was faster
			return nil, fmt.Errorf("%s: %w", loopDevice(n), err)
		}
	}
	return nil, errors.New("other processes take every free loop device")
}

const loopAttempts = 64

// attachedLoop finds the loop device that a file already has. As long as it is open it stays.
func attachedLoop(image *os.File) (*os.File, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(image.Fd()), &st); err != nil {
		return nil, err
	}
	used, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, err
	}
	for _, name := range used {
		device := "/dev/" + filepath.Base(filepath.Dir(filepath.Dir(name)))
		loop, err := os.OpenFile(device, os.O_RDWR, 0)
		if err != nil {
			continue // it went meanwhile, or is not ours to see
		}
		info, err := unix.IoctlLoopGetStatus64(int(loop.Fd()))
		if err == nil && info.Device == uint64(st.Dev) && info.Inode == st.Ino {
			return loop, nil
		}
		loop.Close()
	}
	return nil, nil
}

// mountFS makes a mount that is attached nowhere.
func mountFS(kind, source string, flags []string, values map[string]string, attrs int) (*os.File, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("fsopen %s: %w", kind, err)
	}
	defer unix.Close(fs)
	err = unix.FsconfigSetString(fs, "source", source)
	for _, flag := range flags {
		err = errors.Join(err, unix.FsconfigSetFlag(fs, flag))
	}
	for key, value := range values {
		err = errors.Join(err, unix.FsconfigSetString(fs, key, value))
	}
	if err == nil {
		err = unix.FsconfigCreate(fs)
	}
	if err != nil {
		return nil, fmt.Errorf("mount a %s: %w%s", kind, err, kernelSays(fs))
	}
	at, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attrs)
	if err != nil {
		return nil, fmt.Errorf("mount a %s: %w", kind, err)
	}
	return os.NewFile(uintptr(at), kind), nil
}

// kernelSays reads what the kernel noted about a mount that it refused.
func kernelSays(fs int) string {
	buf := make([]byte, 512)
	n, err := unix.Read(fs, buf)
	if err != nil || n <= 0 {
		return ""
	}
	return " (" + strings.TrimSpace(string(buf[:n])) + ")"
}
