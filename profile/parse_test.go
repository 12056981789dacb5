package profile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseFindsEverythingInPlace(t *testing.T) {
	_, fs := Parse(user("box.toml", "schema = true\n\n[agent]\n  usr = \"x\"\n  command = [\"a\",\n    7]\n[[mount]]\ntarget = 1\n[[mount]]\noptions = [\"ro\", 2]"))
	got := make([]string, len(fs))
	for i, f := range fs {
		got[i], _, _ = strings.Cut(f.String(), ": wants")
	}
	want := []string{
		"box.toml:1:1: schema",
		`box.toml:4:3: agent.usr: there is no such key`,
		"box.toml:6:5: agent.command[1]",
		"box.toml:7:1: mount[0]: has no target",
		"box.toml:8:1: mount[0].target",
		"box.toml:9:1: mount[1]: has no target",
		"box.toml:10:18: mount[1].options[1]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAMisspeltKeyIsGuessed(t *testing.T) {
	for in, want := range map[string]string{
		`agent.envpass = []`:       `did you mean "env_pass"?`,
		`workspce.mode = "ro"`:     `did you mean "workspace"?`,
		`Schema = 1`:               `write "schema"`,
		`network.open_files = 1`:   `did you mean "limits.open_files"?`,
		`rootfs.colour = 1`:        "the keys here are source, expose, mask",
		`agent.comamnd = []`:       `did you mean "command"?`,
		`xxxxxxxxxxxxxxxxxxxx = 1`: "",
	} {
		_, fs := Parse(user("box.toml", in))
		if len(fs) != 1 || fs[0].Hint != want {
			t.Errorf("%s: got %v (hint %q), want hint %q", in, fs, fs[0].Hint, want)
		}
	}
}

func TestHostileFilesAreRefusedQuickly(t *testing.T) {
	for name, data := range map[string]string{
		"a huge file":             strings.Repeat("# x\n", maxBytes),
		"deep nesting":            "a = " + strings.Repeat("[", maxBytes/2),
		"deep nesting that fits":  "a = " + strings.Repeat("[", 10000) + strings.Repeat("]", 10000),
		"deep dotted keys":        strings.Repeat("a.", maxBytes/2-9) + "a = 1",
		"not UTF-8":               "a = \"\xff\"",
		"a NUL":                   "agent.command = [\"a\\u0000\"]",
		"a key that is very long": strings.Repeat("k", 10000) + " = 1",
	} {
		t.Run(name, func(t *testing.T) {
			if _, fs := Parse(user("box.toml", data)); len(fs.Fatal()) == 0 {
				t.Error("nothing was found")
			}
		})
	}
}

func TestFindingsPrintNothingATerminalObeys(t *testing.T) {
	f := Finding{File: "a\x1b[2J.toml", Key: "b\n", Line: 1, Message: "c\u202ed \"quoted\" é"}
	if got, want := f.String(), `a\x1b[2J.toml:1:1: b\n: c\u202ed "quoted" é`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestFindingString(t *testing.T) {
	for want, f := range map[string]Finding{
		"box.toml:3:7: wrong":                  {File: "box.toml", Line: 3, Col: 7, Message: "wrong"},
		"box.toml: network.allow[1]: wrong":    {File: "box.toml", Key: "network.allow[1]", Message: "wrong"},
		"--network: network.mode: wrong":       {File: "--network", Key: "network.mode", Message: "wrong"},
		"network.mode: wrong":                  {Key: "network.mode", Message: "wrong"},
		"box.toml:3:1: mount[2].source: wrong": {File: "box.toml", Line: 3, Key: "mount[2].source", Message: "wrong"},
	} {
		if got := f.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestIDs(t *testing.T) {
	for user, want := range map[string][2]int{"1000:1001": {1000, 1001}, "0:0": {-1, -1}, "": {-1, -1}, "a:b": {-1, -1}} {
		if uid, gid := (Agent{User: user}).IDs(); uid != want[0] || gid != want[1] {
			t.Errorf("IDs of %q = %d, %d, want %v", user, uid, gid, want)
		}
	}
}
