package profile

import (
	"strings"
	"testing"
)

// below is what an untrusted file finds: every key has a value that can be
// tightened and widened.
const below = `
schema = 1
extends = ["strict"]
runtime = "libcontainer"
[agent]
kind = "claude"
command = ["claude"]
user = "1000:1000"
env_pass = ["GO_*"]
env = { CI = "1" }
degrade = ["landlock", "late-masks"]
terminal_allow = ["title", "files"]
[rootfs]
source = "host"
expose = ["~/.nvm"]
mask = ["~/.ssh"]
[workspace]
path = "."
mode = "overlay"
upper = "disk"
apply = "handoff-free"
mask = [".env*"]
protect = [".git/hooks"]
[[mount]]
type = "bind"
source = "/opt/x"
target = "/x"
size = "2MiB"
options = ["rw", "exec"]
[[mount]]
type = "bind"
source = "/opt/z"
target = "/z"
[limits]
memory = "2GiB"
cpus = 2
pids = 100
disk = "10GiB"
open_files = 100
timeout = "1h"
execs = 100
[network]
mode = "allowlist"
allow = ["*.example.com", "@npm"]
deny = ["bad.example.com"]
publish = ["3000", "4000"]
forward = ["127.0.0.1:5432", "127.0.0.1:6379"]
private = ["10.0.0.0/8"]
upstream_proxy = "http://proxy:3128"
upstream_proxy_auth = "env:PROXY"
extra_ca = ["/a.pem", "/b.pem"]
[[network.rule]]
host = "api.example.com"
methods = ["GET"]
paths = ["/a"]
connections = 2
rate = "5/s"
bytes_out = "1MiB"
[[credential]]
name = "c"
source = "env:C"
missing = "fail"
unless = "b"
hosts = ["a.example.com", "b.example.com"]
methods = ["GET", "PUT"]
paths = ["/a", "/b"]
as = "header"
header = "x-api-key"
format = "{}"
user = "u"
query = "q"
env = "C"
placeholder = "c-{}"
base_url_env = "C_URL"
base_url_path = "/v1"
socket_env = "C_SOCKET"
[permissions]
allow = ["Read", "Write"]
ask = ["Bash"]
deny = ["WebFetch"]
dangerous = "ask"
bypass = "disable"
on_broken_hook = "freeze"
[[hook]]
name = "h"
command = ["/h"]
tools = ["Bash"]
timeout = "2s"
[audit]
key = "/key"
dir = "/log"
on_failure = "continue"
exec = false
retain = "90d"
rotate = "1MiB"
max_size = "1GiB"
archive = "https://logs.example.com/"
archive_token = "env:ARCHIVE"
[[alert]]
name = "a"
event = "exec"
rate = "60/min"
action = ["log"]
[budget]
usd = 10
tokens = 1000
warn_at = 0.5
on_limit = "freeze"
hosts = ["a.example.com"]
[[price]]
model = "m"
input = 1
output = 2
cache_read = 3
cache_write = 4
[[mcp]]
name = "m"
command = ["server"]
env = { A = "env:A" }
tools = ["read", "write"]
`

