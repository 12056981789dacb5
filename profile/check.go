package profile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Check says everything that is wrong with the meaning of a merged profile. Each
// finding names the file and the key path where the value was written.
func Check(e *Effective) Findings {
	c := &checker{e: e, p: &e.Profile}
	for _, check := range []func(*checker){
		(*checker).built, (*checker).words,
		(*checker).agent, (*checker).environment,
		(*checker).rootfs, (*checker).workspace, (*checker).latePatterns, (*checker).mounts,
		(*checker).limits, (*checker).network, (*checker).rules,
		(*checker).credentials, (*checker).permissions, (*checker).hooks, (*checker).audit, (*checker).alerts,
		(*checker).budget, (*checker).servers,
	} {
		check(c)
	}
	return c.inOrder()
}

type checker struct {
	e   *Effective
	p   *Profile
	out Findings
}

// add records a finding about a path of the merged profile, as the file that
// wrote it calls it.
func (c *checker) add(key, msg, hint string) { c.finding(key, complaint{msg: msg, hint: hint}) }

func (c *checker) warn(key, msg, hint string) {
	c.finding(key, complaint{msg: msg, hint: hint, warning: true})
}

func (c *checker) finding(key string, w complaint) {
	f := Finding{Key: key, Message: w.msg, Hint: w.hint, Warning: w.warning}
	rest := ""
	for p := key; p != ""; {
		if o, ok := c.e.Origins[p]; ok {
			f.File, f.Key, f.Line, f.Col = o.Layer, o.Key+rest, o.Line, o.Col
			break
		}
		cut := max(strings.LastIndexAny(p, ".["), 0)
		p, rest = p[:cut], p[cut:]+rest
	}
	c.out = append(c.out, f)
}

// inOrder sorts by layer and then by place in it.
func (c *checker) inOrder() Findings {
	slices.SortStableFunc(c.out, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(slices.Index(c.e.Layers, a.File), slices.Index(c.e.Layers, b.File)),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return c.out
}

// built refuses every key and value that this version does not have. A row is
// refused once, not for each of its fields.
func (c *checker) built() {
	const msg, hint = "not available in this version of agentbox", "remove it: agentbox refuses what it could only ignore"
	for path, o := range c.e.Origins {
		k, ok := schemaPath(path)
		if !ok || o.Layer == BuiltIn {
			continue
		}
		whole := path == k.Path && !k.inRow()
		if k.Type == TypeRows {
			whole = strings.HasSuffix(path, "]")
		}
		if whole && !k.Built {
			c.add(path, msg, hint)
		}
	}
	for path, value := range map[string]string{
		"rootfs.source": c.p.Rootfs.Source, "workspace.mode": c.p.Workspace.Mode, "network.mode": c.p.Network.Mode,
	} {
		k, _ := lookupKey(path)
		for _, n := range k.NotBuilt {
			if value == n || strings.HasSuffix(n, ":") && strings.HasPrefix(value, n) {
				c.add(path, fmt.Sprintf("%q is %s", value, msg), "remove it")
			}
		}
	}
	slices.SortFunc(c.out, func(a, b Finding) int { return cmp.Compare(a.Key, b.Key) })
}

// words checks every value whose key takes only certain words.
func (c *checker) words() {
	c.word("runtime", c.p.Runtime)
	c.word("agent.kind", c.p.Agent.Kind)
	c.word("workspace.mode", c.p.Workspace.Mode)
	c.word("workspace.upper", c.p.Workspace.Upper)
	c.word("workspace.apply", c.p.Workspace.Apply)
	c.word("network.mode", c.p.Network.Mode)
	c.word("permissions.dangerous", c.p.Permissions.Dangerous)
	c.word("permissions.bypass", c.p.Permissions.Bypass)
	c.word("permissions.on_broken_hook", c.p.Permissions.OnBrokenHook)
	c.word("audit.on_failure", c.p.Audit.OnFailure)
	c.word("budget.on_limit", c.p.Budget.OnLimit)
	c.eachWord("agent.degrade", c.p.Agent.Degrade)
	c.eachWord("agent.terminal_allow", c.p.Agent.Terminal)
	for i, m := range c.p.Mounts {
		at := index("mount", i)
		if m.Type == "" {
			c.add(at+".type", "is missing", `write type = "bind" or type = "tmpfs"`)
		} else {
			c.word(at+".type", m.Type)
		}
		c.eachWord(at+".options", m.Options)
	}
	for i, a := range c.p.Alerts {
		c.eachWord(index("alert", i)+".action", a.Action)
	}
}

func (c *checker) word(path, value string) {
	k, ok := schemaPath(path)
	if ok && !slices.Contains(k.Enum, value) {
		words := slices.DeleteFunc(slices.Clone(k.Enum), func(w string) bool { return slices.Contains(k.NotBuilt, w) })
		c.add(path, fmt.Sprintf("there is no %q", value), "it takes "+strings.Join(words, ", "))
	}
}

func (c *checker) eachWord(path string, values []string) {
	for i, v := range values {
		c.word(index(path, i), v)
	}
}

// each calls check for every item and records what it says.
func (c *checker) each(path string, values []string, check func(string) *complaint) {
	for i, v := range values {
		if w := check(v); w != nil {
			c.finding(index(path, i), *w)
		}
	}
}
