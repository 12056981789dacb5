// Package hook answers one tool call of an agent from the rules of a profile.
//
// It is pure: what a path leads to is asked of a [Resolver]. What cannot be understood is denied. Then come the denials of
// the profile, the commands that are known as dangerous, its "ask" and its "allow". A call that none of them names is left
// to the agent's own mode ([None]), or denied where the profile denies everything.
//
// The answer saves the agent a try and the person a question. It is not the boundary: a command can do what its text does
// not show, and what it may do is for the box, its masks and its proxy to hold.
package hook

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"agentbox/internal/permission"
	"agentbox/profile"
)

// A Verdict is what becomes of a call. The zero value denies.
type Verdict uint8

// The verdicts.
const (
	Deny  Verdict = iota
	Ask           // a person decides
	Allow         // it runs without a question
	None          // nothing was said: the agent's own mode decides
)

func (v Verdict) String() string { return [...]string{"deny", "ask", "allow", "none"}[v] }

// Options are the facts of a session that answers depend on. The zero value is the strictest.
type Options struct {
	Workspace, Home string // in the box
	Terminal        bool   // somebody is there who can be asked
	Dangerous       Verdict
}

// A Resolver follows the links of an absolute path. Of one that does not exist it resolves what does.
type Resolver interface {
	Resolve(name string) (string, error)
}

// An Answer is what the agent is told.
type Answer struct {
	Verdict Verdict
	Reason  string // for the model: what is wrong, and what to do instead
	Rule    string // the key of the profile that decided, or the name of a rule that every profile has
	Event   Event

	broken bool // the event could not be understood
}

// A Policy answers the calls of one box.
type Policy struct {
	o                Options
	deny, ask, allow []rule
	hidden, held     []places // that are not read, and not written
	network          *network
	star             bool // what no allow names is denied
}

// A rule is one of the profile.
type rule struct {
	permission.Rule
	key   string
	where *pattern // of rules about paths
}

// New prepares the rules of a profile. One that no layer understands is an error.
func New(p profile.Profile, o Options) (*Policy, error) {
	policy := &Policy{o: o}
	for _, list := range []struct {
		key   string
		texts []string
		into  *[]rule
	}{{"permissions.deny", p.Permissions.Deny, &policy.deny}, {"permissions.ask", p.Permissions.Ask, &policy.ask}, {"permissions.allow", p.Permissions.Allow, &policy.allow}} {
		for i, text := range list.texts {
			key := fmt.Sprintf("%s[%d]", list.key, i)
			r, ok := permission.ParseRule(text)
			if !ok {
				return nil, fmt.Errorf("%s: %q is no rule", key, text)
			}
			one := rule{Rule: r, key: key}
			if aboutPaths(r.Tool) && r.Spec != "" {
				where := policy.pattern(r.Spec)
				one.where = &where
			}
			*list.into = append(*list.into, one)
		}
	}
	policy.star = slices.ContainsFunc(policy.deny, func(r rule) bool { return r.Tool == "*" })
	policy.hidden = []places{policy.places("workspace.mask", p.Workspace.Mask), policy.places("rootfs.mask", p.Rootfs.Mask)}
	policy.held = []places{policy.places("workspace.protect", p.Workspace.Protect)}
	policy.network = newNetwork(p.Network)
	return policy, nil
}

// Decide answers an event.
func (p *Policy) Decide(event []byte, r Resolver) Answer {
	e, err := ParseEvent(event)
	if err != nil {
		return Answer{Event: e, broken: true, Rule: "default: not-understood", Reason: "this call was not understood, so it was refused: " + err.Error()}
	}
	if e.Name != PreToolUse {
		return Answer{Verdict: None, Event: e}
	}
	a := p.decide(call{p: p, Event: e, resolver: r})
	if a.Verdict == Ask && !p.o.Terminal {
		a.Verdict, a.Reason = Deny, a.Reason+" Nobody is there to ask."
	}
	a.Event, a.Reason = e, shown(a.Reason)
	return a
}

// decide takes the strictest of what the parts of a call say.
func (p *Policy) decide(c call) Answer {
	fields, err := fieldsOf(c.Event)
	if err != nil {
		return Answer{broken: true, Rule: "default: not-understood", Reason: "this call was not understood, so it was refused: " + err.Error()}
	}
	c.fields = fields
	if looksLike := c.lookalike(); looksLike != "" {
		return Answer{Rule: "default: unknown-tool", Reason: fmt.Sprintf("no tool is called %q: did you mean %s?", c.Tool, looksLike)}
	}
	if r, ok := c.toolRule(p.deny, true); ok {
		return c.refused(r)
	}
	for _, check := range []func() (Answer, bool){c.paths, c.url} {
		if a, stop := check(); stop {
			return a
		}
	}
	if c.Tool == "Bash" {
		return c.bash(textOf(fields["command"]))
	}
	if a, found := c.dangerousWrite(); found {
		return a
	}
	if r, ok := c.toolRule(p.ask, true); ok {
		return Answer{Verdict: Ask, Rule: r.key, Reason: fmt.Sprintf("%s asks a person about %s.", r.key, c.Tool)}
	}
	if r, ok := c.toolRule(p.allow, false); ok {
		return Answer{Verdict: Allow, Rule: r.key}
	}
	return c.unnamed()
}

