// Package profile reads a security profile and says everything that is wrong
// with it.
//
// It is pure: bytes in, values out. [Parse] reads one file, [Merge] lays files
// over one another and remembers where each value came from, and [Check] looks
// at the meaning of the whole. Each of them returns all findings, not the first;
// a profile with a fatal finding must not be run.
//
// What it promises: a key that is unknown, misspelt, written in another case,
// of the wrong type or not available in this version is a finding, never
// ignored; a layer that is not trusted can only tighten what the layers below
// it say; no message repeats a line of a file that could not be read, because
// that line may hold a secret.
//
// What it does not: it never looks at the host. Whether a path exists, what "~"
// stands for and whether the kernel has a feature is for the caller to find out.
//
// To add a key: 1. add the field to the struct here; 2. add its [Key] to the
// table in schema_table.go, with the direction in which an untrusted file may
// move it; 3. add its check; 4. add a tightening and a widening to
// tighten_test.go; 5. run the tests with -update and read the diff.
package profile

import (
	"strconv"
	"strings"
)

// Profile is what the person asked for: every section of the file, merged.
type Profile struct {
	Schema      int          `toml:"schema" json:"schema"`
	Extends     []string     `toml:"extends" json:"extends"`
	Runtime     string       `toml:"runtime" json:"runtime"`
	Agent       Agent        `toml:"agent" json:"agent"`
	Rootfs      Rootfs       `toml:"rootfs" json:"rootfs"`
	Workspace   Workspace    `toml:"workspace" json:"workspace"`
	Mounts      []Mount      `toml:"mount" json:"mount"`
	Limits      Limits       `toml:"limits" json:"limits"`
	Network     Network      `toml:"network" json:"network"`
	Credentials []Credential `toml:"credential" json:"credential"`
	Permissions Permissions  `toml:"permissions" json:"permissions"`
	Hooks       []Hook       `toml:"hook" json:"hook"`
	Audit       Audit        `toml:"audit" json:"audit"`
	Alerts      []Alert      `toml:"alert" json:"alert"`
	Budget      Budget       `toml:"budget" json:"budget"`
	Prices      []Price      `toml:"price" json:"price"`
	MCP         []MCP        `toml:"mcp" json:"mcp"`
}

// Agent says which program runs in the box, as whom, and with which environment.
type Agent struct {
	Kind     string            `toml:"kind" json:"kind"`
	Command  []string          `toml:"command" json:"command"`
	User     string            `toml:"user" json:"user"`
	EnvPass  []string          `toml:"env_pass" json:"env_pass"`
	Env      map[string]string `toml:"env" json:"env"`
	Degrade  []string          `toml:"degrade" json:"degrade"`
	Terminal []string          `toml:"terminal_allow" json:"terminal_allow"`
}

// Rootfs says what the box's read-only root is made of.
type Rootfs struct {
	Source string   `toml:"source" json:"source"`
	Expose []string `toml:"expose" json:"expose"`
	Mask   []string `toml:"mask" json:"mask"`
}

// Workspace is the project directory and what the agent may do in it.
type Workspace struct {
	Path    string   `toml:"path" json:"path"`
	Mode    string   `toml:"mode" json:"mode"`
	Upper   string   `toml:"upper" json:"upper"`
	Apply   string   `toml:"apply" json:"apply"`
	Mask    []string `toml:"mask" json:"mask"`
	Protect []string `toml:"protect" json:"protect"`
}

// Mount is one more directory or tmpfs inside the box.
type Mount struct {
	Type    string   `toml:"type" json:"type"`
	Source  string   `toml:"source" json:"source"`
	Target  string   `toml:"target" json:"target"`
	Size    Size     `toml:"size" json:"size"`
	Options []string `toml:"options" json:"options"`
}

