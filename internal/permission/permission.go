// Package permission compiles a profile's tool rules into what each layer enforces.
//
// [Compile] is pure: it takes a merged profile and gives, for each rule, the layers that hold it. A denial of reading
// becomes a mask, one of editing a protected path, one of fetching an entry of network.deny; these hold whatever
// program the agent starts. Every rule is also for the hook that answers tool calls, and for the client's managed
// settings. What only those two see is text that the agent chose, and the rule is marked as advisory.
//
// Deny beats ask, and ask beats allow. One exception: a denial of everything ("*", "WebFetch(domain:*)", "Read(**)")
// means nothing else, so that more specific allows survive it. The client knows no such exception; where an allow
// survives, the denial is kept out of its settings and is the hook's and the proxy's alone. "ask" is deny where nobody
// can be asked, in every layer.
//
// What it promises: a denial adds to masks, protections and denied hosts, and never takes one away; a Rule that one of
// the layers would read otherwise, or would silently leave out, is a finding. An allow of a domain is the only rule
// that widens anything, and its row says so; that it comes from a layer that is trusted is for profile.Merge to see to.
//
// What it does not: it looks at no file, and it does not answer tool calls.
package permission

import (
	"fmt"
	"slices"

	"agentbox/profile"
)

// A Layer is one of those that can hold a Rule.
type Layer string

// The layers, from the one that is hardest to get around to the one that is easiest.
const (
	Mask     Layer = "mask"     // the content cannot be read
	Protect  Layer = "protect"  // the file cannot be written
	Egress   Layer = "egress"   // the proxy, which is the only way out
	Hook     Layer = "hook"     // the answer to a tool call
	Settings Layer = "settings" // the client's own rules, where the agent cannot change them
)

// An Effect is what came of a Rule in one layer.
type Effect struct {
	Layer Layer  `json:"layer"`
	What  string `json:"what"` // the pattern, the host, the answer or the setting, for people
}

// A Row is one rule and what holds it.
type Row struct {
	Key      string   `json:"key"` // in the merged profile: permissions.deny[2]
	Rule     string   `json:"rule"`
	Layers   []Effect `json:"layers"`
	Advisory bool     `json:"advisory"` // no kernel layer and no proxy holds it
	Widens   bool     `json:"widens"`   // it lets out what network.allow does not
	Why      string   `json:"why,omitempty"`
}

// Compiled is what came of the rules. The lists belong behind the profile's own, where the last pattern that matches
// wins; [Compiled.Lay] puts them there.
type Compiled struct {
	Rows             []Row    `json:"rows"`
	WorkspaceMask    []string `json:"workspace_mask"`
	WorkspaceProtect []string `json:"workspace_protect"`
	RootfsMask       []string `json:"rootfs_mask"`
	NetworkAllow     []string `json:"network_allow"`
	NetworkDeny      []string `json:"network_deny"`
	Settings         []byte   `json:"-"` // managed-settings.json; nil unless Options name a hook and the workspace

	items []item // of the lists, each with its rule
}

// Options are the facts of a session that rules depend on. The zero value is the strictest.
type Options struct {
	HookCommand   []string          // program and arguments in the box that answer a tool call
	HookTimeout   int               // seconds the client waits for it; 0 leaves its own default
	Terminal      bool              // somebody is there who can be asked
	Bypass        bool              // the client may be put into its bypass mode
	SkipPreflight bool              // the client does not ask its maker about a host before it fetches
	Env           map[string]string // variables that the client sets for itself
	Workspace     string            // its absolute path in the box
	Home          string            // the home directory in the box
}

// Compile says what each layer does about the rules of a profile. A profile with a fatal finding must not be run; what
// the other rules compile to is returned beside it. Findings name the key of the merged profile.
func Compile(p profile.Profile, o Options) (Compiled, profile.Findings) {
	c := &compiler{p: p, o: o, settings: managedRules{Allow: []string{}, Ask: []string{}, Deny: []string{}}}
	c.allowed = c.parseAllowed()
	for _, list := range []struct {
		key     string
		rules   []string
		verdict verdict
	}{
		{"permissions.deny", p.Permissions.Deny, deny},
		{"permissions.ask", p.Permissions.Ask, ask},
		{"permissions.allow", p.Permissions.Allow, allow},
	} {
		for i, text := range list.rules {
			c.rule(fmt.Sprintf("%s[%d]", list.key, i), text, list.verdict)
		}
	}
	c.out.Settings = c.managedSettings()
	return c.out, c.found
}

