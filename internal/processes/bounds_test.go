package processes

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a box makes too much of is left out, and it is said of each process that it was.
func TestTooMuchOfAProcess(t *testing.T) {
	file := func(data []byte) string {
		name := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	var p Process
	left := &room{texts: 1 << 20, bytes: 1 << 30}
	if err := p.arguments(file(make([]byte, maxArgs)), left); err != nil || len(p.Argv) != maxWords || !p.ArgvCut {
		t.Errorf("%d empty arguments, cut: %v, %v", len(p.Argv), p.ArgvCut, err)
	}
	p = Process{}
	if err := p.arguments(file(bytes.Repeat([]byte("a"), maxArgs+1)), left); err != nil || len(p.Argv) != 1 || len(p.Argv[0]) != maxArgs-margin || !p.ArgvCut {
		t.Errorf("%d arguments, cut: %v, %v", len(p.Argv), p.ArgvCut, err)
	}
	if err := p.variables(file(bytes.Repeat([]byte("a=\x00"), 100_000)), left); err != nil || len(p.Variables) != maxFiles || !p.VariablesCut {
		t.Errorf("%d variables, cut: %v, %v", len(p.Variables), p.VariablesCut, err)
	}
	p = Process{}
	if err := p.variables(file(append(bytes.Repeat([]byte("n"), 1<<19), "=\x00b=\x00"...)), left); err != nil || len(p.Variables) != 1 || !p.VariablesCut {
		t.Errorf("%d variables beside a long one, cut: %v, %v", len(p.Variables), p.VariablesCut, err)
	}
	p, left = Process{}, &room{texts: 2, bytes: 100}
	if err := p.arguments(file([]byte("a\x00b\x00c\x00")), left); err != nil || len(p.Argv) != 2 || !p.ArgvCut || !left.none() {
		t.Errorf("%q, cut: %v, %v", p.Argv, p.ArgvCut, err)
	}
	if err := p.variables(file([]byte("a=\x00")), left); err != nil || len(p.Variables) != 0 || !p.VariablesCut {
		t.Errorf("%q, cut: %v, %v", p.Variables, p.VariablesCut, err)
	}
	if err := p.files("/proc/self/", left); err != nil || len(p.Files) != 0 || p.FilesCut == 0 {
		t.Errorf("%d files, %d left out, %v", len(p.Files), p.FilesCut, err)
	}
}

// A socket may be called whatever its owner likes, and hides neither itself nor another.
func TestUnixSocketsOfHostileNames(t *testing.T) {
	var names []string
	for i, name := range []string{"line\nbreak", "line\n\nbreaks\n", "with a space", "0 1 2 3 4 5 6\n7 8", "\x1b[2J\xff", "plain"} {
		name = fmt.Sprintf("agentbox-test-%d-%d %s", os.Getpid(), i, name)
		l, err := net.Listen("unix", "@"+name)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		names = append(names, name)
	}
	list, _, err := sockets(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		found := 0
		for _, s := range list {
			if s.Protocol == "unix" && strings.Contains(string(s.Local), name) && s.State == "listen" && s.Inode > 0 {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%q is there %d times", name, found)
		}
	}
}
