package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// idleCommand says that it runs and waits for the end of its input.
var idleCommand = []string{"/bin/sh", "-c", "echo ready; exec cat"}

// A Crowd is many idle boxes at once.
type Crowd struct {
	Tool      string  `json:"tool"`
	Boxes     int     `json:"boxes"`
	PerSecond float64 `json:"starts_per_second"`
	BoxMiB    float64 `json:"memory_per_box_mib"` // of the whole machine's, supervisor and all
	SuperMiB  float64 `json:"supervisor_rss_mib"` // median resident memory of the process that was started
	SuperPSS  float64 `json:"supervisor_pss_mib"` // the same, with shared pages divided among those who share them
	EndMillis float64 `json:"end_all_ms"`         // from the end of every input to the end of the last box
}

// crowds starts n boxes of each tool that stay, as many at a time as there are processors, and looks at the machine.
func crowds(c caller, box string, n int) (list []Crowd, skipped []string) {
	for _, x := range idlers(c, box) {
		one, err := x.crowd(n)
		if err != nil {
			skipped = append(skipped, fmt.Sprintf("%d idle boxes of %s: %v", n, x.tool, err))
			continue
		}
		list = append(list, one)
	}
	return list, skipped
}

func idlers(c caller, box string) []contestant {
	list := []contestant{{tool: "agentbox", caller: c, start: func(int) *exec.Cmd {
		return c.command(box, append([]string{"run", "--"}, idleCommand...)...)
	}}}
	if path, err := exec.LookPath("bwrap"); err == nil {
		list = append(list, contestant{tool: "bwrap", caller: c, start: func(int) *exec.Cmd {
			return c.command(path, append([]string{"--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-all", "--die-with-parent"}, idleCommand...)...)
		}})
	}
	if path, err := exec.LookPath("runc"); err == nil {
		base := filepath.Join(filepath.Dir(c.project), "runc-idle")
		if writeBundle(base, c, idleCommand) == nil {
			list = append(list, contestant{tool: "runc", caller: c, start: func(serial int) *exec.Cmd {
				return c.command(path, "--root", filepath.Join(c.run, "runc"), "run", "--bundle", base, fmt.Sprintf("bench-idle-%d", serial))
			}})
		}
	}
	return list
}

// An idler is a box that runs.
type idler struct {
	cmd *exec.Cmd
	in  io.Closer
}

func (x contestant) crowd(n int) (out Crowd, err error) {
	before := available()
	boxes := make([]idler, n)
	defer func() {
		began := time.Now()
		for _, b := range boxes {
			if b.in != nil {
				b.in.Close()
			}
		}
		for _, b := range boxes {
			if b.cmd != nil {
				_ = b.cmd.Wait() // how it ends is not what is measured
			}
		}
		out.EndMillis = float64(time.Since(began).Milliseconds())
	}()
	began := time.Now()
	errs := make([]error, n)
	var all sync.WaitGroup
	turns := make(chan struct{}, runtime.NumCPU())
	for i := range n {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			boxes[i], errs[i] = x.idle(i)
		})
	}
	all.Wait()
	took := time.Since(began)
	if err := errors.Join(errs...); err != nil {
		return Crowd{}, err
	}
	var rss, pss []float64
	for _, b := range boxes {
		rss = append(rss, float64(residentBytes(b.cmd.Process.Pid))/(1<<20))
		pss = append(pss, proportional(b.cmd.Process.Pid))
	}
	return Crowd{Tool: x.tool, Boxes: n, PerSecond: float64(n) / took.Seconds(), BoxMiB: (before - available()) / float64(n),
		SuperMiB: quantile(rss, 0.5), SuperPSS: quantile(pss, 0.5)}, nil
}

func (x contestant) idle(serial int) (idler, error) {
	cmd := x.start(serial)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		return idler{}, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil && line != "ready\n" {
		err = fmt.Errorf("it said %q", line)
	}
	return idler{cmd, in}, err
}

// available is the machine's memory that a new program could have, in MiB; see proc_meminfo(5).
func available() float64 { return kibIn("/proc/meminfo", "MemAvailable:") / 1024 }

func proportional(pid int) float64 {
	return kibIn(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:") / 1024
}

func kibIn(path, name string) float64 {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data))
	i := slices.Index(fields, name)
	if i < 0 || i+1 >= len(fields) {
		return 0
	}
	kib, err := strconv.ParseFloat(fields[i+1], 64)
	if err != nil {
		return 0
	}
	return kib
}
