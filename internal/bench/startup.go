package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A contestant is one way to run /bin/true in a box.
type contestant struct {
	tool   string
	caller caller
	start  func(serial int) *exec.Cmd
	run    func(*exec.Cmd) error
}

// A Startup is what one contestant needed.
type Startup struct {
	Caller string  `json:"caller"`
	Tool   string  `json:"tool"`
	Median float64 `json:"median_ms"`
	Min    float64 `json:"min_ms"`
	P90    float64 `json:"p90_ms"`
	Bwrap  float64 `json:"ratio_to_bwrap,omitempty"`
	Runc   float64 `json:"ratio_to_runc,omitempty"`
}

func agentbox(c caller, box string) (contestant, error) {
	return contestant{"agentbox", c, func(int) *exec.Cmd { return c.command(box, "run", "--", "/bin/true") }, (*exec.Cmd).Run}, nil
}

// online is a box with an allowlist.
func online(c caller, box string) (contestant, error) {
	return contestant{"agentbox, allowlist", c, func(int) *exec.Cmd {
		return c.command(box, "run", "--allow-host", "example.com", "--", "/bin/true")
	}, (*exec.Cmd).Run}, nil
}

func bwrap(c caller, _ string) (contestant, error) {
	path, err := exec.LookPath("bwrap")
	return contestant{"bwrap", c, func(int) *exec.Cmd {
		return c.command(path, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-all", "--die-with-parent", "/bin/true")
	}, (*exec.Cmd).Run}, err
}

func runc(c caller, box string) (contestant, error) { return bundled("runc", c, box) }

func crun(c caller, box string) (contestant, error) { return bundled("crun", c, box) }

// bundled is a runtime of the OCI specification.
func bundled(tool string, c caller, _ string) (contestant, error) {
	x := contestant{tool: tool, caller: c, run: (*exec.Cmd).Run}
	path, err := exec.LookPath(tool)
	if err != nil {
		return x, err
	}
	base := filepath.Join(filepath.Dir(c.project), tool)
	if err := writeBundle(base, c, []string{"/bin/true"}); err != nil {
		return x, err
	}
	args := []string{"--root", filepath.Join(c.run, tool)}
	if tool == "crun" {
		if hybridCgroups() {
			l, err := withoutCgroups()
			if err != nil {
				return x, err
			}
			x.run = l.run
		}
		args = append(args, "--cgroup-manager=disabled") // agentbox makes no cgroup either; runc cannot be told so
	}
	x.start = func(serial int) *exec.Cmd {
		return c.command(path, append(slices.Clone(args), "run", "--bundle", base, fmt.Sprintf("bench-%s-%d", c.kind, serial))...)
	}
	return x, nil
}

// warmUp runs a contestant three times; one that fails takes no part.
func (x contestant) warmUp() error {
	for i := range 3 {
		var out bytes.Buffer
		cmd := x.start(-1 - i)
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := x.run(cmd); err != nil {
			text := strings.TrimSuffix(strings.TrimSpace(out.String()), "\nagentbox: nothing was started") // the reason is above
			if i := strings.LastIndexByte(text, '\n'); i >= 0 {
				text = text[i+1:]
			}
			return fmt.Errorf("%w: %s", err, text)
		}
	}
	return nil
}

// startups times n runs of each contestant, one of each in turn, every time beginning with the next one.
func startups(list []contestant, n int) ([]Startup, error) {
	times := make([][]float64, len(list))
	for i := range n {
		for k := range list {
			at := (i + k) % len(list)
			cmd := list[at].start(i)
			begin := time.Now()
			err := list[at].run(cmd)
			took := time.Since(begin)
			if err != nil {
				return nil, fmt.Errorf("%s as %s, run %d: %w", list[at].tool, list[at].caller.kind, i, err)
			}
			times[at] = append(times[at], float64(took.Microseconds())/1000)
		}
	}
	out := make([]Startup, len(list))
	for i, x := range list {
		out[i] = Startup{Caller: x.caller.kind, Tool: x.tool, Median: quantile(times[i], 0.5), Min: quantile(times[i], 0), P90: quantile(times[i], 0.9)}
	}
	for i := range out {
		out[i].Bwrap = ratio(out[i].Median, median(out, out[i].Caller, "bwrap"))
		out[i].Runc = ratio(out[i].Median, median(out, out[i].Caller, "runc"))
	}
	return out, nil
}

func median(list []Startup, caller, tool string) float64 {
	for _, s := range list {
		if s.Caller == caller && s.Tool == tool {
			return s.Median
		}
	}
	return 0
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// quantile gives the value below which a share q of the list lies, by the nearest rank.
func quantile(list []float64, q float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}
