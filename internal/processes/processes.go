// Package processes looks at everything that runs in a pid namespace, from outside and without changing it: the processes
// with what they run, their open files, sockets and mounts.
//
// Everything comes from proc(5). Numbers, ids, states and descriptors are the kernel's word; names, arguments and the paths
// of files are whatever the processes made them. A namespace whose processes run changes while it is looked at: what begins
// meanwhile may be missing, and what ends meanwhile is left out. Of the environment only the names of variables are read.
// What is read is bounded, of one process and of all: they may have been made to be too much.
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
	maxFiles     = 1024     // of one process, and so many variables
	maxWords     = 4096     // arguments of one process
	maxArgs      = 64 << 10 // bytes of the arguments of one process
	maxEnviron   = 1 << 20
	maxName      = 4 << 10 // of a variable
	maxMounts    = 4 << 20

	maxTexts = 200_000 // files, arguments and variables of all processes
	maxBytes = 32 << 20

	// margin is left away where a text is cut: a secret that was cut in two would not be found.
	margin = 4 << 10
)

// A View is what was seen.
type View struct {
	Processes []Process    `json:"processes"` // by number on the host
	Sockets   []Socket     `json:"sockets"`   // of the network namespace, for a person: the box's own
	Mounts    []audit.Text `json:"-"`         // lines of proc_pid_mountinfo(5), as the agent sees them
	Omitted   int          `json:"omitted"`   // processes beyond the bound
	NoSockets int          `json:"sockets_omitted,omitempty"`
	Errors    []string     `json:"errors"` // of what could not be read
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
	Credentials  map[string]string `json:"credentials"`
	Variables    []audit.Text      `json:"variables"`               // names alone
	VariablesCut bool              `json:"variables_cut,omitempty"` // there are more
	Files        []File            `json:"files"`
	FilesCut     int               `json:"files_omitted,omitempty"`
	Errors       []string          `json:"errors,omitempty"`

	switches uint64 // how often its first thread gave a processor away, or lost it
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
	fs, err := procfs.NewFS("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	v := &View{Processes: []Process{}, Sockets: []Socket{}, Errors: []string{}}
	left := &room{texts: maxTexts, bytes: maxBytes}
	for _, d := range list {
		if pid, err := strconv.Atoi(d.Name()); err == nil {
			v.add(fs, pid, space, left)
		}
	}
	if left.none() {
		v.Errors = append(v.Errors, "not all arguments, variables and files: the processes have too many of them")
	}
	v.shared(first)
	if _, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", first)); errors.Is(err, os.ErrNotExist) {
		return nil, os.ErrProcessDone // its memory is gone, and so are all the others
	}
	return v, nil
}

// add looks at a process if it is of the namespace. All is read by a descriptor, which stays that of one process where its
// number goes to another.
func (v *View) add(fs procfs.FS, pid int, space string, left *room) {
	fd, err := unix.Open(fmt.Sprintf("/proc/%d", pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	dir := fmt.Sprintf("/proc/self/fd/%d/", fd)
	if is, err := os.Readlink(dir + "ns/pid"); err != nil || is != space {
		return
	}
	if len(v.Processes) == maxProcesses {
		v.Omitted++
		return
	}
	p := look(fs, fd, pid, left)
	if _, err := os.Readlink(dir + "ns/pid"); err == nil { // it has not ended meanwhile
		v.Processes = append(v.Processes, p)
	}
}

// A room is what may still be kept of texts.
type room struct{ texts, bytes int }

func (r *room) none() bool { return r.texts <= 0 || r.bytes <= 0 }

// take takes the place of one text; false is that there is none.
func (r *room) take(text []byte) bool {
	if r.none() {
		return false
	}
	r.texts, r.bytes = r.texts-1, r.bytes-len(text)
	return true
}

// Ran are the processes, by number, that have run since they were seen; the first of the namespace is left out. Of a box that
// is frozen there are none, unless it does not stay so.
func (v *View) Ran() (list []int) {
	for _, p := range v.Processes {
		now := Process{Credentials: map[string]string{}}
		if p.Inside == 1 || now.status(fmt.Sprintf("/proc/%d/status", p.PID)) != nil {
			continue
		}
		if now.Inside == p.Inside && now.switches != p.switches {
			list = append(list, p.PID)
		}
	}
	return list
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
		v.Mounts = nil
		for line := range strings.Lines(string(mounts)) {
			if line, whole := strings.CutSuffix(line, "\n"); whole {
				v.Mounts = append(v.Mounts, audit.Text(line))
			}
		}
		v.Sockets, v.NoSockets, err = sockets(p.PID)
		if err == nil {
			return
		}
		if _, gone := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", p.PID)); gone == nil {
			v.Errors = append(v.Errors, "sockets: "+err.Error())
			return
		}
	}
	v.Errors = append(v.Errors, "mounts and sockets: no process of the box could be asked")
}

