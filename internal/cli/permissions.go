package cli

import (
	"fmt"
	"slices"

	"agentbox/internal/agents"
	"agentbox/internal/boxinit"
	"agentbox/internal/permission"
	"agentbox/mounts"
	"agentbox/profile"
)

// hookPatience is how long the agent waits for its hook, in seconds: longer than the hook itself does.
const hookPatience = 60

// layRules has the tool rules of the profile become masks, protected paths and hosts, and the agent's own settings.
func (p *policy) layRules(terminal bool) error {
	prof := p.effective.Profile
	o := permission.Options{
		Terminal: terminal, Bypass: prof.Permissions.Bypass == "allow", SkipPreflight: true,
		Workspace: p.workspace, Home: p.host.Files.Home,
	}
	if agents.Asks(prof.Agent.Kind) {
		o.HookCommand, o.HookTimeout, o.Env = []string{boxinit.Path, boxinit.RoleHook}, hookPatience, agents.Sealed()
	}
	compiled, found := permission.Compile(prof, o)
	if len(found.Fatal()) > 0 {
		return p.located(found)
	}
	p.rules = compiled
	p.warnings = append(p.warnings, p.unheld(found)...)
	compiled.Lay(p.effective)
	return nil
}

// asksItsHook refuses a command line with which the agent would ask nobody, where a rule has no other layer.
func (p policy) asksItsHook(argv []string) error {
	prof := p.effective.Profile
	if len(argv) == 0 {
		argv = prof.Agent.Command
	}
	option := agents.Unasked(prof.Agent.Kind, argv)
	if option == "" {
		return nil
	}
	for _, r := range p.rules.Rows {
		if r.Advisory && !slices.Contains(prof.Permissions.Allow, r.Rule) {
			return p.located(profile.Findings{{Key: r.Key, Message: fmt.Sprintf("%s has the agent ask no hook, and nothing else holds %q", option, r.Rule),
				Hint: "leave out the option or the rule"}})
		}
	}
	return nil
}

// unheld warns of rules that nothing here holds: no layer below the agent can, and this agent asks no hook.
func (p policy) unheld(found profile.Findings) profile.Findings {
	if !agents.Asks(p.effective.Profile.Agent.Kind) {
		for _, r := range p.rules.Rows {
			if r.Advisory && !slices.Contains(p.effective.Profile.Permissions.Allow, r.Rule) {
				found = append(found, profile.Finding{Key: r.Key, Warning: true, Message: fmt.Sprintf("nothing holds %q: %s", r.Rule, r.Why),
					Hint: `only agents of agent.kind = "claude" ask a hook`})
			}
		}
	}
	located, _ := p.located(found).(profile.Findings)
	return located[len(p.warnings):]
}

// managed puts the agent's settings where it reads them, and nobody in the box writes. What lies over that place would
// hide them.
func (p *policy) managed() profile.Findings {
	file := agents.Managed(p.effective.Profile.Agent.Kind)
	if file == "" || p.rules.Settings == nil {
		return nil
	}
	for _, m := range p.plan.Files.Mounts {
		if mounts.Below(file, m.Target) && m.Target != "/" || mounts.Below(m.Target, file) {
			return profile.Findings{{Key: m.Why + ".target", Message: fmt.Sprintf("%s would hide %s, with the rules for the agent", m.Target, file)}}
		}
	}
	p.plan.Manage(file, string(p.rules.Settings))
	return nil
}
