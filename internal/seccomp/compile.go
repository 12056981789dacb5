package seccomp

import (
	"errors"
	"fmt"

	"golang.org/x/net/bpf"
)

// Where struct seccomp_data keeps what the filter reads. Both architectures are little-endian, so the low half of
// an argument comes first.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
)

// maxInstructions is the kernel's BPF_MAXINSNS.
const maxInstructions = 4096

// A span is a run of numbers that one rule decides, up to the next span.
type span struct {
	first uint32
	rule  int
}

// compile lays the program out as: foreign table, the hot calls one by one, x32, then a binary search over spans.
func compile(a arch, p Policy, hot []string) ([]bpf.RawInstruction, error) {
	rules := append([]Rule{{Otherwise: p.Unknown}, {Otherwise: p.Default}}, p.Rules...)
	byName := make(map[string]int, len(a.names))
	for i, r := range rules {
		for _, n := range r.Names {
			if byName[n] != 0 {
				return nil, fmt.Errorf("system call %s stands in two rules", n)
			}
			byName[n] = i
		}
	}
	var prog program
	next := prog.search(rules, spans(a, rules, byName, hot))
	if a.x32 {
		next = prog.jump(bpf.JumpGreaterOrEqual, x32Bit, prog.ret(p.X32), next)
	}
	for i := len(hot) - 1; i >= 0; i-- {
		if nr := number(a, hot[i]); nr >= 0 {
			next = prog.jump(bpf.JumpEqual, uint32(nr), prog.rule(rules[byName[hot[i]]]), next)
		}
	}
	next = prog.load(offNumber, next)
	next = prog.jump(bpf.JumpEqual, a.audit, next, prog.ret(p.Foreign))
	prog.load(offArch, next)
	return prog.assemble()
}

// spans merges neighbours with the same outcome. Hot calls are decided before the search: they take the outcome of
// the number before them and so cost nothing.
func spans(a arch, rules []Rule, byName map[string]int, hot []string) []span {
	early := make(map[string]bool, len(hot))
	for _, n := range hot {
		early[n] = true
	}
	var list []span
	add := func(nr int, rule int) {
		if n := len(list); n > 0 {
			last := rules[list[n-1].rule]
			if list[n-1].rule == rule || last.Clauses == nil && rules[rule].Clauses == nil &&
				last.Otherwise == rules[rule].Otherwise {
				return
			}
		}
		list = append(list, span{uint32(nr), rule})
	}
	for nr, name := range a.names {
		switch rule, named := byName[name]; {
		case name == "":
			add(nr, 0)
		case len(list) > 0 && early[name]:
		case named:
			add(nr, rule)
		default:
			add(nr, 1)
		}
	}
	add(len(a.names), 0)
	return list
}

func number(a arch, name string) int {
	for nr, n := range a.names {
		if n == name {
			return nr
		}
	}
	return -1
}

// A label is the place of an instruction, counted from the end of the program.
type label int

// A program is written from its end to its beginning. All BPF jumps go forward, so every target is already placed
// when a jump to it is written, and a jump that is too long gets a stepping stone on the spot.
type program struct {
	reversed []bpf.Instruction
	returns  map[Action]label
}

// reach is how far a conditional jump may go, less one for a stepping stone written in between.
const reach = 254

func (p *program) put(in bpf.Instruction) label {
	p.reversed = append(p.reversed, in)
	return p.here()
}

// here is the instruction written last: the one that the next to be written falls through to.
func (p *program) here() label { return label(len(p.reversed)) }

func (p *program) load(offset uint32, next label) label {
	return p.before(bpf.LoadAbsolute{Off: offset, Size: 4}, next)
}

// before writes an instruction that goes on to next.
func (p *program) before(in bpf.Instruction, next label) label {
	if next != p.here() {
		p.put(bpf.Jump{Skip: uint32(p.here() - next)})
	}
	return p.put(in)
}

func (p *program) ret(a Action) label {
	if at, ok := p.returns[a]; ok && p.here()-at < reach {
		return at
	}
	if p.returns == nil {
		p.returns = make(map[Action]label)
	}
	p.returns[a] = p.put(bpf.RetConstant{Val: uint32(a)})
	return p.returns[a]
}

func (p *program) near(to label) label {
	if p.here()-to < reach {
		return to
	}
	return p.put(bpf.Jump{Skip: uint32(p.here() - to)})
}

func (p *program) jump(cond bpf.JumpTest, val uint32, yes, no label) label {
	yes = p.near(yes)
	no = p.near(no)
	return p.put(bpf.JumpIf{
		Cond: cond, Val: val, SkipTrue: uint8(p.here() - yes), SkipFalse: uint8(p.here() - no),
	})
}

func (p *program) search(rules []Rule, list []span) label {
	if len(list) == 1 {
		return p.rule(rules[list[0].rule])
	}
	mid := len(list) / 2
	above := p.search(rules, list[mid:])
	below := p.search(rules, list[:mid])
	return p.jump(bpf.JumpGreaterOrEqual, list[mid].first, above, below)
}

func (p *program) rule(r Rule) label {
	next := p.ret(r.Otherwise)
	for i := len(r.Clauses) - 1; i >= 0; i-- {
		c := r.Clauses[i]
		yes := p.ret(c.Action)
		for j := len(c.When) - 1; j >= 0; j-- {
			yes = p.test(c.When[j], yes, next)
		}
		next = yes
	}
	return next
}

func (p *program) test(t Test, yes, no label) label {
	if len(t.Values) == 1 && t.Values[0] == 0 {
		return p.load(offArgs+8*uint32(t.Arg), p.jump(bpf.JumpBitsSet, t.Mask, no, yes))
	}
	at := no
	for i := len(t.Values) - 1; i >= 0; i-- {
		at = p.jump(bpf.JumpEqual, t.Values[i], yes, at)
	}
	if t.Mask != every {
		at = p.before(bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: t.Mask}, at)
	}
	return p.load(offArgs+8*uint32(t.Arg), at)
}

func (p *program) assemble() ([]bpf.RawInstruction, error) {
	n := len(p.reversed)
	if n >= maxInstructions {
		return nil, fmt.Errorf("system call filter has %d instructions, the kernel takes %d", n, maxInstructions)
	}
	raw := make([]bpf.RawInstruction, n)
	for i, in := range p.reversed {
		var err error
		if raw[n-1-i], err = in.Assemble(); err != nil {
			return nil, fmt.Errorf("system call filter: %w", err)
		}
	}
	if n == 0 {
		return nil, errors.New("system call filter is empty")
	}
	return raw, nil
}
