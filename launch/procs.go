package launch

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"
)

// A process of the box, as the host sees it.
type process struct {
	pid    int
	name   string
	memory uint64 // bytes that are its own
}

// processes finds everything in the box's pid namespace, whoever its parent is: commands that joined have none inside.
func (b *Box) processes() []int {
	first, inside := b.pidNamespace()
	if inside == "" {
		return nil
	}
	all, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var list []int
	for _, d := range all {
		pid, err := strconv.Atoi(d.Name())
		if err != nil || pid == first {
			continue
		}
		if ns, err := os.Readlink("/proc/" + d.Name() + "/ns/pid"); err == nil && ns == inside {
			list = append(list, pid)
		}
	}
	return list
}

// pidNamespace is the box's first process, and the name of its pid namespace; "" where it has ended.
func (b *Box) pidNamespace() (first int, name string) {
	first, err := b.process.Pid()
	if err != nil {
		return 0, ""
	}
	name, _ = os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", first))
	return first, name
}

// tasks counts processes and threads.
func (b *Box) tasks(list []int) int {
	n := 0
	for _, pid := range list {
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err == nil {
			n += len(threads)
		}
	}
	return n
}

// held is who holds the box's memory.
type held struct {
	processes, files uint64 // bytes: private memory; tmpfs and memfds
	largest          process
}

func (h held) String() string {
	switch {
	case h.files > h.largest.memory:
		return "files in memory (tmpfs, memfd) hold " + humanize.IBytes(h.files)
	case h.largest.name != "":
		return "largest process " + h.largest.name + ", " + humanize.IBytes(h.largest.memory)
	}
	return ""
}

// memory estimates what the box holds where no control group counts: the private memory of its processes, its tmpfs
// and its memfds. Pages that forked processes still share count for each. System V segments do not count.
func (b *Box) memory(list []int) held {
	var h held
	memfds := map[[2]uint64]uint64{}
	for _, pid := range list {
		p := process{pid: pid, memory: private(pid)}
		h.processes += p.memory
		if p.memory > h.largest.memory {
			p.name = comm(pid) // now: it may be gone at the end
			h.largest = p
		}
		findMemfds(pid, memfds)
	}
	for _, size := range memfds {
		h.files += size
	}
	if len(list) > 0 {
		h.files += b.tmpfs(list[0])
	}
	h.files += b.writesInMemory()
	return h
}

func comm(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(name))
}

// private is the resident memory that no file is behind; see proc_pid_statm(5).
func private(pid int) uint64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	fields := strings.Fields(string(data))
	if err != nil || len(fields) < 3 {
		return 0
	}
	resident, err1 := strconv.ParseUint(fields[1], 10, 64)
	shared, err2 := strconv.ParseUint(fields[2], 10, 64)
	if errors.Join(err1, err2) != nil || shared > resident {
		return 0
	}
	return (resident - shared) * uint64(os.Getpagesize())
}

// findMemfds adds the memfds that a process holds, each once.
func findMemfds(pid int, found map[[2]uint64]uint64) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	list, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, d := range list {
		path := filepath.Join(dir, d.Name())
		target, err := os.Readlink(path)
		if err != nil || !strings.HasPrefix(target, "/memfd:") {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil {
			found[[2]uint64{uint64(st.Dev), st.Ino}] = uint64(st.Blocks) * 512
		}
	}
}

// tmpfs is what the files on the box's own filesystems take.
func (b *Box) tmpfs(pid int) uint64 {
	var used uint64
	for _, m := range b.plan.Files.Mounts {
		if m.Type != "tmpfs" {
			continue
		}
		var st unix.Statfs_t
		if unix.Statfs(fmt.Sprintf("/proc/%d/root%s", pid, m.Target), &st) == nil && st.Type == unix.TMPFS_MAGIC {
			used += (st.Blocks - st.Bfree) * uint64(st.Bsize)
		}
	}
	return used
}
