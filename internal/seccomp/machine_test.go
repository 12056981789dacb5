package seccomp

import (
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

var arches = []string{"amd64", "arm64"}

const auditI386 = 0x40000003

// A machine runs a filter as the kernel would.
type machine struct {
	vm    *bpf.VM
	arch  arch
	audit uint32 // of the caller
}

func newMachine(t testing.TB, name string, build func(Options) ([]bpf.RawInstruction, error)) *machine {
	t.Helper()
	raw, err := build(Options{Arch: name})
	if err != nil {
		t.Fatal(err)
	}
	a, err := archOf(Options{Arch: name})
	if err != nil {
		t.Fatal(err)
	}
	return machineOf(t, raw, a)
}

func machineOf(t testing.TB, raw []bpf.RawInstruction, a arch) *machine {
	t.Helper()
	program, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("an instruction is not classic BPF")
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	return &machine{vm, a, a.audit}
}

// run gives the filter one struct seccomp_data. The kernel loads native words and the VM big-endian ones, so each
// word is written big-endian at the place it has on a little-endian machine.
func (m *machine) run(t testing.TB, nr uint32, args [6]uint64) Action {
	t.Helper()
	data := binary.BigEndian.AppendUint32(nil, nr)
	data = binary.BigEndian.AppendUint32(data, m.audit)
	data = append(data, make([]byte, 8)...) // instruction pointer
	for _, a := range args {
		data = binary.BigEndian.AppendUint32(data, uint32(a))
		data = binary.BigEndian.AppendUint32(data, uint32(a>>32))
	}
	got, err := m.vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return Action(uint32(got))
}

func (m *machine) call(t testing.TB, name string, args ...uint64) Action {
	t.Helper()
	nr := slices.Index(m.arch.names, name)
	if nr < 0 {
		t.Fatalf("no system call %s", name)
	}
	var six [6]uint64
	copy(six[:], args)
	return m.run(t, uint32(nr), six)
}

// decide reads a policy in the plainest way, as a person would read what explain prints.
func decide(p Policy, a arch, audit, nr uint32, args [6]uint64) Action {
	switch {
	case audit != a.audit:
		return p.Foreign
	case a.x32 && nr >= x32Bit:
		return p.X32
	case nr >= uint32(len(a.names)) || a.names[nr] == "":
		return p.Unknown
	}
	for _, r := range p.Rules {
		if !slices.Contains(r.Names, a.names[nr]) {
			continue
		}
		for _, c := range r.Clauses {
			if !slices.ContainsFunc(c.When, func(t Test) bool {
				return !slices.Contains(t.Values, uint32(args[t.Arg])&t.Mask)
			}) {
				return c.Action
			}
		}
		return r.Otherwise
	}
	return p.Default
}

// argSets are the interesting register contents: nothing, everything, and each value that some test names.
func argSets(p Policy) [][6]uint64 {
	values := []uint64{0, 1, 0xffffffff, 1 << 32, ^uint64(0)}
	for _, r := range p.Rules {
		for _, c := range r.Clauses {
			for _, t := range c.When {
				values = append(values, uint64(t.Mask), uint64(t.Mask&-t.Mask))
				for _, v := range t.Values {
					values = append(values, uint64(v), uint64(v)|1<<63, uint64(v)+1)
				}
			}
		}
	}
	slices.Sort(values)
	values = slices.Compact(values)
	sets := make([][6]uint64, 0, 2*len(values))
	for i, v := range values {
		sets = append(sets, [6]uint64{v, v, v, v, v, v})
		w := values[(i*7+3)%len(values)]
		sets = append(sets, [6]uint64{unix.AF_INET, v, w, v, w, v}, [6]uint64{v, w, v, w, v, w})
	}
	return sets
}
