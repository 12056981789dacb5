package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"agentbox/internal/boxtest"
	"agentbox/internal/session"
)

func testApp(t *testing.T) *caller {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	return &caller{in: null, out: null, err: null, voice: newVoice(null, null, os.Getenv)}
}

func TestComplete(t *testing.T) {
	const id = "1rya6gjd6s41"
	k := completer{app: newApp(testApp(t)), offers: offers{
		profiles: func() []candidate { return plainWords([]string{"default", "mine", "m$(touch x)", "m x", "-"}) },
		sessions: func() []candidate { return []candidate{{id, "/p: sh"}} },
		kept: func() []session.Kept {
			return []session.Kept{
				{Info: session.Info{ID: "detached", Detached: true, State: session.Ended}},
				{Info: session.Info{ID: "changed", State: session.Ended}, Workspace: "/w"},
				{Info: session.Info{ID: "writing", State: session.Running}, Workspace: "/w"},
				{Info: session.Info{ID: id, State: session.Running}},
			}
		},
	}}
	t.Setenv("COMPLETION_VARIABLE", "x")
	for line, want := range map[string]string{ // the cursor is at the end
		"agentbox expl":                        ": explain",
		"agentbox nosuch ":                     ":",
		"agentbox help kil":                    ": kill",
		"agentbox --colo":                      ": --color",
		"agentbox --color al":                  ": always",
		"agentbox --color never vers":          ": version",
		"agentbox run --workspa":               ": --workspace",
		"agentbox run --workspace ":            ":dirs",
		"agentbox run --mode ":                 ": ro overlay rw",
		"agentbox run --mode = r":              ": ro rw",
		"agentbox run --mode =":                ": ro overlay rw",
		"agentbox run --tty never --degr":      ": --degrade",
		"agentbox run --tty=never --degr":      ": --degrade",
		"agentbox run --degrade key":           ": keyring",
		"agentbox run --network ":              ": none allowlist",
		"agentbox run -p m":                    ":files mine",
		"agentbox run --result ":               ":files",
		"agentbox run --expose ":               ":files",
		"agentbox run --mount ":                ":",
		"agentbox run --dir ":                  ":dirs",
		"agentbox run --env-pass COMPLETION_V": ": COMPLETION_VARIABLE",
		"agentbox run ":                        ":command 2",
		"agentbox run -- ":                     ":command 3",
		"agentbox run -v -- git -- --":         ":command 4",
		"agentbox run claude --mo":             ":command 2",
		"agentbox exec ":                       ": " + id,
		"agentbox exec -- l":                   ":command 3",
		"agentbox exec " + id + " ":            ":command 3",
		"agentbox exec " + id + " -- l":        ":command 4",
		"agentbox exec " + id + " ls -":        ":command 3",
		"agentbox exec ls -":                   ":command 2",
		"agentbox kill 1":                      ": " + id,
		"agentbox kill 2":                      ":",
		"agentbox kill " + id + " ":            ":",
		"agentbox kill --signal US":            ": USR1 USR2",
		"agentbox completion ":                 ": bash zsh fish",
		"agentbox trust ":                      ":files",
		"agentbox ps ":                         ":",
		"agentbox attach ":                     ": " + id,
		"agentbox freeze ":                     ": " + id,
		"agentbox logs -f ":                    ": detached",
		"agentbox log ":                        ": detached changed writing " + id + " verify report prune archive",
		"agentbox log verify ":                 ":files detached changed writing " + id,
		"agentbox log report ":                 ":files detached changed writing " + id,
		"agentbox log verify --la":             ": --last-hash",
		"agentbox log changed ":                ":",
		"agentbox diff ":                       ":files changed writing",
		"agentbox diff changed ":               ":files",
		"agentbox apply ":                      ":files changed",
		"agentbox discard --yes ":              ": changed",
		"agentbox run --resume ":               ": changed",
		"agentbox prune ":                      ": detached changed",
		"agentbox prune detached ":             ": changed",
		"agentbox":                             ":",
	} {
		r := k.complete(strings.Split(line, " "))
		got := ":" + r.shell
		for _, c := range r.candidates {
			got += " " + c.text
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}

// Whatever is on the command line, each candidate is a word that no shell reads anything into.
func FuzzComplete(f *testing.F) {
	f.Add("agentbox run -p ", "a$(x)")
	f.Add("agentbox exec 1 -- ", ";x")
	f.Add("agentbox log ", "a;b")
	f.Add("agentbox --color = ", "\x1b")
	f.Fuzz(func(t *testing.T, line, name string) {
		offer := func() []candidate { return []candidate{{text: name}} }
		kept := func() []session.Kept { return []session.Kept{{Info: session.Info{ID: name}}} }
		k := completer{app: newApp(&caller{voice: newVoice(nil, nil, os.Getenv)}), offers: offers{offer, offer, kept}}
		for _, c := range k.complete(strings.Split(line, " ")).candidates {
			if strings.ContainsAny(c.text, " \t\n;&|<>()$`\\\"'*?[]{}~#!%^=\x1b") {
				t.Errorf("%q offers %q", line, c.text)
			}
		}
	})
}

// interactive is how each shell is started without its owner's settings, and how it learns the completion.
var interactive = map[string]struct {
	argv  []string
	setup string
}{
	"bash": {[]string{"bash", "--norc", "--noprofile", "-i"}, "bind 'set bell-style none'; PS1='> '; source <(agentbox completion bash)"},
	"zsh":  {[]string{"zsh", "-f", "-i"}, "PS1='> '; autoload -Uz compinit && compinit -u -D; source <(agentbox completion zsh)"},
	"fish": {[]string{"fish", "--no-config", "-i"}, "function fish_prompt; echo '> '; end; agentbox completion fish | source"},
}

func TestCompletionInTheRealShells(t *testing.T) {
	for shell, how := range interactive {
		t.Run(shell, func(t *testing.T) {
			boxtest.Need(t, boxtest.Tmux, boxtest.Userns, boxtest.Feature(shell))
			a := boxtest.User(t)
			binary := boxtest.Binary(t)
			dir := boxtest.Project(t, a)
			if err := os.Symlink(binary, filepath.Join(dir, "agentbox")); err != nil {
				t.Fatal(err)
			}
			a.Path = dir + ":" + a.Path
			hostile := "evil$(touch pwned)`touch pwned`;touch pwned"
			for _, name := range []string{"mine", hostile} {
				a.WriteFile(t, filepath.Join(dir, "config/agentbox/profiles", name+".toml"), "", 0o644)
			}
			a.WriteFile(t, filepath.Join(dir, "box.toml"), "", 0o644)
			a.WriteFile(t, filepath.Join(dir, "sub/evil$(touch pwned).toml"), "", 0o644)
			id := startSession(t, a, dir, binary, "exec cat # \x1b[2J %d: "+hostile)

			term := boxtest.NewTerminal(t, a, dir, 100, 30, append([]string{"HISTFILE=/dev/null", "XDG_CONFIG_HOME=" + dir + "/config", "XDG_DATA_HOME=" + dir + "/data"}, how.argv...)...)
			term.WaitFor("", 10*time.Second)
			term.Type(how.setup + "; echo prepa''red")
			term.Send("Enter")
			term.WaitFor("prepared\n", 20*time.Second)
			for _, row := range [][2]string{ // what is typed before the key, and what the line is then
				{"agentbox expl", "agentbox explain"},
				{"agentbox run --verb", "run --verbose"},
				{"agentbox run --tty al", "--tty always"},
				{"agentbox run --tty=al", "--tty=always"},
				{"agentbox run -p min", "-p mine"},
				{"agentbox check ./bo", "./box.toml"},
				{"agentbox check sub/", "sub/evil"},
				{"agentbox run -- whoa", "-- whoami"},
				{"agentbox kill " + id[:9], "kill " + id},
				{"agentbox exec " + id[:9], "exec " + id},
			} {
				term.Send("C-u", "C-l")
				term.Type(row[0])
				term.Send("Tab")
				term.WaitFor(row[1], 10*time.Second)
			}
			term.Send("C-u", "C-l")
			term.Type("agentbox run -p evi")
			term.Send("Tab")
			term.Type("X")
			term.WaitFor("-p eviX", 10*time.Second)
			if _, err := os.Lstat(filepath.Join(dir, "pwned")); err == nil {
				t.Error("a file's name was executed")
			}
		})
	}
}

// startSession runs a box that ends with the test, and returns its ID.
func startSession(t *testing.T, a *boxtest.Account, dir, binary, script string) string {
	t.Helper()
	cmd := a.Command(t, dir, binary, "run", "-v", "--", "sh", "-c", "echo ready\n"+script)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	if _, err := out.Read(make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	list, err := a.Command(t, dir, binary, "completion", "words", "agentbox", "kill", "").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, lines, _ := strings.Cut(string(list), "\n")
	id, about, _ := strings.Cut(lines, "\t")
	if len(id) != 12 || !strings.Contains(about, `\x1b[2J`) {
		t.Fatalf("the session is offered as %q", lines)
	}
	return id
}

// A shell that only parses a script finds what its tests with a terminal may not reach.
func TestCompletionScriptsParse(t *testing.T) {
	for shell := range interactive {
		t.Run(shell, func(t *testing.T) {
			boxtest.Need(t, boxtest.Feature(shell))
			script, err := shellScripts.ReadFile("shells/agentbox." + shell)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(shell, "-n", "/dev/stdin")
			cmd.Stdin = strings.NewReader(string(script))
			out, err := cmd.CombinedOutput()
			if diff := cmp.Diff("", string(out)); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