// moves has, for every key, a file that tightens it (or, where the key may not
// move, says it again) and one that widens it. The two differ in one value.
var moves = map[string]struct{ tight, wide string }{
	"schema":               {`schema = 1`, `schema = 2`},
	"extends":              {`extends = ["strict"]`, `extends = ["default"]`},
	"runtime":              {`runtime = "libcontainer"`, `runtime = "runc"`},
	"agent.kind":           {`agent.kind = "claude"`, `agent.kind = "codex"`},
	"agent.command":        {`agent.command = ["claude"]`, `agent.command = ["claude", "--yolo"]`},
	"agent.user":           {`agent.user = "1000:1000"`, `agent.user = "1001:1000"`},
	"agent.env_pass":       {`agent.env_pass = ["GO_X"]`, `agent.env_pass = ["G*"]`},
	"agent.env":            {`agent.env = { CI = "1" }`, `agent.env = { CI = "2" }`},
	"agent.degrade":        {`agent.degrade = []`, `agent.degrade = ["seccomp"]`},
	"agent.terminal_allow": {`agent.terminal_allow = ["title"]`, `agent.terminal_allow = ["clipboard"]`},
	"rootfs.source":        {`rootfs.source = "host"`, `rootfs.source = "/opt/root"`},
	"rootfs.expose":        {`rootfs.expose = ["~/.nvm/versions"]`, `rootfs.expose = ["~/.nvm-2"]`},
	"rootfs.mask":          {`rootfs.mask = ["~/.x"]`, `rootfs.mask = ["!~/.ssh"]`},
	"workspace.path":       {`workspace.path = "."`, `workspace.path = "/srv"`},
	"workspace.mode":       {`workspace.mode = "ro"`, `workspace.mode = "rw"`},
	"workspace.upper":      {`workspace.upper = "disk"`, `workspace.upper = "tmpfs"`},
	"workspace.apply":      {`workspace.apply = "none"`, `workspace.apply = "all"`},
	"workspace.mask":       {`workspace.mask = ["x"]`, `workspace.mask = ["!.env"]`},
	"workspace.protect":    {`workspace.protect = ["x"]`, `workspace.protect = ["!.git/hooks"]`},
	"mount":                {"[[mount]]\ntarget = '/x'", "[[mount]]\ntarget = '/y'"},
	"mount[].type":         {"[[mount]]\ntarget = '/x'\ntype = 'bind'", "[[mount]]\ntarget = '/x'\ntype = 'tmpfs'"},
	"mount[].source":       {"[[mount]]\ntarget = '/x'\nsource = '/opt/x'", "[[mount]]\ntarget = '/x'\nsource = '/opt'"},
	"mount[].target":       {"[[mount]]\ntarget = '/x/'", "[[mount]]\ntarget = '/xx'"},
	"mount[].size":         {"[[mount]]\ntarget = '/x'\nsize = '1MiB'", "[[mount]]\ntarget = '/x'\nsize = '3MiB'"},
	"mount[].options":      {"[[mount]]\ntarget = '/z'\noptions = ['ro', 'noexec']", "[[mount]]\ntarget = '/z'\noptions = ['rw']"},

	"limits.memory":      {`limits.memory = "1GiB"`, `limits.memory = "3GiB"`},
	"limits.cpus":        {`limits.cpus = 1.5`, `limits.cpus = 0`},
	"limits.pids":        {`limits.pids = 99`, `limits.pids = 101`},
	"limits.disk":        {`limits.disk = 1`, `limits.disk = 0`},
	"limits.open_files":  {`limits.open_files = 1`, `limits.open_files = 0`},
	"limits.timeout":     {`limits.timeout = "59m"`, `limits.timeout = "61m"`},
	"limits.grace":       {`limits.grace = "1s"`, `limits.grace = "11s"`},
	"limits.enforcement": {`limits.enforcement = "kernel"`, `limits.enforcement = "watched"`},
	"limits.execs":       {`limits.execs = 1`, `limits.execs = 0`},

	"network.mode":                {`network.mode = "none"`, `network.mode = "host"`},
	"network.allow":               {`network.allow = ["api.example.com"]`, `network.allow = ["api.example.org"]`},
	"network.deny":                {`network.deny = ["*"]`, ``}, // it can only be added to
	"network.publish":             {`network.publish = ["3000"]`, `network.publish = ["5000"]`},
	"network.forward":             {`network.forward = ["127.0.0.1:5432"]`, `network.forward = ["127.0.0.1:22"]`},
	"network.upstream_proxy":      {`network.upstream_proxy = "http://proxy:3128"`, `network.upstream_proxy = ""`},
	"network.extra_ca":            {`network.extra_ca = ["/a.pem"]`, `network.extra_ca = ["/c.pem"]`},
	"network.private":             {`network.private = ["10.1.0.0/16"]`, `network.private = ["192.168.0.0/16"]`},
	"network.upstream_proxy_auth": {`network.upstream_proxy_auth = "env:PROXY"`, `network.upstream_proxy_auth = "env:OTHER"`},
	"network.rule": {sameRule,
		"[[network.rule]]\nhost = 'api.example.com'\nmethods = ['GET']\nconnections = 2\nrate = '5/s'\nbytes_out = '1MiB'"},
	"network.rule[].host": {sameRule,
		"[[network.rule]]\nhost = 'www.example.com'\nmethods = ['GET']\npaths = ['/a']\nconnections = 2\nrate = '5/s'\nbytes_out = '1MiB'"},
	"network.rule[].methods": {sameRule,
		"[[network.rule]]\nhost = 'api.example.com'\nmethods = ['GET', 'PUT']\npaths = ['/a']\nconnections = 2\nrate = '5/s'\nbytes_out = '1MiB'"},
	"network.rule[].paths": {sameRule,
		"[[network.rule]]\nhost = 'api.example.com'\nmethods = ['GET']\npaths = ['/**']\nconnections = 2\nrate = '5/s'\nbytes_out = '1MiB'"},
	"network.rule[].connections": {sameRule,
		"[[network.rule]]\nhost = 'api.example.com'\nmethods = ['GET']\npaths = ['/a']\nconnections = 3\nrate = '5/s'\nbytes_out = '1MiB'"},
	"network.rule[].rate": {sameRule,
		"[[network.rule]]\nhost = 'api.example.com'\nmethods = ['GET']\npaths = ['/a']\nconnections = 2\nrate = '6/s'\nbytes_out = '1MiB'"},
	"network.rule[].bytes_out": {sameRule,
		"[[network.rule]]\nhost = 'api.example.com'\nmethods = ['GET']\npaths = ['/a']\nconnections = 2\nrate = '5/s'\nbytes_out = '2MiB'"},

	"credential":           {"[[credential]]\nname = 'c'", "[[credential]]\nname = 'd'"},
	"credential[].name":    {"[[credential]]\nname = 'c'", "[[credential]]\nname = 'C'"},
	"credential[].source":  {"[[credential]]\nname = 'c'\nsource = 'env:C'", "[[credential]]\nname = 'c'\nsource = 'env:D'"},
	"credential[].missing": {"[[credential]]\nname = 'c'\nmissing = 'fail'", "[[credential]]\nname = 'c'\nmissing = 'skip'"},
	"credential[].unless":  {"[[credential]]\nname = 'c'\nunless = 'b'", "[[credential]]\nname = 'c'\nunless = 'a'"},
	"credential[].hosts":   {"[[credential]]\nname = 'c'\nhosts = ['a.example.com']", "[[credential]]\nname = 'c'\nhosts = ['c.example.com']"},
	"credential[].header":  {"[[credential]]\nname = 'c'\nheader = 'x-api-key'", "[[credential]]\nname = 'c'\nheader = 'x-other'"},
	"credential[].format":  {"[[credential]]\nname = 'c'\nformat = '{}'", "[[credential]]\nname = 'c'\nformat = 'a {}'"},
	"credential[].env":     {"[[credential]]\nname = 'c'\nenv = 'C'", "[[credential]]\nname = 'c'\nenv = 'D'"},

	"credential[].methods":       {"[[credential]]\nname = 'c'\nmethods = ['GET']", "[[credential]]\nname = 'c'\nmethods = ['POST']"},
	"credential[].paths":         {"[[credential]]\nname = 'c'\npaths = ['/a']", "[[credential]]\nname = 'c'\npaths = ['/**']"},
	"credential[].as":            {"[[credential]]\nname = 'c'\nas = 'header'", "[[credential]]\nname = 'c'\nas = 'bearer'"},
	"credential[].user":          {"[[credential]]\nname = 'c'\nuser = 'u'", "[[credential]]\nname = 'c'\nuser = 'v'"},
	"credential[].query":         {"[[credential]]\nname = 'c'\nquery = 'q'", "[[credential]]\nname = 'c'\nquery = 'r'"},
	"credential[].placeholder":   {"[[credential]]\nname = 'c'\nplaceholder = 'c-{}'", "[[credential]]\nname = 'c'\nplaceholder = 'd-{}'"},
	"credential[].base_url_env":  {"[[credential]]\nname = 'c'\nbase_url_env = 'C_URL'", "[[credential]]\nname = 'c'\nbase_url_env = 'D_URL'"},
	"credential[].base_url_path": {"[[credential]]\nname = 'c'\nbase_url_path = '/v1'", "[[credential]]\nname = 'c'\nbase_url_path = '/v2'"},
	"credential[].socket_env":    {"[[credential]]\nname = 'c'\nsocket_env = 'C_SOCKET'", "[[credential]]\nname = 'c'\nsocket_env = 'D_SOCKET'"},

	"permissions.allow": {`permissions.allow = ["Read"]`, `permissions.allow = ["Edit"]`},
	"permissions.ask":   {`permissions.ask = ["Edit"]`, ``},
	"permissions.deny":  {`permissions.deny = ["Edit"]`, ``},

	"permissions.dangerous":      {`permissions.dangerous = "deny"`, `permissions.dangerous = "allow"`},
	"permissions.bypass":         {`permissions.bypass = "disable"`, `permissions.bypass = "allow"`},
	"permissions.on_broken_hook": {`permissions.on_broken_hook = "kill"`, `permissions.on_broken_hook = "none"`},

	"hook":           {"[[hook]]\nname = 'h'", "[[hook]]\nname = 'i'"},
	"hook[].name":    {"[[hook]]\nname = 'h'", "[[hook]]\nname = 'H'"},
	"hook[].command": {"[[hook]]\nname = 'h'\ncommand = ['/h']", "[[hook]]\nname = 'h'\ncommand = ['/i']"},
	"hook[].tools":   {"[[hook]]\nname = 'h'\ntools = ['Bash']", "[[hook]]\nname = 'h'\ntools = []"},
	"hook[].timeout": {"[[hook]]\nname = 'h'\ntimeout = '2s'", "[[hook]]\nname = 'h'\ntimeout = '9s'"},

	"audit.dir":           {`audit.dir = "/log"`, `audit.dir = "/dev/null"`},
	"audit.key":           {`audit.key = "/key"`, `audit.key = ""`},
	"audit.on_failure":    {`audit.on_failure = "stop"`, `audit.on_failure = "ignore"`},
	"audit.exec":          {`audit.exec = false`, `audit.exec = true`},
	"audit.retain":        {`audit.retain = "90d"`, `audit.retain = "1d"`},
	"audit.rotate":        {`audit.rotate = "1MiB"`, `audit.rotate = "2MiB"`},
	"audit.max_size":      {`audit.max_size = "1GiB"`, `audit.max_size = "2GiB"`},
	"audit.archive":       {`audit.archive = "https://logs.example.com/"`, `audit.archive = "https://evil.example.com/"`},
	"audit.archive_token": {`audit.archive_token = "env:ARCHIVE"`, `audit.archive_token = "env:HOME"`},

	"alert":          {"[[alert]]\nname = 'b'\nevent = 'exec'", "[[alert]]\nname = 'a'\nevent = 'none'"},
	"alert[].name":   {"[[alert]]\nname = 'a'", "[[alert]]\nname = 'a'\nrate = '9/s'"},
	"alert[].event":  {"[[alert]]\nname = 'a'\nevent = 'exec'", "[[alert]]\nname = 'a'\nevent = 'open'"},
	"alert[].rate":   {"[[alert]]\nname = 'a'\nrate = '60/min'", "[[alert]]\nname = 'a'\nrate = '999/min'"},
	"alert[].action": {"[[alert]]\nname = 'a'\naction = ['log']", "[[alert]]\nname = 'a'\naction = []"},

	"budget.usd":      {`budget.usd = 9.5`, `budget.usd = 0`},
	"budget.tokens":   {`budget.tokens = 999`, `budget.tokens = 1001`},
	"budget.warn_at":  {`budget.warn_at = 0.4`, `budget.warn_at = 0.6`},
	"budget.on_limit": {`budget.on_limit = "kill"`, `budget.on_limit = "refuse"`},

	"budget.hosts": {`budget.hosts = ["b.example.com"]`, ``},

	"price":               {"[[price]]\nmodel = 'm'", "[[price]]\nmodel = 'n'"},
	"price[].model":       {"[[price]]\nmodel = 'm'", "[[price]]\nmodel = 'M'"},
	"price[].input":       {"[[price]]\nmodel = 'm'\ninput = 1", "[[price]]\nmodel = 'm'\ninput = 0.5"},
	"price[].output":      {"[[price]]\nmodel = 'm'\noutput = 2", "[[price]]\nmodel = 'm'\noutput = 1"},
	"price[].cache_read":  {"[[price]]\nmodel = 'm'\ncache_read = 3", "[[price]]\nmodel = 'm'\ncache_read = 1"},
	"price[].cache_write": {"[[price]]\nmodel = 'm'\ncache_write = 4", "[[price]]\nmodel = 'm'\ncache_write = 1"},

	"mcp":           {"[[mcp]]\nname = 'm'", "[[mcp]]\nname = 'n'"},
	"mcp[].name":    {"[[mcp]]\nname = 'm'", "[[mcp]]\nname = 'M'"},
	"mcp[].command": {"[[mcp]]\nname = 'm'\ncommand = ['server']", "[[mcp]]\nname = 'm'\ncommand = ['sh']"},
	"mcp[].env":     {"[[mcp]]\nname = 'm'\nenv = { A = 'env:A' }", "[[mcp]]\nname = 'm'\nenv = { A = 'env:B' }"},
	"mcp[].tools":   {"[[mcp]]\nname = 'm'\ntools = ['read']", "[[mcp]]\nname = 'm'\ntools = ['delete']"},
}

