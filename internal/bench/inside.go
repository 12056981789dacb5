package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// workerWord makes this program a worker, which runs outside and inside a box alike.
const workerWord = "worker"

// probeFile is what the workers look at, below the project.
const probeFile = "a/b/file"

// walkName names the operation that reads the directories of walkRoot, which has walkFiles files.
const (
	walkName  = "walk of 10,000 files"
	walkRoot  = "walked"
	walkFiles = 10_000
)

// rounds is how often each operation is measured on each side.
const rounds = 15

// An Inside is the cost of one operation in a box and outside of it.
type Inside struct {
	Operation string  `json:"operation"`
	OutsideNS float64 `json:"outside_ns"`
	InsideNS  float64 `json:"inside_ns"`
	Ratio     float64 `json:"ratio"`
}

type operation struct {
	name  string
	count int
	once  func() error
}

func operations(file *os.File) []operation {
	small := make([]byte, 128)
	return []operation{
		{"fork+exec of /bin/true", 100, forkExec},
		{"stat", 20000, func() error {
			var st syscall.Stat_t
			return syscall.Stat(probeFile, &st)
		}},
		{"open, read 4 KiB, close", 20000, openRead},
		{"write of 128 bytes", 20000, func() error {
			_, err := file.WriteAt(small, 0)
			return err
		}},
		{walkName, 2, walk},
	}
}

// walk reads every directory below walkRoot, and asks for nothing but names and types.
func walk() error {
	found := 0
	err := filepath.WalkDir(walkRoot, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found++
		}
		return err
	})
	if err == nil && found != walkFiles {
		err = fmt.Errorf("%d files were found", found)
	}
	return err
}

func forkExec() error {
	pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{})
	if err != nil {
		return err
	}
	var status syscall.WaitStatus
	_, err = syscall.Wait4(pid, &status, 0, nil)
	return err
}

func openRead() error {
	fd, err := syscall.Open(probeFile, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var buf [4096]byte
	_, err = syscall.Read(fd, buf[:])
	return errors.Join(err, syscall.Close(fd))
}

// work answers each line, the number of an operation, with its nanoseconds.
func work(in io.Reader, out io.Writer) int {
	file, err := os.CreateTemp(".", "written-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.Remove(file.Name())
	list := operations(file)
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		i, err := strconv.Atoi(lines.Text())
		if err != nil || i < 0 || i >= len(list) {
			return 1
		}
		begin := time.Now()
		for range list[i].count {
			if err := list[i].once(); err != nil {
				fmt.Fprintln(os.Stderr, list[i].name, err)
				return 1
			}
		}
		fmt.Fprintln(out, float64(time.Since(begin).Nanoseconds())/float64(list[i].count))
	}
	return 0
}

// A worker is one that runs.
type worker struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startWorker(cmd *exec.Cmd) (*worker, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	return &worker{cmd, in, bufio.NewScanner(out)}, cmd.Start()
}

func (w *worker) measure(operation int) (float64, error) {
	if _, err := fmt.Fprintln(w.in, operation); err != nil {
		return 0, err
	}
	if !w.out.Scan() {
		return 0, errors.New("the worker ended")
	}
	return strconv.ParseFloat(w.out.Text(), 64)
}

func (w *worker) stop() error {
	w.in.Close()
	return w.cmd.Wait()
}

// insideOutside alternates between a worker in a box and one outside, operation by operation. What the record of programs
// adds to one of them has a row of its own.
func insideOutside(c caller, box string) (list []Inside, rss int64, err error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, 0, err
	}
	program := filepath.Join(c.project, "worker")
	if err := copyProgram(exe, program); err != nil {
		return nil, 0, err
	}
	walked := filepath.Join(c.project, walkRoot)
	defer os.RemoveAll(walked)
	if err := errors.Join(growTree(walked, walkFiles), c.own(walked)); err != nil {
		return nil, 0, err
	}
	outside, err := startWorker(c.command(program, workerWord))
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, outside.stop()) }()
	profile, err := recordProfile(c, false)
	if err != nil {
		return nil, 0, err
	}
	defer os.Remove(profile)
	inside, err := startWorker(c.command(box, "run", "-p", profile, "--", "./worker", workerWord))
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, inside.stop()) }()
	for i, op := range operations(nil) {
		out, in, err := alternate(outside, inside, i)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", op.name, err)
		}
		list = append(list, Inside{op.name, out, in, ratio(in, out)})
	}
	return list, residentBytes(inside.cmd.Process.Pid), nil
}

func alternate(outside, inside *worker, operation int) (out, in float64, err error) {
	var a, b []float64
	for i := range rounds + 1 {
		pair, lists := []*worker{outside, inside}, []*[]float64{&a, &b}
		for k := range pair {
			at := (i + k) % 2
			ns, err := pair[at].measure(operation)
			if err != nil {
				return 0, 0, err
			}
			if i > 0 { // the first round warms up
				*lists[at] = append(*lists[at], ns)
			}
		}
	}
	return quantile(a, 0.5), quantile(b, 0.5), nil
}

// residentBytes is the memory of the supervisor, which waits.
func residentBytes(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), "\nVmRSS:")
	line, _, _ := strings.Cut(rest, "\n")
	kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(line), "kB")), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}
