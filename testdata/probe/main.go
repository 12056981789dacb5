// Command probe prints, as JSON that is the same from run to run, what the kernel
// grants the process that it is: IDs, capabilities, filters, namespaces, mounts,
// descriptors, limits, signals, and what it sees of others. It changes nothing.
//
// What the Go runtime changes before main (signal handlers, the soft limit of
// open files, descriptors) is recorded in C before the runtime starts; see
// start.c. With -ids the namespaces are also printed by number, which differs
// from run to run.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
)

type posture struct {
	IDs           ids               `json:"ids"`
	Capabilities  map[string]string `json:"capabilities"`
	NoNewPrivs    string            `json:"no_new_privs"`
	Seccomp       string            `json:"seccomp"`
	Filters       string            `json:"seccomp_filters"`
	Securebits    string            `json:"securebits"`
	Dumpable      string            `json:"dumpable"`
	PID1Memory    string            `json:"pid1_memory"`
	Keyring       string            `json:"session_keyring"`
	OOMScoreAdj   string            `json:"oom_score_adj"`
	Umask         string            `json:"umask"`
	Cwd           string            `json:"cwd"`
	Hostname      string            `json:"hostname"`
	Terminal      string            `json:"controlling_terminal"`
	SessionLeader bool              `json:"session_leader"`
	Signals       signals           `json:"signals"`
	Namespaces    map[string]string `json:"namespaces"`
	UIDMap        []string          `json:"uid_map"`
	GIDMap        []string          `json:"gid_map"`
	Setgroups     string            `json:"setgroups"`
	Cgroups       []string          `json:"cgroups"`
	Rlimits       map[string]limit  `json:"rlimits"`
	Environment   []string          `json:"environment_names"`
	Interfaces    []string          `json:"interfaces"`
	Descriptors   []descriptor      `json:"descriptors"`
	Processes     []process         `json:"processes"`
	Mounts        []mount           `json:"mounts"`
	NamespaceIDs  map[string]string `json:"namespace_ids,omitempty"`
}

func main() {
	withIDs := flag.Bool("ids", false, "print the namespaces' numbers too")
	flag.Parse()
	status := readStatus()
	p := posture{
		IDs:           readIDs(status),
		Capabilities:  readCapabilities(status),
		NoNewPrivs:    status["NoNewPrivs"],
		Seccomp:       status["Seccomp"],
		Filters:       status["Seccomp_filters"],
		Securebits:    securebits(),
		Dumpable:      dumpable(),
		PID1Memory:    pid1Memory(),
		Keyring:       sessionKeyring(),
		OOMScoreAdj:   readLine("/proc/self/oom_score_adj"),
		Umask:         status["Umask"],
		Cwd:           cwd(),
		Hostname:      hostname(),
		Terminal:      controllingTerminal(),
		SessionLeader: sessionLeader(),
		Signals:       startSignals(),
		UIDMap:        readLines("/proc/self/uid_map"),
		GIDMap:        readLines("/proc/self/gid_map"),
		Setgroups:     readLine("/proc/self/setgroups"),
		Cgroups:       readCgroups(),
		Rlimits:       startRlimits(),
		Environment:   environmentNames(),
		Interfaces:    interfaces(),
		Descriptors:   startDescriptors(),
		Processes:     processes(),
		Mounts:        mounts(),
	}
	var numbers map[string]string
	p.Namespaces, numbers = namespaces()
	if *withIDs {
		p.NamespaceIDs = numbers
	}
	out, err := json.MarshalIndent(p, "", "  ")
	if err == nil {
		_, err = fmt.Printf("%s\n", out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}
