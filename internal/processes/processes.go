// Package processes looks at everything that runs in a pid namespace, from outside and without changing it: the processes
// with what they run, their open files, sockets and mounts.
//
// Everything comes from proc(5). Numbers, ids, states and descriptors are the kernel's word; names, arguments and the paths
// of files are whatever the processes made them. A namespace whose processes run changes while it is looked at: what begins
// meanwhile may be missing, and what ends meanwhile is left out. Of the environment only the names of variables are read.
package processes

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"agentbox/internal/audit"
)

// Bounds of what is read.
const (
	maxProcesses = 20_000
	maxFiles     = 1024     // of one process
	maxArgs      = 64 << 10 // bytes of the arguments of one process
	maxEnviron   = 1 << 20
	maxMounts    = 4 << 20
)

// A View is what was seen.
type View struct {
	Processes []Process  `json:"processes"` // by number on the host
	Sockets   []Socket   `json:"sockets"`   // of the network namespace, for a person: the box's own
	Mounts    audit.Text `json:"-"`         // mountinfo of proc_pid_mountinfo(5), as the agent sees them
	Omitted   int        `json:"omitted"`   // processes beyond the bound
	Errors    []string   `json:"errors"`    // of what could not be read
}

// A Process is one of the namespace.
type Process struct {
	PID      int          `json:"pid"`        // on the host
	Inside   int          `json:"pid_in_box"` // in the namespace
	Parent   int          `json:"parent"`     // on the host
	Name     audit.Text   `json:"name"`
	Argv     []audit.Text `json:"argv"`
	ArgvCut  bool         `json:"argv_cut,omitempty"` // there is more of it
	Program  audit.Text   `json:"program"`            // the file that it runs
	Dir      audit.Text   `json:"dir"`                // its working directory
	Root     audit.Text   `json:"root"`
	State    string       `json:"state"` // a letter of proc_pid_stat(5)
	Started  time.Time    `json:"started"`
	CPU      float64      `json:"cpu_seconds"`
	Resident uint64       `json:"resident_bytes"`
	Threads  int          `json:"threads"`
	// Credentials are lines of proc_pid_status(5): ids on the host, capability sets, no_new_privs, seccomp.
	Credentials map[string]string `json:"credentials"`
	Variables   []audit.Text      `json:"variables"` // names alone
	Files       []File            `json:"files"`
	FilesCut    int               `json:"files_omitted,omitempty"`
	Errors      []string          `json:"errors,omitempty"`
}

// A File is an open one.
type File struct {
	FD       int        `json:"fd"`
	Target   audit.Text `json:"target"`
	Flags    string     `json:"flags"` // octal, of open(2)
	Position int64      `json:"position"`
}

// Of looks at the pid namespace of a process, which is the first of it. Of one that is ending the error is
// os.ErrProcessDone.
func Of(first int) (*View, error) {
	space, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", first))
	if err != nil {
		return nil, err
	}
	list, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, err
	}
	v := &View{Processes: []Process{}, Sockets: []Socket{}, Errors: []string{}}
	for _, d := range list {
		pid, err := strconv.Atoi(d.Name())
		if err != nil || !within(pid, space) {
			continue
		}
		if len(v.Processes) == maxProcesses {
			v.Omitted++
			continue
		}
		if p := look(fs, pid); within(pid, space) { // it is the same, or another of the namespace
			v.Processes = append(v.Processes, p)
		}
	}
	v.shared(first)
	if _, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", first)); errors.Is(err, os.ErrNotExist) {
		return nil, os.ErrProcessDone // its memory is gone, and so are all the others
	}
	return v, nil
}

func within(pid int, space string) bool {
	is, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
	return err == nil && is == space
}

// shared reads what all processes of the namespace have in common, by way of one that is not the first: that one may be
// closed to the caller, and has mounts of its own.
func (v *View) shared(first int) {
	for _, p := range v.Processes {
		if p.PID == first && len(v.Processes) > 1 {
			continue
		}
		mounts, err := readAtMost(fmt.Sprintf("/proc/%d/mountinfo", p.PID), maxMounts)
		if err != nil {
			continue // it has ended
		}
		v.Mounts = audit.Text(mounts)
		v.Sockets, err = sockets(p.PID)
		if err == nil {
			return
		}
	}
	v.Errors = append(v.Errors, "mounts and sockets: no process of the box could be asked")
}

