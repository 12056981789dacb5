package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"agentbox/internal/audit"
	"agentbox/internal/boxinit"
	"agentbox/internal/hook"
	"agentbox/internal/hook/gate"
	"agentbox/internal/hook/script"
	"agentbox/internal/programs"
	"agentbox/internal/session"
)

// toolCalls answers the hook of one box, and puts what it is asked on the record.
type toolCalls struct {
	policy  *hook.Policy
	scripts []script.Script
	record  *recorder
	full    *fullness
	kill    bool // a box whose hook broke
	held    *heldBack
	gate    *gate.Gate

	mu     sync.Mutex
	asked  map[string]hook.Verdict // by the agent's id of the call
	broken bool                    // and nobody has been told yet
	froze  bool                    // the box, at least once
}

// tools prepares what answers the hook; nil where the box has none.
func (c *caller) tools(p policy, record *recorder, full *fullness) (*toolCalls, error) {
	if !p.plan.Hook {
		return nil, nil
	}
	policy, err := p.toolPolicy()
	if err != nil {
		return nil, err
	}
	t := &toolCalls{policy: policy, record: record, full: full, asked: map[string]hook.Verdict{},
		kill: p.effective.Profile.Permissions.OnBrokenHook == "kill", held: &heldBack{c: c, terminal: full.terminal}}
	if t.scripts, err = p.scripts(); err != nil {
		return nil, err
	}
	return t, nil
}

// toolPolicy is that of the profile for the hook.
func (p policy) toolPolicy() (*hook.Policy, error) {
	o := hook.Options{Workspace: p.plan.Workspace, Home: p.plan.Files.Home, Terminal: p.plan.Terminal}
	switch p.effective.Profile.Permissions.Dangerous {
	case "ask":
		o.Dangerous = hook.Ask
	case "allow":
		o.Dangerous = hook.Allow
	}
	return hook.New(p.effective.Profile, o)
}

// usualHook is how long a hook of the profile may take that says nothing else.
const usualHook = 5 * time.Second

// scripts are the profile's own hooks. One that could not run would refuse every call, so it is said at once.
func (p policy) scripts() ([]script.Script, error) {
	var list []script.Script
	for _, row := range p.effective.Profile.Hooks {
		argv := slices.Clone(row.Command)
		argv[0] = expandHome(argv[0], p.host.Files.Home, p.host.Files.Home)
		s := script.Script{Name: row.Name, Argv: argv, Tools: row.Tools, Timeout: cmp.Or(time.Duration(row.Timeout), usualHook),
			Home: p.host.Files.Home, Workspace: p.host.Files.Workspace.Path}
		if err := s.Check(); err != nil {
			return nil, &plainError{err: fmt.Errorf("the hook %s: %w", row.Name, err)}
		}
		list = append(list, s)
	}
	return list, nil
}

// serve starts to answer; it is for launch.Label.
func (t *toolCalls) serve(l net.Listener) error {
	var err error
	t.gate, err = gate.New(l, gate.Options{Answer: t.answer, Broken: func(c gate.Caller, why string) { t.breaks(c.PID, "the hook of a tool call broke: "+why) }})
	return err
}

// close ends it, and says what was held back.
func (t *toolCalls) close() {
	if t != nil {
		t.gate.Close()
		t.held.flush()
	}
}

func (t *toolCalls) answer(ctx context.Context, event []byte, c gate.Caller) gate.Answer {
	a := t.policy.Decide(event, c)
	if a.Event.Name == hook.PostToolUse {
		return t.ran(a, c)
	}
	stopped := ""
	if a.Verdict != hook.Deny && a.Event.Name == hook.PreToolUse {
		a, stopped = t.ask(ctx, a, event)
	}
	t.mu.Lock()
	if a.Event.ID != "" {
		t.asked[a.Event.ID] = a.Verdict
	}
	t.mu.Unlock()
	err := t.append(&audit.ToolCall{Tool: audit.Text(a.Event.Tool), ID: audit.Text(a.Event.ID), Agent: audit.Text(a.Event.Session), Dir: audit.Text(a.Event.Dir),
		Input: short(a.Event.Input), Decision: audit.Text(a.Verdict.String()), Rule: audit.Text(a.Rule), Reason: audit.Text(a.Reason), PID: c.PID})
	if err != nil {
		a = a.Refuse("it cannot be put on the record")
	}
	if stopped != "" {
		go t.freeze(stopped, a.Reason)
	}
	return gate.Answer{Code: a.ExitCode(), Out: a.JSON(), Err: a.Message()}
}

