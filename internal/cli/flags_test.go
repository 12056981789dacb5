package cli

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"agentbox/profile"
)

func TestMountRow(t *testing.T) {
	for name, test := range map[string]struct {
		in   string
		want map[string]any
		err  string
	}{
		"a bind": {in: "type=bind,source=/a,target=/b,rw",
			want: map[string]any{"type": "bind", "source": "/a", "target": "/b", "options": []string{"rw"}}},
		"docker's words": {in: "type=bind,src=~/a,dst=/b", want: map[string]any{"type": "bind", "source": "~/a", "target": "/b"}},
		"a tmpfs":        {in: "type=tmpfs,target=/t,size=1MiB,noexec", want: map[string]any{"type": "tmpfs", "target": "/t", "size": "1MiB", "options": []string{"noexec"}}},
		"a comma in a path": {in: `type=bind,"source=/a,b",target=/b`,
			want: map[string]any{"type": "bind", "source": "/a,b", "target": "/b"}},
		"a field that there is not": {in: "type=bind,readonly=true", err: `--mount has no field "readonly"`},
		"a field twice":             {in: "source=/a,src=/b", err: "--mount names the source twice"},
		"an open quote":             {in: `"type=bind`, err: `--mount "\"type=bind" cannot be read`},
	} {
		got, err := mountRow(test.in)
		if test.err != "" {
			if err == nil || err.Error() != test.err {
				t.Errorf("%s: got error %v, want %s", name, err, test.err)
			}
			continue
		}
		if diff := cmp.Diff(any(test.want), got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
		}
	}
}

func TestEveryOptionIsAKeyOfTheProfile(t *testing.T) {
	keys := map[string]bool{}
	for _, k := range profile.Schema() {
		keys[k.Path] = k.Built
	}
	for _, f := range profileFlags {
		path := f.key
		if f.section != "" {
			path = f.section + "." + f.key
		}
		if !keys[path] {
			t.Errorf("--%s sets %s, which is no key of this version", f.name, path)
		}
	}
}

func TestIDAndCommand(t *testing.T) {
	for name, test := range map[string]struct {
		line []string // what follows "agentbox exec"
		id   string
		want []string
		bad  bool
	}{
		"only a command":             {line: []string{"--", "ls", "-l"}, want: []string{"ls", "-l"}},
		"a prefix and a command":     {line: []string{"1ab", "--", "ls"}, id: "1ab", want: []string{"ls"}},
		"dashes of the command's":    {line: []string{"--", "git", "--", "x"}, want: []string{"git", "--", "x"}},
		"a whole ID without dashes":  {line: []string{"0123456789ab", "ls"}, id: "0123456789ab", want: []string{"ls"}},
		"a command without dashes":   {line: []string{"ls", "/"}, want: []string{"ls", "/"}},
		"nothing":                    {bad: true},
		"only an ID":                 {line: []string{"0123456789ab"}, bad: true},
		"an ID and dashes":           {line: []string{"1ab", "--"}, bad: true},
		"an option after the ID":     {line: []string{"0123456789ab", "-T", "ls"}, bad: true},
		"a command that is an ID's":  {line: []string{"--", "0123456789ab", "x"}, want: []string{"0123456789ab", "x"}},
		"an empty name of a command": {line: []string{"--", ""}, bad: true},
	} {
		args := test.line
		if len(args) > 0 && args[0] == "--" {
			args = args[1:] // as the library does
		}
		id, command, err := idAndCommand(args, append([]string{"agentbox", "exec"}, test.line...))
		if test.bad {
			var usage *usageError
			if !errors.As(err, &usage) {
				t.Errorf("%s: got %q %q, %v; want a usage error", name, id, command, err)
			}
			continue
		}
		if diff := cmp.Diff(test.want, command); err != nil || id != test.id || diff != "" {
			t.Errorf("%s: got ID %q, error %v (-want +got)\n%s", name, id, err, diff)
		}
	}
}

func TestParseSignal(t *testing.T) {
	for text, want := range map[string]unix.Signal{"TERM": unix.SIGTERM, "sigint": unix.SIGINT, "9": unix.SIGKILL, "Usr1": unix.SIGUSR1} {
		if got, err := parseSignal(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "FOO", "0", "65", "-1"} {
		if got, err := parseSignal(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"run", "explain", "check", "trust", "kill"}
	for word, want := range map[string]string{"rum": "run", "RUN": "run", "explan": "explain", "chekc": "check", "diff": "", "x": ""} {
		if got := nearest(word, names); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Second: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m01s", 3660 * time.Second: "1h01m"} {
		if got := seconds(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}