// A verdict is what a Rule says about a call. The zero value denies.
type verdict uint8

const (
	deny verdict = iota
	ask
	allow
)

func (v verdict) String() string {
	switch v {
	case ask:
		return "ask"
	case allow:
		return "allow"
	}
	return "deny"
}

type compiler struct {
	p        profile.Profile
	o        Options
	allowed  []Rule // what the profile allows
	out      Compiled
	settings managedRules
	found    profile.Findings
	row      Row  // of the rule at hand
	refused  bool // the rule at hand has a fatal finding
}

func (c *compiler) parseAllowed() []Rule {
	var list []Rule
	for _, text := range c.p.Permissions.Allow {
		if r, problem := split(text); problem == "" {
			list = append(list, r)
		}
	}
	return list
}

// rule compiles one rule. One that is refused has no row, and nothing comes of it.
func (c *compiler) rule(key, text string, v verdict) {
	c.row, c.refused = Row{Key: key, Rule: text, Layers: []Effect{}}, false
	r, problem := split(text)
	if problem == "" {
		problem = r.problem()
	}
	if problem != "" {
		c.refuse(fmt.Sprintf("%q %s", text, problem), `write "Tool" or "Tool(pattern)" ("Bash(git push:*)")`)
		return
	}
	answer := v.String()
	if v == ask && !c.o.Terminal {
		v, answer = deny, "deny: nobody is there to ask"
	}
	switch {
	case v == deny:
		c.deny(r)
	case v == ask:
		c.why("an answer is a person's, and no layer of the kernel waits for one")
	default:
		c.allow(r)
	}
	if c.refused {
		return
	}
	held := slices.ContainsFunc(c.row.Layers, func(e Effect) bool { return e.Layer == Mask || e.Layer == Protect || e.Layer == Egress })
	c.row.Advisory = !held
	if len(c.o.HookCommand) > 0 {
		c.effect(Hook, answer)
	}
	c.setting(r, v)
	c.out.Rows = append(c.out.Rows, c.row)
}

// deny finds the layer below the client that refuses what a Rule names.
func (c *compiler) deny(r Rule) {
	switch {
	case c.survived(r) && r.Tool != "WebFetch":
		c.why("it means nothing else: what permissions.allow names survives it, so that nothing can be masked or protected for good")
	case r.Tool == "WebFetch" && r.Spec != "":
		c.denyDomain(r)
	case r.Tool == "Read" && r.Spec != "":
		c.hide(r)
	case Edits(r.Tool) && r.Spec != "":
		c.protect(r)
	default:
		c.why(unheld(r))
	}
}

// allow widens the network for a domain; every other allow is an answer and no more.
func (c *compiler) allow(r Rule) {
	switch {
	case r.Tool == "*":
		c.refuse(`"*" would allow every tool`, "name the tools")
	case r.Tool == "WebFetch" && r.Spec != "":
		c.allowDomain(r)
	default:
		c.why("it is an answer to the call; what is masked, protected or not in network.allow stays so")
	}
}

// unheld says why nothing but the hook holds a denial.
func unheld(r Rule) string {
	switch {
	case r.Tool == "Bash":
		return "a command can be written in more ways than a text shows; what it does is for masks, protected paths and network.allow to hold"
	case r.Tool == "*":
		return "programs that an allowed tool starts are no tool calls"
	case r.Tool == "Read" || Edits(r.Tool):
		return "it names the tool and no path; programs that the agent starts are not the tool"
	case r.Tool == "WebFetch":
		return "it names the tool and no domain; for other clients network.allow is what counts"
	}
	return "the tool has no counterpart in the kernel"
}

// survived reports a denial of everything that a more specific allow survives.
func (c *compiler) survived(r Rule) bool {
	return r.All() && slices.ContainsFunc(c.allowed, func(a Rule) bool {
		same := a.Tool == r.Tool || Edits(a.Tool) && Edits(r.Tool)
		return r.Tool == "*" || same && a.Spec != "" && !a.All()
	})
}

func (c *compiler) effect(l Layer, what string) { c.row.Layers = append(c.row.Layers, Effect{l, what}) }

func (c *compiler) why(text string) {
	if c.row.Why != "" {
		text = c.row.Why + "; " + text
	}
	c.row.Why = text
}

func (c *compiler) refuse(msg, hint string) {
	c.refused = true
	c.found = append(c.found, profile.Finding{Key: c.row.Key, Message: msg, Hint: hint})
}
