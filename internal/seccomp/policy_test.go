package seccomp

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	moby "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestEveryCallStandsInExactlyOneList(t *testing.T) {
	seen := map[string]string{}
	for _, r := range slices.Concat(expand(agentAllowed, 1), expand(agentRefused, 2), expand(agentAbsent, 3), agentConditions()) {
		for _, n := range r.Names {
			if seen[n] != "" {
				t.Errorf("%s stands in %q and in %q", n, seen[n], r.About)
			}
			seen[n] = r.About
			if !slices.Contains(namesAMD64[:], n) && !slices.Contains(namesARM64[:], n) {
				t.Errorf("%q names %s, which is no system call", r.About, n)
			}
		}
	}
	for _, n := range slices.Concat(namesAMD64[:], namesARM64[:]) {
		if n != "" && seen[n] == "" {
			t.Errorf("%s stands in no list", n)
		}
	}
	for _, n := range agentHot {
		if seen[n] == "" {
			t.Errorf("hot call %s stands in no list", n)
		}
	}
}

// What agentbox allows differs from moby's default profile by these calls alone.
func TestAllowedIsMobysListLessTheCuts(t *testing.T) {
	cuts := `epoll_ctl_old epoll_wait_old fanotify_mark modify_ldt name_to_handle_at openat2 process_vm_readv
		process_vm_writev ptrace`
	extra := "uprobe"
	theirs := map[string]bool{}
	for _, s := range moby.DefaultProfile().Syscalls {
		needs := s.Includes != nil && (len(s.Includes.Caps) > 0 || len(s.Includes.Arches) > 0 &&
			!slices.Contains(s.Includes.Arches, "amd64") && !slices.Contains(s.Includes.Arches, "arm64"))
		for _, n := range s.Names {
			known := slices.Contains(namesAMD64[:], n) || slices.Contains(namesARM64[:], n)
			if s.Action == specs.ActAllow && !needs && known {
				theirs[n] = true
			}
		}
	}
	want := map[string]bool{}
	for n := range theirs {
		want[n] = true
	}
	for _, n := range strings.Fields(cuts) {
		if !theirs[n] {
			t.Errorf("%s is a cut, but moby does not allow it", n)
		}
		delete(want, n)
	}
	want[extra] = true
	got := map[string]bool{}
	for _, r := range slices.Concat(expand(agentAllowed, Allow), agentConditions()) {
		for _, n := range r.Names {
			got[n] = true
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("moby's list less the cuts, and ours (-want +got):\n%s", diff)
	}
}

func TestDescribe(t *testing.T) {
	for _, arch := range arches {
		o := Options{Arch: arch}
		var got bytes.Buffer
		enc := json.NewEncoder(&got)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(map[string]Policy{"agent": Describe(o), "init": DescribeInit(o)}); err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", arch+".json")
		if *update {
			if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", golden, diff)
		}
	}
}

func TestAnUnknownArchitectureHasNoFilterAndNoRules(t *testing.T) {
	for _, arch := range []string{"", "AMD64", "386", "riscv64"} {
		if raw, err := Agent(Options{Arch: arch}); err == nil || raw != nil {
			t.Errorf("%q: agent filter of %d instructions, error %v", arch, len(raw), err)
		}
		if raw, err := Init(Options{Arch: arch}); err == nil || raw != nil {
			t.Errorf("%q: init filter of %d instructions, error %v", arch, len(raw), err)
		}
		if diff := cmp.Diff(Policy{Arch: arch}, Describe(Options{Arch: arch})); diff != "" {
			t.Errorf("%q is described (-want +got):\n%s", arch, diff)
		}
	}
}

func TestTheZeroActionDenies(t *testing.T) {
	var zero Action
	if zero == Allow || zero.String() != "kill thread" {
		t.Errorf("the zero action is %v", zero)
	}
}

func TestALongJumpGetsASteppingStone(t *testing.T) {
	a := arch{audit: 1}
	p := Policy{Unknown: Errno(38), Default: Errno(1)}
	for i := range 1500 { // neighbours differ, so that nothing merges
		name := "call" + strings.Repeat("x", i)
		a.names = append(a.names, name)
		p.Rules = append(p.Rules, Rule{Names: []string{name}, Otherwise: Errno(200) + Action(i)})
	}
	raw, err := compile(a, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := machineOf(t, raw, a)
	for nr := range uint32(1500) {
		if got, want := m.run(t, nr, [6]uint64{}), p.Rules[nr].Otherwise; got != want {
			t.Fatalf("number %d: %v, want %v", nr, got, want)
		}
	}
	for i := range 1000 {
		name := "more" + strings.Repeat("x", i)
		a.names = append(a.names, name)
		p.Rules = append(p.Rules, Rule{Names: []string{name}, Otherwise: Errno(2000) + Action(i)})
	}
	if raw, err := compile(a, p, nil); err == nil {
		t.Errorf("a program of %d instructions is not an error", len(raw))
	}
}

func BenchmarkAgent(b *testing.B) {
	for b.Loop() {
		if _, err := Agent(Options{Arch: "amd64"}); err != nil {
			b.Fatal(err)
		}
	}
}