func over(t *testing.T, data string, trusted bool) (*Effective, Findings) {
	t.Helper()
	return Merge([]Layer{
		{Name: "user.toml", Kind: User, Trusted: true, Data: []byte(below)},
		{Name: "agentbox.toml", Kind: Project, Trusted: trusted, Data: []byte(data)},
	}, nil)
}

// sameRule is the rule that the lower layer has.
const sameRule = "[[network.rule]]\nhost = 'api.example.com'\nmethods = ['GET']\npaths = ['/a']\nconnections = 2\nrate = '5/s'\nbytes_out = '1MiB'"

func TestAnUntrustedFileOnlyTightens(t *testing.T) {
	for _, k := range Schema() {
		move, ok := moves[k.Path]
		if !ok {
			t.Errorf("%s: no tightening and no widening in the table", k.Path)
			continue
		}
		t.Run(k.Path+" may be tightened", func(t *testing.T) {
			if _, fs := over(t, move.tight, false); len(fs) > 0 {
				t.Errorf("%s\n%v", move.tight, fs)
			}
		})
		if move.wide == "" {
			if k.Direction != Superset || k.patterns() {
				t.Errorf("%s: no widening in the table", k.Path)
			}
			continue
		}
		t.Run(k.Path+" may not be widened", func(t *testing.T) {
			was, _ := over(t, "", false)
			is, fs := over(t, move.wide, false)
			if len(fs) != 1 || !strings.Contains(fs[0].Hint, "agentbox trust") || fs[0].File != "agentbox.toml" || fs[0].Line == 0 {
				t.Errorf("%s\nwant one finding with its line and the hint, got %v", move.wide, fs)
			}
			if diff := diffProfiles(was.Profile, is.Profile); diff != "" {
				t.Errorf("the refused value had an effect (-before +after):\n%s", diff)
			}
		})
		t.Run(k.Path+" may be widened by a trusted file", func(t *testing.T) {
			if _, fs := over(t, move.wide, true); len(fs) > 0 {
				t.Errorf("%s\n%v", move.wide, fs)
			}
		})
	}
}

