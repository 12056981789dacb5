package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"agentbox/internal/audit"
	"agentbox/internal/escape"
)

// A builder gathers a report record by record.
type builder struct {
	r           *Report
	programs    map[string]*Program
	running     map[int]*Program // by process
	hosts       map[string]*Host
	refusals    map[string]*Refusal
	credentials map[string]*Credential
	files       map[Text]int // index in Files.List
	findings    map[string]*Finding
	moments     map[Text]int // in the time line, by type
	at          audit.Record // the record that is read
}

func newBuilder(v audit.Report, m Meanwhile) *builder {
	b := &builder{r: &Report{Version: Version, Session: Text(v.Session), Verification: v, State: m.State, Limits: []Limit{}, Degraded: []Text{},
		Timeline: []Moment{}, Samples: []Sample{}, Costs: []Cost{}, Tools: []Tool{}, Files: Files{List: []File{}}},
		programs: map[string]*Program{}, running: map[int]*Program{}, hosts: map[string]*Host{}, refusals: map[string]*Refusal{},
		credentials: map[string]*Credential{}, files: map[Text]int{}, findings: map[string]*Finding{}, moments: map[Text]int{}}
	switch v.Verdict {
	case audit.Broken:
		b.find(true, "the log was changed: %s. What follows is not told here", escape.Text(v.String()))
	case audit.Unsealed:
		if m.State != "" && len(v.Gaps) == 0 {
			break // its seal is still to come
		}
		b.find(true, "the log has no seal: %s. The session runs, its supervisor was killed, or somebody cut the log", escape.Text(v.String()))
	}
	return b
}

// find notes what deserves a look, once for each text.
func (b *builder) find(serious bool, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if f, ok := b.findings[what]; ok {
		f.Count++
	} else if len(b.findings) < maxRows {
		b.findings[what] = &Finding{Serious: serious, What: what, Record: b.at.Seq, Count: 1}
	}
}

// moment puts a record into the time line.
func (b *builder) moment(grave bool, format string, args ...any) {
	if len(b.r.Timeline) >= maxMoments || b.moments[Text(b.at.Type)] >= maxAlike {
		b.r.Omitted.Timeline++
		return
	}
	b.moments[Text(b.at.Type)]++
	b.r.Timeline = append(b.r.Timeline, Moment{Time: b.at.Time, Record: b.at.Seq, Type: Text(b.at.Type), What: fmt.Sprintf(format, args...), Grave: grave})
}

func (b *builder) seconds() float64 { return b.at.Elapsed.Seconds() }

func (b *builder) record(r audit.Record) {
	b.at, b.r.Last = r, r.Time
	if b.r.Session == "" {
		b.r.Session = Text(r.Session)
	}
	e, err := r.Event()
	if err != nil {
		return // of a newer version: a reader must accept it
	}
	switch e := e.(type) {
	case *audit.Start:
		b.start(e)
	case *audit.Ready:
		b.moment(false, "the agent runs")
	case *audit.End:
		b.r.Ended, b.r.Seconds, b.r.Cause, b.r.Limit, b.r.ExitCode = r.Time, within(e.Seconds), Text(e.Cause), Text(e.Limit), e.ExitCode
		b.moment(e.Cause != "exited", "%s after %s", b.r.Outcome(), duration(b.r.Seconds))
	case *audit.Exec:
		b.moment(false, "a person ran %s in the box", line(e.Argv))
	case *audit.Freeze:
		b.moment(true, "frozen by %s", by(e.By))
		b.find(e.By != "person", "the box was frozen by %s", by(e.By))
	case *audit.Resume:
		b.moment(false, "resumed by %s", by(e.By))
	case *audit.Kill:
		b.moment(true, "%s sent by %s", Text(e.Signal), by(e.By))
	case *audit.LimitReached:
		b.moment(true, "the limit %s %s was reached", Text(e.Name), Text(e.Value))
		b.find(false, "the limit %s %s was reached", Text(e.Name), Text(e.Value))
	case *audit.Usage:
		b.r.Samples = thin(append(b.r.Samples, Sample{b.seconds(), e.MemoryBytes, within(e.CPUSeconds), e.Pids}))
	case *audit.ProgramStart, *audit.ProgramEnd:
		b.program(e)
	case *audit.ToolCall, *audit.HookBroken:
		b.tool(e)
	case *audit.Changes, *audit.ApplyBegin, *audit.ApplyItems, *audit.Apply, *audit.ApplyUndone, *audit.Discard, *audit.Continued:
		b.workspace(e)
	default:
		b.network(e)
	}
}

func (b *builder) start(e *audit.Start) {
	r := b.r
	r.Agentbox, r.Kernel, r.Workspace, r.Mode = Text(e.Agentbox), Text(e.Kernel), Text(e.Workspace), Text(e.Mode)
	r.Profile, r.Network, r.Command, r.Started = Text(e.Profile), Text(e.Network), Text(strings.Join(words(e.Argv), " ")), b.at.Time
	for _, l := range e.Limits {
		r.Limits = append(r.Limits, Limit{Text(l.Name), Text(l.Value), Text(l.State)})
	}
	for _, d := range e.Degraded {
		r.Degraded = append(r.Degraded, Text(d.Layer))
		b.find(false, "the box was without the layer %s: %s", Text(d.Layer), Text(d.Why))
	}
	b.moment(false, "started: %s", line(e.Argv))
}

