package registry

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"agentbox/internal/boxtest"

	"github.com/google/go-cmp/cmp"
)

func TestMain(m *testing.M) { os.Exit(boxtest.Main(m)) }

// A host has a home, a workspace, and tools made of shell scripts.
type host struct {
	Asker
	t    *testing.T
	root string
}

func newHost(t *testing.T) *host {
	h := &host{t: t, root: t.TempDir()}
	for _, dir := range []string{"bin", "home", "work", "cwd"} {
		if err := os.Mkdir(filepath.Join(h.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h.Asker = Asker{Path: []string{h.at("bin"), "/usr/bin", "/bin"}, Workspace: h.at("work"), Home: h.at("home"), Dir: h.at("cwd")}
	return h
}

func (h *host) at(path string) string { return filepath.Join(h.root, path) }

func (h *host) write(path, text string) {
	h.t.Helper()
	path = h.at(path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o755)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) tool(path, script string) { h.write(path, "#!/bin/sh\n"+script+"\n") }

func (h *host) link(path, to string) {
	h.t.Helper()
	if err := os.Symlink(h.at(to), h.at(path)); err != nil {
		h.t.Fatal(err)
	}
}

// ask returns the endpoints, or the error, as one line each.
func (h *host) ask(name string) []string {
	h.t.Helper()
	found, err := h.Endpoints(h.t.Context(), name)
	if err != nil {
		if found != nil {
			h.t.Errorf("endpoints %v beside the error %v", found, err)
		}
		return []string{"error: " + strings.ReplaceAll(err.Error(), h.root, "ROOT")}
	}
	return texts(found)
}

const npmAnswer = `echo '{"registry": "https://npm.test/"}'`

func TestProgramsAreLookedUpOutsideTheWorkspace(t *testing.T) {
	answer := []string{"npm.test 443"}
	notFound := []string{"error: npm is not on PATH outside the workspace"}
	for name, tc := range map[string]struct {
		set  func(*host)
		want []string
	}{
		"a program on PATH is asked":             {func(h *host) { h.tool("bin/npm", npmAnswer) }, answer},
		"no program is an error":                 {func(*host) {}, notFound},
		"one in the workspace is not run":        {func(h *host) { h.tool("work/bin/npm", "touch "+h.at("ran")) }, notFound},
		"one in a relative directory is not run": {func(h *host) { h.tool("cwd/npm", "touch "+h.at("ran")) }, notFound},
		"a link into the workspace is not followed": {func(h *host) {
			h.tool("work/npm", "touch "+h.at("ran"))
			h.link("bin/npm", "work/npm")
		}, notFound},
		"a linked directory of the workspace is skipped": {func(h *host) {
			h.tool("work/bin/npm", "touch "+h.at("ran"))
			h.link("other", "work/bin")
		}, notFound},
		"a workspace that is reached by a link is the same workspace": {func(h *host) {
			h.tool("work/bin/npm", "touch "+h.at("ran"))
			h.link("project", "work")
			h.Workspace = h.at("project")
		}, notFound},
		"what a program starts is looked up outside too": {func(h *host) {
			h.tool("work/bin/node", "touch "+h.at("ran"))
			h.tool("bin/npm", `node || `+npmAnswer)
		}, answer},
		"a file that nobody may execute is no program": {func(h *host) {
			h.write("bin/npm", "")
			os.Chmod(h.at("bin/npm"), 0o644)
		}, notFound},
		"a home in the workspace is the agent's": {func(h *host) { h.Home = h.at("work/home") },
			[]string{"error: the home directory, which holds the configuration, is inside the workspace"}},
		"so is a working directory": {func(h *host) { h.Dir = h.at("work/x") },
			[]string{"error: the directory to run programs in is inside the workspace"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.Path = []string{"", ".", "bin", "../cwd", h.at("work/bin"), h.at("other"), h.at("bin")}
			tc.set(h)
			if diff := cmp.Diff(tc.want, h.ask("@npm")); diff != "" {
				t.Error(diff)
			}
			if _, err := os.Stat(h.at("ran")); err == nil {
				t.Error("a program of the workspace was run")
			}
		})
	}
}

func TestAProgramSeesWhatConfiguresIt(t *testing.T) {
	const dump = `tr '\0' '\n' </proc/$$/environ >"$HOME/env"; pwd >"$HOME/pwd"; cat >"$HOME/in"; exit 1`
	caller := []string{"NPM_TOKEN=s", "HOME=/other", "PATH=.", "NODE_OPTIONS=x", "npm_config_registry=https://a.test",
		"NPM_CONFIG_USERCONFIG=/etc/npmrc", "npm_config_@me:registry=https://b.test", "npm_config_//a.test/:_authToken=s",
		"GOPROXY=off", "GOFLAGS=-x", "GOTOOLCHAIN=go9", "PIP_INDEX_URL=https://c.test", "PIP_PYTHON=/x", "PIP_LOG=/y",
		"XDG_CONFIG_HOME=/xdg", "LD_PRELOAD=/z"}
	for name, tc := range map[string]struct {
		tool string
		want []string
	}{
		"@npm": {"npm", []string{"NPM_CONFIG_USERCONFIG=/etc/npmrc", "npm_config_@me:registry=https://b.test", "npm_config_registry=https://a.test"}},
		"@go":  {"go", []string{"GO111MODULE=on", "GOFLAGS=", "GOPROXY=off", "GOTOOLCHAIN=local", "GOWORK=off", "XDG_CONFIG_HOME=/xdg"}},
		"@pip": {"python3", []string{"PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_INDEX_URL=https://c.test", "PIP_NO_INPUT=1",
			"PIP_QUIET=0", "PIP_VERBOSE=0", "XDG_CONFIG_HOME=/xdg", "_PIP_RUNNING_IN_SUBPROCESS=1"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.Env = caller
			h.tool("bin/"+tc.tool, dump)
			if _, err := h.Endpoints(t.Context(), name); err == nil {
				t.Fatal("no error")
			}
			text, err := os.ReadFile(h.at("home/env"))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for line := range strings.Lines(string(text)) {
				got = append(got, strings.ReplaceAll(strings.TrimSpace(line), h.root, "ROOT"))
			}
			slices.Sort(got)
			want := slices.Concat([]string{"HOME=ROOT/home", "PATH=ROOT/bin:/usr/bin:/bin"}, tc.want)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if pwd, _ := os.ReadFile(h.at("home/pwd")); strings.TrimSpace(string(pwd)) != resolved(h.Dir) {
				t.Errorf("it ran in %s", pwd)
			}
		})
	}
}

func TestProgramsThatMisbehave(t *testing.T) {
	for name, tc := range map[string]struct{ script, want string }{
		"one that writes without an end is stopped": {"exec yes", "error: npm writes too much"},
		"one that writes too much and ends":         {"head -c 2000000 /dev/zero", "error: npm writes too much"},
		"a complaint is told":                       {"echo 'npm error cannot read' >&2; exit 3", "error: npm: exit status 3: npm error cannot read"},
		"one that says nothing":                     {"exit 3", "error: npm: exit status 3"},
		"control characters are not told":           {`printf '\033]52;x\007\n' >&2; exit 1`, "error: npm: exit status 1: ?]52;x?"},
		"a password is not told":                    {"echo 'bad https://me:hunter2@npm.test/ url' >&2; exit 1", "error: npm: exit status 1: bad [...] url"},
		"garbage is no answer":                      {"echo npm.test", "error: npm: its answer is not its configuration as JSON"},
		"what is left running is ended":             {npmAnswer + "; sleep 1000 &", "npm.test 443"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.tool("bin/npm", tc.script)
			if diff := cmp.Diff([]string{tc.want}, h.ask("@npm")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The processes of the tool hold a pipe open; its end shows that none is left.
func TestAHangingProgramIsKilledWithItsChildren(t *testing.T) {
	h := newHost(t)
	if err := syscall.Mkfifo(h.at("alive"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.tool("bin/npm", `trap "" TERM INT; exec 9>"`+h.at("alive")+`"; echo x >&9; sleep 1000 & wait`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answer := make(chan error, 1)
	go func() {
		_, err := h.Endpoints(ctx, "@npm")
		answer <- err
	}()
	alive, err := os.Open(h.at("alive")) // waits for the tool
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	buf := make([]byte, 16)
	if _, err := alive.Read(buf); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for err = nil; err == nil; {
		_, err = alive.Read(buf)
	}
}

func TestATimeLimitIsToldAsOne(t *testing.T) {
	h := newHost(t)
	h.tool("bin/npm", "exec sleep 1000")
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	_, err := h.Endpoints(ctx, "@npm")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "npm does not answer") {
		t.Error(err)
	}
}

func TestAllAsksEverything(t *testing.T) {
	h := newHost(t)
	h.tool("bin/npm", npmAnswer)
	h.tool("bin/go", `echo '{"GOPROXY": "https://go.test", "GOSUMDB": "off"}'`)
	h.tool("bin/python3", `echo no answer`)
	h.write("home/.cargo/config.toml", "[registries.mine]\nindex = \"sparse+https://cargo.test/\"\n")
	got := map[string][]string{}
	for name, r := range h.All(t.Context(), []string{"@npm", "@go", "@pip", "@cargo", "@gem"}) {
		got[name] = texts(r.Endpoints)
		if r.Err != nil {
			got[name] = []string{r.Err.Error()}
		}
	}
	want := map[string][]string{"@npm": {"npm.test 443"}, "@go": {"go.test 443"}, "@cargo": {"cargo.test 443"},
		"@pip": {"pip: its answer is not a list of its configuration"}, "@gem": {`there is no "@gem"`}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What the machine's own tools say is their business.
func TestTheToolsOfThisMachineAnswer(t *testing.T) {
	for name, need := range map[string]boxtest.Feature{"@npm": boxtest.Npm, "@go": boxtest.Go, "@pip": "pip3"} {
		t.Run(name, func(t *testing.T) {
			boxtest.Need(t, need)
			home, err := os.UserHomeDir()
			if err != nil {
				t.Fatal(err)
			}
			a := Asker{Path: filepath.SplitList(os.Getenv("PATH")), Workspace: t.TempDir(), Home: home, Dir: "/"}
			found, err := a.Endpoints(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range found {
				if e.Host == "" || e.Port == 0 {
					t.Errorf("%v", e)
				}
			}
		})
	}
}

// Under sudo the tools are started as the person whose home it is, so that what they leave there is theirs.
func TestRootAsksAsWhoOwnsTheHome(t *testing.T) {
	boxtest.Need(t, boxtest.Root)
	h := newHost(t)
	h.tool("bin/npm", `echo "{\"registry\": \"https://user$(id -u).test/\"}"`)
	for dir := h.root; dir != "/tmp" && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.ask("@npm"); !slices.Equal(got, []string{"user0.test 443"}) {
		t.Errorf("a home of root's: %v", got)
	}
	const nobody = 65534
	if err := os.Chown(h.Home, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if got := h.ask("@npm"); !slices.Equal(got, []string{"user65534.test 443"}) {
		t.Errorf("a home of somebody's: %v", got)
	}
}