// Limits is how much the agent may use; zero means no limit.
type Limits struct {
	Memory    Size     `toml:"memory" json:"memory"`
	CPUs      float64  `toml:"cpus" json:"cpus"`
	Pids      int64    `toml:"pids" json:"pids"`
	Disk      Size     `toml:"disk" json:"disk"`
	OpenFiles int64    `toml:"open_files" json:"open_files"`
	Timeout   Duration `toml:"timeout" json:"timeout"`
	Grace     Duration `toml:"grace" json:"grace"`

	Enforcement string `toml:"enforcement" json:"enforcement"`

	Execs int64 `toml:"execs" json:"execs"`
}

// Network says what may leave the box.
type Network struct {
	Mode          string        `toml:"mode" json:"mode"`
	Allow         []string      `toml:"allow" json:"allow"`
	Deny          []string      `toml:"deny" json:"deny"`
	Private       []string      `toml:"private" json:"private"`
	Publish       []string      `toml:"publish" json:"publish"`
	Forward       []string      `toml:"forward" json:"forward"`
	UpstreamProxy string        `toml:"upstream_proxy" json:"upstream_proxy"`
	UpstreamAuth  string        `toml:"upstream_proxy_auth" json:"upstream_proxy_auth"`
	ExtraCA       []string      `toml:"extra_ca" json:"extra_ca"`
	Rules         []NetworkRule `toml:"rule" json:"rule"`
}

// NetworkRule narrows an allowed host.
type NetworkRule struct {
	Host        string   `toml:"host" json:"host"`
	Methods     []string `toml:"methods" json:"methods"`
	Paths       []string `toml:"paths" json:"paths"`
	Connections int64    `toml:"connections" json:"connections"`
	Rate        string   `toml:"rate" json:"rate"`
	BytesOut    Size     `toml:"bytes_out" json:"bytes_out"`
}

// Credential names a secret that is added outside the box; it never holds the
// secret itself.
type Credential struct {
	Name        string   `toml:"name" json:"name"`
	Source      string   `toml:"source" json:"source"`
	Missing     string   `toml:"missing" json:"missing"`
	Unless      string   `toml:"unless" json:"unless"`
	Hosts       []string `toml:"hosts" json:"hosts"`
	Methods     []string `toml:"methods" json:"methods"`
	Paths       []string `toml:"paths" json:"paths"`
	As          string   `toml:"as" json:"as"`
	Header      string   `toml:"header" json:"header"`
	Format      string   `toml:"format" json:"format"`
	User        string   `toml:"user" json:"user"`
	Query       string   `toml:"query" json:"query"`
	Env         string   `toml:"env" json:"env"`
	Placeholder string   `toml:"placeholder" json:"placeholder"`
	BaseURLEnv  string   `toml:"base_url_env" json:"base_url_env"`
	BaseURLPath string   `toml:"base_url_path" json:"base_url_path"`
	SocketEnv   string   `toml:"socket_env" json:"socket_env"`
}

// Permissions are tool rules in Claude Code's syntax.
type Permissions struct {
	Allow []string `toml:"allow" json:"allow"`
	Ask   []string `toml:"ask" json:"ask"`
	Deny  []string `toml:"deny" json:"deny"`

	Dangerous    string `toml:"dangerous" json:"dangerous"`
	Bypass       string `toml:"bypass" json:"bypass"`
	OnBrokenHook string `toml:"on_broken_hook" json:"on_broken_hook"`
}

// A Hook is a program of the host that is asked about tool calls.
type Hook struct {
	Name    string   `toml:"name" json:"name"`
	Command []string `toml:"command" json:"command"`
	Tools   []string `toml:"tools" json:"tools"`
	Timeout Duration `toml:"timeout" json:"timeout"`
}

// Audit says where the record of a session goes.
type Audit struct {
	Dir       string   `toml:"dir" json:"dir"`
	OnFailure string   `toml:"on_failure" json:"on_failure"`
	Exec      bool     `toml:"exec" json:"exec"`
	Key       string   `toml:"key" json:"key"`
	Rotate    Size     `toml:"rotate" json:"rotate"`
	Retain    Duration `toml:"retain" json:"retain"`
	MaxSize   Size     `toml:"max_size" json:"max_size"`
	Archive   string   `toml:"archive" json:"archive"`

	ArchiveToken string `toml:"archive_token" json:"archive_token"`
}