// ask has the profile's own hooks say what they think of a call that the rules do not refuse. stopped is the one that
// wants the box frozen, if any.
func (t *toolCalls) ask(ctx context.Context, a hook.Answer, event []byte) (answer hook.Answer, stopped string) {
	for _, s := range t.scripts {
		if !s.Asks(a.Event.Tool) {
			continue
		}
		if r := s.Ask(ctx, event); r != nil {
			a = a.Refuse(r.Reason)
			a.Rule = "hook " + s.Name
			if r.Stop {
				stopped = a.Rule
			}
			return a, stopped
		}
	}
	return a, ""
}

const frozenHint = `"agentbox log %[1]s" shows what the agent did, "agentbox diff %[1]s" what it wrote; "agentbox resume %[1]s" lets it go on, "agentbox kill %[1]s" ends it`

// freeze stops a box because one of the profile's own hooks wants a person to look. Where it cannot be, it ends.
func (t *toolCalls) freeze(by, why string) {
	record := func() error { return t.record.commit(&audit.Freeze{By: audit.Text(by)}) }
	if t.full.freeze(context.Background(), record, why, frozenHint) {
		return
	}
	_ = t.record.commit(&audit.Kill{By: audit.Text(by), Signal: "SIGKILL"})
	t.held.say(why + "; the box could not be frozen, and was ended")
	if v := t.full.take(); v != nil {
		_ = v.box.Kill()
	}
}

// hears of each program that the box starts.
func (t *toolCalls) hears(s programs.Start) {
	if t != nil && s.Path == boxinit.Path && len(s.Argv) == 2 && s.Argv[1] == boxinit.RoleHook {
		t.gate.Expect(s.PID)
	}
}

// ran takes note of a tool that has run. It has either been asked about and was not refused, or got around its hook.
func (t *toolCalls) ran(a hook.Answer, c gate.Caller) gate.Answer {
	e := a.Event
	t.mu.Lock()
	verdict, asked := t.asked[e.ID]
	delete(t.asked, e.ID)
	t.mu.Unlock()
	switch {
	case !asked:
		t.breaks(c.PID, fmt.Sprintf("the tool %s has run, and the hook was not asked about it", e.Tool))
	case verdict == hook.Deny:
		t.breaks(c.PID, fmt.Sprintf("the tool %s has run although it was refused", e.Tool))
	}
	_ = t.append(&audit.ToolResult{Tool: audit.Text(e.Tool), ID: audit.Text(e.ID), Agent: audit.Text(e.Session), Bytes: len(e.Response), Milliseconds: e.Milliseconds, PID: c.PID})
	return gate.Answer{Code: a.ExitCode(), Out: a.JSON(), Err: a.Message()}
}

func (t *toolCalls) append(e audit.Event) error {
	if t.record.log == nil {
		return nil
	}
	if err := t.record.log.Append(e); err != nil && !t.record.goesOn {
		return err
	}
	return nil
}

// stopped reports that the box was frozen because its hook broke.
func (t *toolCalls) stopped() bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.froze
}

// breaks stops a box in which a tool may have run without an answer. Once is enough: more follows from the first.
func (t *toolCalls) breaks(pid int, why string) {
	t.mu.Lock()
	before := t.broken
	t.broken = true
	t.mu.Unlock()
	if before {
		return
	}
	go t.stop(pid, why) // a box that ends waits for every question to be over
}

func (t *toolCalls) stop(pid int, why string) {
	defer func() {
		t.mu.Lock()
		t.broken = false // after a person has looked
		t.mu.Unlock()
	}()
	if v := t.full.take(); v != nil && v.state() == session.Frozen {
		return // its time passed while nothing could run; what is left of it refuses
	}
	record := func() error {
		if err := t.record.commit(&audit.HookBroken{Why: audit.Text(why), Action: "freeze", PID: pid}); err != nil {
			return err
		}
		return t.record.commit(&audit.Freeze{By: "hook"})
	}
	if !t.kill && t.full.freeze(context.Background(), record, why, frozenHint) {
		t.mu.Lock()
		t.froze = true
		t.mu.Unlock()
		return
	}
	_ = t.record.commit(&audit.HookBroken{Why: audit.Text(why), Action: "kill", PID: pid})
	_ = t.record.commit(&audit.Kill{By: "hook", Signal: "SIGKILL"})
	t.held.say(why + "; the box was ended")
	if v := t.full.take(); v != nil {
		_ = v.box.Kill()
	}
}

// maxInput is how much of a tool call's input the record keeps.
const maxInput = 16 << 10

func short(input json.RawMessage) audit.Text {
	if len(input) > maxInput {
		return audit.Text(input[:maxInput]) + "…"
	}
	return audit.Text(input)
}