func (b *builder) program(e audit.Event) {
	p := &b.r.Programs
	p.Recorded = true
	switch e := e.(type) {
	case *audit.ProgramStart:
		if e.Missing {
			return // a shell looks for each program in all of PATH
		}
		p.Starts++
		if e.Refused != "" {
			b.refuse("program", Text(e.Path), Text(e.Refused), "")
		}
		argv := strings.Join(words(e.Argv), " ")
		group, ok := b.programs[string(e.Path)+"\x00"+argv]
		if !ok {
			if len(b.programs) >= maxRows {
				b.r.Omitted.Programs++
				if e.Refused == "" {
					delete(b.running, e.PID) // what ends is not what it ran before
				}
				return
			}
			group = &Program{Path: Text(e.Path), Argv: Text(argv), First: b.at.Time}
			b.programs[string(e.Path)+"\x00"+argv] = group
		}
		group.Starts++
		if e.Refused != "" {
			group.Refused++
			return
		}
		b.running[e.PID] = group
	case *audit.ProgramEnd:
		group := b.running[e.PID]
		delete(b.running, e.PID)
		failed := e.How == "signaled" || e.How == "exited" && e.ExitCode != 0
		if failed {
			p.Failed++
		}
		if group != nil {
			group.Longest = max(group.Longest, float64(e.Microseconds)/1e6)
			if failed {
				group.Failed++
			}
		}
	}
}

func (b *builder) refuse(what string, target, reason, rule Text) {
	key := what + "\x00" + string(target) + "\x00" + string(reason) + "\x00" + string(rule)
	if one, ok := b.refusals[key]; ok {
		one.Count++
	} else if len(b.refusals) < maxRows {
		b.refusals[key] = &Refusal{What: what, Target: target, Reason: reason, Rule: rule, Count: 1, First: b.at.Time}
		b.moment(true, "refused: %s %s (%s)", what, target, reason)
	} else {
		b.r.Omitted.Refusals++
	}
}

func (b *builder) tool(e audit.Event) {
	switch e := e.(type) {
	case *audit.ToolCall:
		if e.Decision == "deny" {
			b.refuse("tool call", Text(e.Tool)+" "+Text(e.Input), Text(e.Reason), Text(e.Rule))
		}
		if len(b.r.Tools) >= maxRows {
			b.r.Omitted.Tools++
			return
		}
		b.r.Tools = append(b.r.Tools, Tool{b.at.Time, Text(e.Tool), Text(e.Input), Text(e.Decision), Text(e.Rule), Text(e.Reason)})
	case *audit.HookBroken:
		b.moment(true, "the hook broke: %s", Text(e.Why))
		b.find(true, "the hook of a tool call broke: %s", Text(e.Why))
	}
}

// finish sorts what was gathered.
func (b *builder) finish() *Report {
	r := b.r
	r.Programs.Groups = values(b.programs, func(x, y *Program) int {
		return cmp.Or(cmp.Compare(y.Starts, x.Starts), cmp.Compare(x.Path, y.Path), cmp.Compare(x.Argv, y.Argv))
	})
	r.Hosts = values(b.hosts, func(x, y *Host) int {
		return cmp.Or(cmp.Compare(y.BytesOut, x.BytesOut), cmp.Compare(x.Host, y.Host), cmp.Compare(x.Port, y.Port))
	})
	r.Refusals = values(b.refusals, func(x, y *Refusal) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), x.First.Compare(y.First), cmp.Compare(x.Target, y.Target))
	})
	r.Credentials = values(b.credentials, func(x, y *Credential) int { return cmp.Compare(x.Name, y.Name) })
	r.Findings = values(b.findings, func(x, y *Finding) int {
		serious := func(f *Finding) int { return map[bool]int{true: 0, false: 1}[f.Serious] }
		return cmp.Or(cmp.Compare(serious(x), serious(y)), cmp.Compare(x.Record, y.Record), cmp.Compare(x.What, y.What))
	})
	if r.Running() && !r.Started.IsZero() {
		r.Seconds = max(0, b.seconds())
	}
	return r
}

func values[K comparable, V any](m map[K]*V, order func(x, y *V) int) []V {
	list := make([]*V, 0, len(m))
	for _, v := range m {
		list = append(list, v)
	}
	slices.SortFunc(list, order)
	out := make([]V, len(list))
	for i, v := range list {
		out[i] = *v
	}
	return out
}

// plus adds what a record counts. A log may say anything: no sum becomes less by it, or passes what a number holds.
func plus[T int | int64](sum, n T) T {
	if sum += max(0, n); sum < 0 {
		return math.MaxInt64
	}
	return sum
}

// within keeps a number in the range in which all that is made of it is one, too.
func within(x float64) float64 { return min(max(0, x), 1e15) }

// thin keeps a chart's points few: every second one goes when there are too many.
func thin[T any](list []T) []T {
	if len(list) <= maxSamples {
		return list
	}
	kept := list[:0]
	for i, one := range list {
		if i%2 == 0 || i == len(list)-1 {
			kept = append(kept, one)
		}
	}
	return kept
}

// by is who froze, resumed or ended a box: a person, or a rule.
func by(who audit.Text) Text {
	if who == "person" {
		return "a person"
	}
	return Text(who)
}

func words(argv []audit.Text) []string {
	out := make([]string, len(argv))
	for i, a := range argv {
		out[i] = string(a)
	}
	return out
}

func line(argv []audit.Text) string { return escape.Shorten(escape.Line(words(argv)), maxText) }

// duration is a time in the unit that suits it.
func duration(seconds float64) string {
	switch {
	case seconds < 60:
		return fmt.Sprintf("%.1f s", seconds)
	case seconds < 3600:
		return fmt.Sprintf("%d min %d s", int(seconds)/60, int(math.Mod(seconds, 60)))
	}
	return fmt.Sprintf("%d h %d min", int(seconds)/3600, int(seconds)/60%60)
}