// Alert is one odd thing to watch for, and what to do when it happens.
type Alert struct {
	Name   string   `toml:"name" json:"name"`
	Event  string   `toml:"event" json:"event"`
	Rate   string   `toml:"rate" json:"rate"`
	Action []string `toml:"action" json:"action"`
}

// Budget is what the agent may spend on a model; zero means no limit.
type Budget struct {
	USD     float64  `toml:"usd" json:"usd"`
	Tokens  int64    `toml:"tokens" json:"tokens"`
	WarnAt  float64  `toml:"warn_at" json:"warn_at"`
	OnLimit string   `toml:"on_limit" json:"on_limit"`
	Hosts   []string `toml:"hosts" json:"hosts"`
}

// Limited reports whether there is an end to what may be spent.
func (b Budget) Limited() bool { return b.USD > 0 || b.Tokens > 0 }

// Price is what a model costs, in US dollars per million tokens.
type Price struct {
	Model      string  `toml:"model" json:"model"`
	Input      float64 `toml:"input" json:"input"`
	Output     float64 `toml:"output" json:"output"`
	CacheRead  float64 `toml:"cache_read" json:"cache_read"`
	CacheWrite float64 `toml:"cache_write" json:"cache_write"`
}

// MCP is one MCP server that runs outside the box.
type MCP struct {
	Name    string            `toml:"name" json:"name"`
	Command []string          `toml:"command" json:"command"`
	Env     map[string]string `toml:"env" json:"env"`
	Tools   []string          `toml:"tools" json:"tools"`
}

// IDs returns the numbers of [Agent.User]. Of a profile that [Check] refuses it
// returns -1, -1, which no kernel accepts as an identity to run with.
func (a Agent) IDs() (uid, gid int) {
	uid, gid, ok := parseUser(a.User)
	if !ok {
		return -1, -1
	}
	return uid, gid
}

func parseUser(s string) (uid, gid int, ok bool) {
	u, g, found := strings.Cut(s, ":")
	if !found {
		return 0, 0, false
	}
	uid, ok = parseID(u)
	if !ok {
		return 0, 0, false
	}
	gid, ok = parseID(g)
	return uid, gid, ok
}

// parseID takes plain decimal digits only: Atoi would also take "+1000".
func parseID(s string) (int, bool) {
	for _, r := range s {
		if r < '0' || r > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65535 {
		return 0, false
	}
	return n, true
}

// The layers that [Agent.Degrade] may name.
const (
	DegradeLandlock        = "landlock"         // the second file-system gate
	DegradeSeccomp         = "seccomp"          // the system call filter
	DegradeIdmap           = "idmap"            // ownership mapping of the workspace
	DegradeCgroupNamespace = "cgroup-namespace" // the private view of control groups
	DegradeKeyring         = "keyring"          // the new session keyring
	DegradeLateMasks       = "late-masks"       // masks for what appears after the start, in a rw workspace
	DegradePrograms        = "programs"         // the record of every program that the agent starts
	DegradeCapture         = "capture"          // the capture of connections by clients that know of no proxy
)

// DegradeNames lists the layers that agent.degrade may name.
func DegradeNames() []string {
	return []string{
		DegradeLandlock, DegradeSeccomp, DegradeIdmap,
		DegradeCgroupNamespace, DegradeKeyring, DegradeLateMasks, DegradePrograms, DegradeCapture,
	}
}

// The classes of control sequences that [Agent.Terminal] may let through.
const (
	TerminalClipboard = "clipboard" // reading and writing the host's clipboard
	TerminalTitle     = "title"     // reporting the window's title back
	TerminalFiles     = "files"     // file transfer to and from the terminal
)

// TerminalNames lists the classes that agent.terminal_allow may name.
func TerminalNames() []string {
	return []string{TerminalClipboard, TerminalTitle, TerminalFiles}
}