// look reads one process, whose directory is fd. What cannot be read stands in its errors.
func look(fs procfs.FS, fd, pid int, left *room) Process {
	p := Process{PID: pid, Argv: []audit.Text{}, Variables: []audit.Text{}, Files: []File{}, Credentials: map[string]string{}}
	dir := fmt.Sprintf("/proc/self/fd/%d/", fd)
	p.note(p.stat(fs, fd))
	p.note(p.status(dir + "status"))
	p.note(p.arguments(dir+"cmdline", left))
	p.note(p.variables(dir+"environ", left))
	for name, to := range map[string]*audit.Text{"exe": &p.Program, "cwd": &p.Dir, "root": &p.Root} {
		target, err := os.Readlink(dir + name)
		p.note(err)
		*to = audit.Text(target)
	}
	p.note(p.files(dir, left))
	return p
}

// note keeps an error, with the name that the file has for everybody.
func (p *Process) note(err error) {
	if err == nil {
		return
	}
	if path := new(os.PathError); errors.As(err, &path) {
		err = &os.PathError{Op: path.Op, Path: fmt.Sprintf("/proc/%d/%s", p.PID, filepath.Base(path.Path)), Err: path.Err}
	}
	p.Errors = append(p.Errors, err.Error())
}

func (p *Process) stat(fs procfs.FS, fd int) error {
	proc, err := fs.Proc(fd)
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
		case key == "voluntary_ctxt_switches" || key == "nonvoluntary_ctxt_switches":
			n, _ := strconv.ParseUint(value, 10, 64)
			p.switches += n
		case slices.Contains(credentials, key):
			p.Credentials[key] = value
		}
	}
	return nil
}

func (p *Process) arguments(file string, left *room) error {
	data, err := readAtMost(file, maxArgs+1)
	if p.ArgvCut = len(data) > maxArgs; p.ArgvCut {
		data = data[:maxArgs-margin]
	}
	if data = bytes.TrimSuffix(data, []byte{0}); len(data) == 0 {
		return err
	}
	for arg := range bytes.SplitSeq(data, []byte{0}) {
		if len(p.Argv) == maxWords || !left.take(arg) {
			p.ArgvCut = true
			break
		}
		p.Argv = append(p.Argv, audit.Text(arg))
	}
	return err
}

func (p *Process) variables(file string, left *room) error {
	if left.none() {
		p.VariablesCut = true
		return nil
	}
	data, err := readAtMost(file, maxEnviron)
	for pair := range bytes.SplitSeq(data, []byte{0}) {
		name, _, ok := bytes.Cut(pair, []byte("="))
		if !ok || len(name) == 0 {
			continue
		}
		if len(name) > maxName || len(p.Variables) == maxFiles || !left.take(name) {
			p.VariablesCut = true
			continue
		}
		p.Variables = append(p.Variables, audit.Text(name))
	}
	p.VariablesCut = p.VariablesCut || len(data) == maxEnviron
	return err
}

func (p *Process) files(dir string, left *room) error {
	list, err := os.ReadDir(dir + "fd")
	if err != nil {
		return err
	}
	for i, d := range list {
		if len(p.Files) == maxFiles || left.none() {
			p.FilesCut = len(list) - i
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
		left.take([]byte(target))
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