// unnamed is the answer to a call that no rule names.
func (c call) unnamed() Answer {
	if at := slices.IndexFunc(c.p.deny, func(r rule) bool { return r.All() && (r.Tool == "*" || sameTool(r.Tool, c.Tool)) }); at >= 0 {
		return Answer{Rule: c.p.deny[at].key, Reason: fmt.Sprintf("%s is not among what the profile allows (permissions.allow); %s denies the rest. Do it another way, or tell the person what you need.", c.what(), c.p.deny[at].key)}
	}
	return Answer{Verdict: None}
}

// A call is one question.
type call struct {
	Event
	p        *Policy
	resolver Resolver
	fields   map[string]json.RawMessage
}

func (c call) what() string {
	if c.Tool == "Bash" {
		return "this command"
	}
	return "the tool " + c.Tool + " here"
}

func (c call) refused(r rule) Answer {
	return Answer{Rule: r.key, Reason: fmt.Sprintf("%s denies %s. Do it another way, or tell the person what you need.", r.key, r)}
}

// toolRule finds a rule that names the tool of this call and, for an allow, everything that it touches. Rules about
// paths that deny are for [call.paths], and those about commands for [call.bash].
func (c call) toolRule(list []rule, strict bool) (rule, bool) {
	for _, r := range list {
		switch {
		case r.All() && strict: // means nothing else, so it comes last
		case !sameTool(r.Tool, c.Tool):
		case r.Spec == "":
			return r, true
		case c.Tool == "Bash" || strict && r.where != nil:
		case r.Tool == "WebFetch":
			if c.atDomain(r.Spec) {
				return r, true
			}
		case r.where != nil:
			if c.within(*r.where) {
				return r, true
			}
		}
	}
	return rule{}, false
}

// sameTool reports that a rule is about a tool. One about reading or editing is about every tool that does.
func sameTool(rule, tool string) bool {
	switch {
	case rule == tool, permission.Edits(rule) && permission.Edits(tool) && rule == "Edit":
		return true
	case strings.HasPrefix(rule, "mcp__") && strings.Count(rule, "__") == 1:
		return strings.HasPrefix(tool, rule+"__")
	case strings.Contains(rule, "*") && rule != "*":
		return glob(rule, tool)
	}
	return rule == "Read" && reads(tool)
}

func reads(tool string) bool {
	return slices.Contains([]string{"Read", "Grep", "Glob", "LS", "NotebookRead"}, tool)
}

func aboutPaths(tool string) bool { return reads(tool) || permission.Edits(tool) }

// lookalike names the tool that this one seems to be and is not.
func (c call) lookalike() string {
	for _, k := range permission.KnownTools() {
		if c.Tool != k && plain(c.Tool) == plain(k) {
			return k
		}
	}
	if strings.ContainsFunc(c.Tool, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "another"
	}
	return ""
}

// glob matches a text in which each star stands for anything.
func glob(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(rest, part)
		if at < 0 {
			return false
		}
		rest = rest[at+len(part):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// shown makes a reason safe to print, and short.
func shown(s string) string {
	const most = 600
	s = strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// JSON is the answer as the agent reads it; nothing for None.
func (a Answer) JSON() []byte {
	if a.Verdict == None || a.broken {
		return nil
	}
	var out struct {
		Specific struct {
			Event    string `json:"hookEventName"`
			Decision string `json:"permissionDecision"`
			Reason   string `json:"permissionDecisionReason,omitempty"`
		} `json:"hookSpecificOutput"`
	}
	out.Specific.Event, out.Specific.Decision, out.Specific.Reason = PreToolUse, a.Verdict.String(), a.Reason
	b, _ := json.Marshal(out) // texts always encode
	return b
}

// ExitCode is that of the hook: 2 refuses where no answer could be given.
func (a Answer) ExitCode() int {
	if a.broken {
		return 2
	}
	return 0
}

// Message is for standard error, which the agent shows to the model with exit code 2.
func (a Answer) Message() []byte {
	if !a.broken {
		return nil
	}
	return []byte(a.Reason + "\n")
}

// Refuse turns an answer into a denial.
func (a Answer) Refuse(why string) Answer {
	a.Verdict, a.Reason = Deny, shown(why)
	return a
}
