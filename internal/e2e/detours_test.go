package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentbox/internal/boxtest"
)

// A detour leads round a mask or a protection: what was prepared before the start,
// by the project or an earlier agent, what the agent then tries in vain, and what
// beside it works.
type detour struct {
	before, no, says, yes string
	options               []string
}

func detours() map[string]detour {
	protect := func(pattern string) []string { return []string{"--protect", pattern} }
	return map[string]detour{
		"a closed directory": {before: `mkdir -p shut && echo secret >shut/.env && chmod 0 shut`,
			no: `chmod 700 shut; grep secret shut/.env`, says: denied,
			yes: `mkdir mine && chmod 0 mine && chmod 700 mine && touch mine/x && rm -r mine`},
		"a directory that shows its names only": {before: `mkdir -p names/sub && echo secret >names/sub/.env && chmod 400 names`,
			no: `chmod 700 names; grep secret names/sub/.env`, says: denied, yes: `true`},
		"a masked file in a protected directory": {before: `mkdir -p .vscode && echo secret >.vscode/.env && echo plain >.vscode/tasks.json`,
			no: `grep secret .vscode/.env`, says: denied, yes: `grep plain .vscode/tasks.json`},
		"a hard link of a masked file": {before: `echo secret >.env.two && ln -f .env.two plain`,
			no: `grep secret plain`, says: denied, yes: `cp .env.example x && ln x y && cat y && rm x y`},
		"a hard link of a protected file": {before: `echo x >held && ln -f held other`, options: protect("/held"),
			no: `echo y >>other`, says: readOnly, yes: `grep x other`},
		"a hard link of a file in a protected directory": {before: `mkdir -p hooks && echo x >hooks/run && ln -f hooks/run runs`, options: protect("/hooks"),
			no: `echo y >>runs`, says: readOnly, yes: `grep x runs`},
		"a link to a masked file": {before: `mkdir -p real && echo secret >real/file && ln -sfn real/file .env.three`,
			no: `grep secret real/file`, says: denied, yes: `test -L .env.three || test -e .env.three`},
		"a link to a directory of protected files": {before: `mkdir -p dir/hooks && ln -sfn dir linked`, options: protect("linked/hooks"),
			no: `touch dir/hooks/x`, says: readOnly, yes: `touch dir/x && rm linked/x`},
		"another link in the place of that": {before: `mkdir -p dir/hooks && ln -sfn dir linked`, options: protect("linked/hooks"),
			no: `ln -sfn sub linked`, says: "busy", yes: `ln -s sub l && ln -sfn dir l && rm l`},
		"a file that says where the directory is": {before: `echo gitdir: x >gitfile`, options: protect("gitfile/hooks"),
			no: `echo gitdir: y >gitfile`, says: readOnly, yes: `grep x gitfile`},
		"another file in the place of that": {before: `echo gitdir: x >gitfile`, options: protect("gitfile/hooks"),
			no: `rm -f gitfile`, says: "busy", yes: `cp gitfile g && rm g`},
		"a program of the host that listens in the project": {no: python(`socket.socket(socket.AF_UNIX).connect('live.sock')`), says: denied,
			yes: python(`
s = socket.socket(socket.AF_UNIX); s.bind('mine.sock'); s.listen()
socket.socket(socket.AF_UNIX).connect('mine.sock'); os.remove('mine.sock')`)},
		"it listens no longer": {before: python(`socket.socket(socket.AF_UNIX).bind('dead.sock')`),
			no: python(`socket.socket(socket.AF_UNIX).connect('dead.sock')`), says: "refused", yes: `rm dead.sock`},
	}
}

func TestDetours(t *testing.T) {
	boxtest.Need(t, boxtest.Python)
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			w.WriteFile(t, filepath.Join(w.dir, ".env.example"), "secret\n", 0o644)
			w.WriteFile(t, filepath.Join(w.dir, "sub/file"), "", 0o644)
			server, err := net.Listen("unix", filepath.Join(w.dir, "live.sock"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { server.Close() })
			if err := os.Chmod(filepath.Join(w.dir, "live.sock"), 0o666); err != nil {
				t.Fatal(err)
			}
			for name, d := range detours() {
				t.Run(name, func(t *testing.T) {
					if r := w.attempt(t, attempt{script: d.before, outside: true}); r.code != 0 {
						t.Fatalf("before: %+v", r)
					}
					if r := w.attempt(t, attempt{script: d.no, options: d.options}); r.code == 0 || !strings.Contains(r.out+r.err, d.says) {
						t.Errorf("not refused with %q: %+v", d.says, r)
					}
					if r := w.attempt(t, attempt{script: d.yes, options: d.options}); r.code != 0 {
						t.Errorf("what is beside it was refused: %+v", r)
					}
				})
			}
		})
	}
}