// look reads one process. What cannot be read stands in its errors.
func look(fs procfs.FS, pid int) Process {
	p := Process{PID: pid, Argv: []audit.Text{}, Variables: []audit.Text{}, Files: []File{}, Credentials: map[string]string{}}
	dir := fmt.Sprintf("/proc/%d/", pid)
	p.note(p.stat(fs))
	p.note(p.status(dir + "status"))
	p.note(p.arguments(dir + "cmdline"))
	p.note(p.variables(dir + "environ"))
	for name, to := range map[string]*audit.Text{"exe": &p.Program, "cwd": &p.Dir, "root": &p.Root} {
		target, err := os.Readlink(dir + name)
		p.note(err)
		*to = audit.Text(target)
	}
	p.note(p.files(dir))
	return p
}

func (p *Process) note(err error) {
	if err != nil {
		p.Errors = append(p.Errors, err.Error())
	}
}

func (p *Process) stat(fs procfs.FS) error {
	proc, err := fs.Proc(p.PID)
	if err != nil {
		return err
	}
	s, err := proc.Stat()
	if err != nil {
		return err
	}
	p.Name, p.State, p.Parent, p.Threads = audit.Text(s.Comm), s.State, s.PPID, s.NumThreads
	p.CPU, p.Resident = s.CPUTime(), uint64(s.ResidentMemory())
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return err
	}
	const tick = time.Second / 100 // USER_HZ; see time(7)
	p.Started = time.Now().Add(time.Duration(s.Starttime)*tick - time.Duration(now.Nano())).UTC().Round(tick)
	return nil
}

// credentials are the lines of proc_pid_status(5) that say what a process may do.
var credentials = []string{"Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters"}

func (p *Process) status(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.Join(strings.Fields(value), " ")
		switch {
		case key == "NSpid":
			numbers := strings.Fields(value)
			p.Inside, _ = strconv.Atoi(numbers[max(0, len(numbers)-1)])
		case slices.Contains(credentials, key):
			p.Credentials[key] = value
		}
	}
	return nil
}

func (p *Process) arguments(file string) error {
	data, err := readAtMost(file, maxArgs+1)
	if p.ArgvCut = len(data) > maxArgs; p.ArgvCut {
		data = data[:maxArgs]
	}
	if data = bytes.TrimSuffix(data, []byte{0}); len(data) > 0 {
		for arg := range bytes.SplitSeq(data, []byte{0}) {
			p.Argv = append(p.Argv, audit.Text(arg))
		}
	}
	return err
}

func (p *Process) variables(file string) error {
	data, err := readAtMost(file, maxEnviron)
	for pair := range bytes.SplitSeq(data, []byte{0}) {
		if name, _, ok := bytes.Cut(pair, []byte("=")); ok && len(name) > 0 {
			p.Variables = append(p.Variables, audit.Text(name))
		}
	}
	return err
}

func (p *Process) files(dir string) error {
	list, err := os.ReadDir(dir + "fd")
	if err != nil {
		return err
	}
	for _, d := range list {
		if len(p.Files) == maxFiles {
			p.FilesCut = len(list) - maxFiles
			break
		}
		fd, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		target, err := os.Readlink(filepath.Join(dir, "fd", d.Name()))
		if err != nil {
			continue // it was closed meanwhile
		}
		f := File{FD: fd, Target: audit.Text(target)}
		info, _ := readAtMost(filepath.Join(dir, "fdinfo", d.Name()), 4<<10)
		for line := range bytes.Lines(info) {
			key, value, _ := strings.Cut(string(line), ":")
			switch value = strings.TrimSpace(value); key {
			case "pos":
				f.Position, _ = strconv.ParseInt(value, 10, 64)
			case "flags":
				f.Flags = value
			}
		}
		p.Files = append(p.Files, f)
	}
	slices.SortFunc(p.Files, func(a, b File) int { return a.FD - b.FD })
	return nil
}

// readAtMost reads a file of proc(5), whose length nobody knows before.
func readAtMost(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most))
	if errors.Is(err, unix.ESRCH) {
		err = &os.PathError{Op: "read", Path: name, Err: os.ErrProcessDone}
	}
	return data, err
}