func TestATightenedListIsWhatTheFileLists(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		get  func(*Profile) []string
		want string
	}{
		"a subset narrows":            {`network.allow = ["api.example.com"]`, func(p *Profile) []string { return p.Network.Allow }, "api.example.com"},
		"an empty subset is empty":    {`agent.degrade = []`, func(p *Profile) []string { return p.Agent.Degrade }, ""},
		"a superset appends":          {`network.deny = ["x.example.com"]`, func(p *Profile) []string { return p.Network.Deny }, "bad.example.com x.example.com"},
		"ro takes back rw":            {"[[mount]]\ntarget = '/x'\noptions = ['ro']", func(p *Profile) []string { return p.Mounts[1].Options }, "exec ro"},
		"noexec takes back exec":      {"[[mount]]\ntarget = '/x'\noptions = ['noexec']", func(p *Profile) []string { return p.Mounts[1].Options }, "rw noexec"},
		"a mask hides exceptions too": {`workspace.mask = [".env.example"]`, func(p *Profile) []string { m := p.Workspace.Mask; return m[len(m)-1:] }, ".env.example"},
	} {
		t.Run(name, func(t *testing.T) {
			e, fs := over(t, tc.in, false)
			if got := strings.Join(tc.get(&e.Profile), " "); got != tc.want || len(fs) > 0 {
				t.Errorf("%s\ngot %q, want %q; findings %v", tc.in, got, tc.want, fs)
			}
		})
	}
}

func TestNoLimitIsTheHighest(t *testing.T) {
	base := Layer{Name: "user.toml", Kind: User, Trusted: true}
	e, fs := Merge([]Layer{base, {Name: "p.toml", Kind: Project, Data: []byte("limits.memory = '9GiB'\nlimits.pids = 0")}}, nil)
	if len(fs) > 0 || e.Profile.Limits.Memory != 9<<30 || e.Profile.Limits.Pids != 0 {
		t.Errorf("a limit where there was none: %v, %v", e.Profile.Limits, fs)
	}
}

func TestAnUntrustedFileMayOnlyExtendWhatIsThere(t *testing.T) {
	lookup := func(name string) (Layer, error) {
		t.Errorf("looked up %q for a file that is not trusted", name)
		return Layer{}, nil
	}
	base, _ := Preset("default")
	_, fs := Merge([]Layer{base, {Name: "p.toml", Kind: Project, Data: []byte(`extends = ["default", "base", "team"]`)}}, lookup)
	if len(fs) != 1 || fs[0].Key != "extends[2]" {
		t.Errorf("want one finding about extends[2], got %v", fs)
	}
}