// The start runs programs of the host. None is one that a project has in PATH.
func TestNoProgramOfTheProject(t *testing.T) {
	for _, command := range []string{"run", "doctor"} {
		t.Run(command, func(t *testing.T) {
			w := newWorld(t, mappedUser, "")
			for _, name := range []string{"newuidmap", "newgidmap", "unshare", "mount", "git", "sh"} {
				w.WriteFile(t, filepath.Join(w.dir, "bin", name), "#!/bin/sh\ntouch "+w.dir+"/mark\n", 0o755)
			}
			w.Path = filepath.Join(w.dir, "bin") + ":/usr/bin:/bin"
			args := map[string][]string{"run": {"run", "--", "true"}, "doctor": {"doctor"}}[command]
			if r := finish(t, w.agentbox(t, args...)); r.code != 0 && command == "run" || w.exists("mark") {
				t.Errorf("a program of the project ran, or the box did not: %+v", r)
			}
		})
	}
}

// A terminal that only the output or the errors go to is as much the person's.
func TestTerminalOfTheCallerIsFiltered(t *testing.T) {
	const script = `printf 'a\033]52;c;eA==\007b\033[31mc\033[21td'`
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			loud := filepath.Join(w.Home, "loud.toml")
			w.WriteFile(t, loud, "schema = 1\nextends = ['default']\n[agent]\nterminal_allow = ['clipboard']\n", 0o644)
			t.Cleanup(func() { os.Remove(loud) })
			for name, options := range map[string][]string{"\x1b]52;c;eA==\a": {"--profile", loud}, "": nil} {
				s := newScreen(t, 24, 80)
				cmd := s.on(w.agentbox(t, append(append([]string{"run"}, options...), "--", "sh", "-c", script)...))
				cmd.Stdin, cmd.SysProcAttr.Ctty = strings.NewReader(""), 1
				cmd.Run()
				if got, want := s.all(), "a"+name+"b\x1b[31mcd\x1b[0m"; !strings.HasSuffix(got, want) {
					t.Errorf("%q does not end with %q", got, want)
				}
			}
		})
	}
}

// Who writes agentbox's own files decides about the next box.
func TestOwnFilesAreNotTheAgents(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			for name, tc := range map[string]struct {
				variable, mode string
				code           int
			}{
				"sessions":              {"XDG_STATE_HOME", "rw", 65},
				"sessions, to read":     {"XDG_STATE_HOME", "ro", 65},
				"profiles":              {"XDG_CONFIG_HOME", "rw", 65},
				"profiles, to read":     {"XDG_CONFIG_HOME", "ro", 0},
				"another tool's caches": {"XDG_CACHE_HOME", "rw", 0},
			} {
				t.Run(name, func(t *testing.T) {
					cmd := w.agentbox(t, "run", "--mode", tc.mode, "--", "true")
					cmd.Env = append(cmd.Env, tc.variable+"="+filepath.Join(w.dir, "xdg"))
					if r := finish(t, cmd); r.code != tc.code {
						t.Errorf("%+v", r)
					}
					os.RemoveAll(filepath.Join(w.dir, "xdg"))
				})
			}
		})
	}
}

// The result is agentbox's word, in the place that the caller meant.
func TestResultIsNotTheAgents(t *testing.T) {
	w := newWorld(t, mappedUser, "")
	outside := filepath.Join(w.Home, "boxtest-result")
	w.WriteFile(t, filepath.Join(outside, "r.json"), "kept", 0o644)
	t.Cleanup(func() { os.RemoveAll(outside) })
	if r := w.sh(t, `mkdir out && ln -s `+outside+` planted`); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	for name, tc := range map[string]struct {
		file, script string
		code         int
	}{
		"a link that an agent made":        {"planted/r.json", "true", 64},
		"a directory":                      {"out/r.json", "true", 0},
		"a directory that the agent shuts": {"out/r.json", `echo '{"cause":"exited"}' >out/r.json; chmod 555 out`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := finish(t, w.agentbox(t, "run", "--result", tc.file, "--", "sh", "-c", tc.script))
			if r.code != tc.code {
				t.Errorf("%+v", r)
			}
			os.Chmod(filepath.Join(w.dir, "out"), 0o755)
			if data, err := os.ReadFile(filepath.Join(outside, "r.json")); string(data) != "kept" {
				t.Errorf("the file outside is %q, %v", data, err)
			}
		})
	}
}

// What cannot be held, because it is not there at the start, is named at the end.
func TestProtectedNamesThatAppear(t *testing.T) {
	w := newWorld(t, mappedUser, "")
	for _, tc := range []struct{ script, says string }{
		{"mkdir .git && touch .git/other", ""},
		{"touch .git/commondir", ".git/commondir is protected, was not there at the start"},
		{"test -e .git/commondir", ""},
	} {
		if r := w.sh(t, tc.script); r.code != 0 || (tc.says == "") != (r.err == "") || !strings.Contains(r.err, tc.says) {
			t.Errorf("%s: %+v", tc.script, r)
		}
	}
}
