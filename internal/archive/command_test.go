package archive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentbox/internal/boxtest"
	"agentbox/internal/outside"
)

// program is an archive that runs a script with some lines. $there is a directory beside it.
func program(t *testing.T, lines string) (d *Destination, home string) {
	t.Helper()
	home = t.TempDir()
	path := filepath.Join(home, "archiver")
	write(t, path, "#!/bin/sh\nthere="+home+"\n"+lines+"\n")
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return to(t, &backend{archive: "command:" + path + " two  words", home: home}), home
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestWhatAProgramAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		lines, want string
		calls       int
	}{
		"0":                              {"cat >/dev/null", "shipped\nshipped", 2},
		"0, without reading":             {"exit 0", "shipped\nshipped", 2},
		"1":                              {"cat >/dev/null; exit 1", "failed: HOME/archiver: exit status 1\nfailed: HOME/archiver: exit status 1", 2},
		"75, and then 0":                 {`[ "$AGENTBOX_ARCHIVE_RETRY" = 1 ] || exit 75`, "shipped\nshipped", 4},
		"75 for ever":                    {"exit 75", "failed: HOME/archiver: exit status 75 (3 attempts)\nuntried", 3},
		"a signal":                       {"kill -9 $$", "failed: HOME/archiver: signal: killed\nfailed: HOME/archiver: signal: killed", 2},
		"its token, in all that it says": {"echo " + testToken + " >&2; echo " + testToken + "; exit 1", "failed: HOME/archiver: exit status 1\nfailed: HOME/archiver: exit status 1", 2},
	} {
		t.Run(name, func(t *testing.T) {
			d, home := program(t, "echo x >>$there/calls\n"+tc.lines)
			dir, _ := closedLogs(t, 300_000, 10)
			if got := outcomes(ship(t, dir, d)); got != strings.ReplaceAll(tc.want, "HOME", home) {
				t.Error(got)
			}
			if n := len(strings.Fields(read(t, filepath.Join(home, "calls")))); n != tc.calls {
				t.Errorf("it was called %d times", n)
			}
			noSecretBelow(t, dir, testToken)
		})
	}
}

// A program knows what it is given, and nothing else of the caller's.
func TestWhatAProgramIsGiven(t *testing.T) {
	t.Setenv("SECRET_OF_THE_CALLER", "x")
	d, home := program(t, `env | sort >$there/env; pwd >$there/pwd; echo "$#:$1:$2" >$there/args; sha256sum >$there/sum; ls -l /proc/self/fd >$there/fds`)
	dir, want := closedLogs(t, 70_000)
	if got := outcomes(ship(t, dir, d)); got != "shipped" {
		t.Fatal(got)
	}
	env := read(t, filepath.Join(home, "env"))
	for _, line := range []string{"AGENTBOX_ARCHIVE_NAME=" + first, "AGENTBOX_ARCHIVE_SHA256=" + sumOf(want[first]), "AGENTBOX_ARCHIVE_SIZE=70000", "HOME=" + home, "PATH=/usr/local/bin:/usr/bin:/bin"} {
		if !strings.Contains(env, line+"\n") {
			t.Errorf("no %s in\n%s", line, env)
		}
	}
	if strings.Contains(env, "CALLER") || strings.Contains(env, "RETRY") {
		t.Error(env)
	}
	if got := read(t, filepath.Join(home, "pwd")) + read(t, filepath.Join(home, "args")) + read(t, filepath.Join(home, "sum")); got != home+"\n2:two:words\n"+sumOf(want[first])+"  -\n" {
		t.Error(got)
	}
	if got := read(t, filepath.Join(home, "fds")); strings.Contains(got, dir) {
		t.Errorf("it has descriptors of ours:\n%s", got)
	}
}

// A program whose time is over ends, and so does what it started.
func TestProgramThatTakesTooLong(t *testing.T) {
	d, home := program(t, "sleep 1000 & echo $! >$there/child; wait")
	c, ok := d.store.(*command)
	if !ok {
		t.Fatal(d.store)
	}
	c.time = 500 * time.Millisecond
	dir, _ := closedLogs(t, 10)
	if got := outcomes(ship(t, dir, d)); !strings.HasSuffix(got, "it took longer than 500ms") {
		t.Error(got)
	}
	child := "/proc/" + strings.TrimSpace(read(t, filepath.Join(home, "child"))) + "/stat"
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); ; <-tick.C {
		stat, err := os.ReadFile(child)
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("what it started is still there: %s", stat)
		}
	}
}

func TestProgramsThatAreNoArchive(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare   func(dir, path string) error
		workspace bool // it is the program's directory
		want      string
	}{
		"one of the person's":               {func(_, path string) error { return os.Chmod(path, 0o755) }, false, "shipped"},
		"one that others may write":         {func(_, path string) error { return os.Chmod(path, 0o722) }, false, "nobody else may write to it"},
		"one that is no program":            {func(_, path string) error { return os.Chmod(path, 0o600) }, false, "is not a program outside the workspace"},
		"one that is not there":             {func(_, path string) error { return os.Remove(path) }, false, "is not a program outside the workspace"},
		"one of the workspace":              {func(_, path string) error { return os.Chmod(path, 0o700) }, true, "is not a program outside the workspace"},
		"one that a link outside leads to":  {func(dir, path string) error { return moveAndLink(filepath.Dir(dir), path) }, true, "shipped"},
		"one in a directory of everybody's": {func(dir, path string) error { return errors.Join(os.Chmod(path, 0o700), os.Chmod(dir, 0o777)) }, false, "others may write to "},
		"one whose name leads into the workspace": {func(dir, path string) error {
			inside := filepath.Join(dir, "inside")
			return errors.Join(os.Rename(path, inside), os.Symlink(inside, path))
		}, true, "is not a program outside the workspace"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "bin")
			path := filepath.Join(dir, "archiver")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, path, "#!/bin/sh\nexit 0\n")
			if err := errors.Join(os.Chmod(path, 0o700), tc.prepare(dir, path)); err != nil {
				t.Fatal(err)
			}
			d := to(t, &backend{archive: "command:" + path, home: t.TempDir()})
			if c, ok := d.store.(*command); ok && tc.workspace {
				c.place.Workspace = dir
			}
			logs, _ := closedLogs(t, 10)
			if got := outcomes(ship(t, logs, d)); !strings.Contains(got, tc.want) {
				t.Error(got)
			}
		})
	}
}

// Root who asks for somebody else runs their program as them.
func TestProgramOfAnotherUser(t *testing.T) {
	boxtest.Need(t, boxtest.Root)
	account := boxtest.User(t)
	home := boxtest.Project(t, account)
	path := filepath.Join(home, "archiver")
	account.WriteFile(t, path, "#!/bin/sh\nid -u >"+home+"/who\n", 0o700)
	d := to(t, &backend{archive: "command:" + path, home: home})
	logs, _ := closedLogs(t, 10)
	if got := outcomes(ship(t, logs, d)); got != "shipped" {
		t.Fatal(got)
	}
	if got := read(t, filepath.Join(home, "who")); strings.TrimSpace(got) != fmt.Sprint((outside.Place{Home: home}).UID()) || strings.TrimSpace(got) == "0" {
		t.Errorf("it ran as %s", got)
	}
}
