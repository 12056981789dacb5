// Command bench measures agentbox beside its peers in one interleaved run and prints a table for the README.
//
//	go run ./internal/bench -agentbox ./agentbox [-n 30] [-idle 200] [-files 100000] [-quick] [-network] [-user NAME] [-json]
//
// Start-up is the wall time of a whole `/bin/true` in a box, from fork to wait, of every contestant in turn, in an
// order that rotates, so that a slow moment of the machine meets all of them. The peers get what agentbox has:
// bubblewrap the usual flags, runc and crun a bundle with the same namespaces, mounts, masked paths, capabilities and
// moby's system call list for the native architecture. The rows of the workspace change the same files in a box, whose
// overlay agentbox then shows and applies, and in a twin of the project, which git and rsync look at. The rows of the
// network carry the same bytes to the same server of this host directly, through agentbox, and through other proxies.
// Nothing here is a pass or a failure: it prints figures, and beside them the budgets of the project.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

type options struct {
	agentbox string
	n        int
	idle     int
	files    int
	quick    bool
	user     string
	json     bool
	network  bool
}

// A Report is all that one run measured.
type Report struct {
	Machine  Machine    `json:"machine"`
	Startups []Startup  `json:"startups"`
	Inside   []Inside   `json:"inside"`
	Crowds   []Crowd    `json:"crowds"`
	Recorded []Recorded `json:"recorded"`
	Changes  []Change   `json:"changes"`
	Masked   []Masked   `json:"masked"`
	Ways     []Way      `json:"ways"`
	Readings []Reading  `json:"readings"`
	Budgets  []Budget   `json:"budgets"`
	Skipped  []string   `json:"skipped,omitempty"`
	Hook     float64    `json:"hook_ms,omitempty"`
	RSS      int64      `json:"supervisor_rss_bytes"`
	Binary   int64      `json:"binary_bytes"`
	Options  RunOptions `json:"options"`
}

// RunOptions say how the run was made.
type RunOptions struct {
	Starts int `json:"starts_per_contestant"`
	Rounds int `json:"rounds_inside"`
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == workerWord {
		os.Exit(work(os.Stdin, os.Stdout))
	}
	if len(os.Args) == 3 && os.Args[1] == hookWord {
		n, _ := strconv.Atoi(os.Args[2])
		os.Exit(askHook(n, os.Stdout))
	}
	if len(os.Args) == 4 && os.Args[1] == clientWord {
		os.Exit(travel(os.Args[2], os.Args[3], os.Stdin, os.Stdout))
	}
	if len(os.Args) == 4 && os.Args[1] == requestWord {
		os.Exit(ask(os.Args[2], os.Args[3], os.Stdin, os.Stdout))
	}
	if len(os.Args) == 5 && os.Args[1] == changeWord {
		if err := changeFiles(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.StringVar(&o.agentbox, "agentbox", "./agentbox", "the binary to measure")
	flag.IntVar(&o.n, "n", 30, "starts of each contestant")
	flag.IntVar(&o.idle, "idle", 200, "idle boxes at once; 0 leaves that part out")
	flag.IntVar(&o.files, "files", 100_000, "files of the workspace that diff and apply are measured in; 0 leaves that part out, and the masked files")
	flag.BoolVar(&o.quick, "quick", false, "a try of some seconds: -n 3 -idle 0 -files 2000")
	flag.StringVar(&o.user, "user", "", "as root: the ordinary user for the rootless rows (default: $SUDO_USER, or the first of /etc/subuid)")
	flag.BoolVar(&o.network, "network", false, "the rows of the network alone")
	flag.BoolVar(&o.json, "json", false, "print JSON")
	flag.Parse()
	if o.quick {
		o.n, o.idle, o.files = 3, 0, 2000
	}
	if err := bench(o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(o options, out io.Writer) error {
	// Every user must be able to reach what is measured.
	dir, err := os.MkdirTemp("/var/tmp", "agentbox-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	box := filepath.Join(dir, "agentbox")
	if err := copyProgram(o.agentbox, box); err != nil {
		return err
	}
	callers, skipped, err := findCallers(o.user, dir)
	if err != nil {
		return err
	}
	r := Report{Skipped: skipped, Options: RunOptions{Starts: o.n, Rounds: rounds}}
	if info, err := os.Stat(box); err == nil {
		r.Binary = info.Size()
	}
	if !o.network {
		if err := r.measure(o, callers, box); err != nil {
			return err
		}
	}
	if err := r.network(callers[0], box); err != nil {
		r.Skipped = append(r.Skipped, "network: "+err.Error())
	}
	if err := r.inspection(callers[0], box); err != nil {
		r.Skipped = append(r.Skipped, "inspection: "+err.Error())
	}
	r.Machine = describe(box)
	r.Budgets = budgets(r)
	if o.json {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	return markdown(out, r)
}

func (r *Report) measure(o options, callers []caller, box string) error {
	var list []contestant
	for _, c := range callers {
		for _, enter := range []func(caller, string) (contestant, error){agentbox, online, bwrap, runc, crun} {
			x, err := enter(c, box)
			if err == nil {
				err = x.warmUp()
			}
			if err != nil {
				r.Skipped = append(r.Skipped, fmt.Sprintf("%s as %s: %v", x.tool, c.kind, err))
				continue
			}
			list = append(list, x)
		}
	}
	var err error
	if r.Startups, err = startups(list, o.n); err != nil {
		return err
	}
	if o.idle > 0 {
		var skipped []string
		r.Crowds, skipped = crowds(callers[0], box, o.idle)
		r.Skipped = append(r.Skipped, skipped...)
	}
	r.Inside, r.RSS, err = insideOutside(callers[0], box)
	if err != nil {
		r.Skipped = append(r.Skipped, "inside against outside: "+err.Error())
	}
	for _, c := range callers {
		one, err := recordedStarts(c, box)
		if err != nil {
			r.Skipped = append(r.Skipped, "programs on the record, as "+c.kind+": "+err.Error())
			continue
		}
		r.Recorded = append(r.Recorded, one)
	}
	if r.Hook, err = hookLatency(callers[0], box, o.n); err != nil {
		r.Skipped = append(r.Skipped, "the hook: "+err.Error())
	}
	if o.files > 0 {
		r.measureWorkspace(o, callers[0], box)
	}
	return nil
}

// measureWorkspace leaves out what cannot be measured here, and says so.
func (r *Report) measureWorkspace(o options, c caller, box string) {
	masked, skipped, err := maskedStarts(c, box, o.n, max(10, o.files/10))
	r.Masked, r.Skipped = masked, append(r.Skipped, skipped...)
	if err != nil {
		r.Skipped = append(r.Skipped, "masked files: "+err.Error())
	}
	if err := r.workspaces(c, box, o.files); err != nil {
		r.Skipped = append(r.Skipped, "diff and apply: "+err.Error())
	}
}

func copyProgram(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		return err
	}
	return os.Chmod(to, 0o755) // whatever the umask is
}
